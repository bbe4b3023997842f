"""The replies of chat completions, streamed or whole."""

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from data_pipeline.records import RejectedRow, Unavailable
from evaluation.items import Reply
from evaluation.models.model import IncomingReply
from opens2s_core.audio import AudioError, Waveform, decode_audio

_CONTAINERS = (b"RIFF", b"fLaC", b"OggS", b"ID3", b"\xff\xfb", b"\xff\xf3")
_END = "[DONE]"


class ReplyParser:
    """Takes the events of a reply from ``url``. ``rate`` is the Hz of 16-bit samples without a header."""

    def __init__(self, url: str, rate: int) -> None:
        self.reply = IncomingReply()
        self.audio_id = ""
        self._url, self._rate = url, rate

    def add(self, event: object) -> bool:
        """Take a chat completion or a chunk of one; returns whether it ends the reply.

        Raises :class:`RejectedRow` for anything else; :class:`Unavailable` for an error of the server.
        """
        try:
            return self._add(event)  # type: ignore[arg-type]  # an event of another type raises one of these
        except (TypeError, LookupError, AttributeError, AudioError, binascii.Error, ValueError) as error:
            if isinstance(error, RejectedRow):
                raise
            raise RejectedRow(
                f"no answer: {self._url} sent {_shown(event)}, expected a chat completion: {error}"
            ) from error

    def complete(self) -> tuple[Reply, str]:
        return self.reply.complete(), self.audio_id

    def _add(self, event: Mapping[str, Any]) -> bool:
        if error := event.get("error"):
            raise Unavailable(f"no answer: {self._url} ended the reply with the error {_shown(error)}")
        ended = False
        for choice in event["choices"]:
            message = choice.get("delta") or choice.get("message") or {}
            audio = message.get("audio") or {}
            content = message.get("content") or ""
            if event.get("modality") == "audio" and not audio:  # vLLM-Omni streams audio in the place of text
                audio, content = {"data": content}, ""
            self.reply.add_text("" + (content or audio.get("transcript") or message.get("refusal") or ""))
            self.audio_id = audio.get("id") or self.audio_id
            if data := audio.get("data"):
                self.reply.add_audio(*self._decoded(base64.b64decode(data, validate=True)))
            ended |= choice.get("finish_reason") is not None
        return ended

    def _decoded(self, data: bytes) -> tuple[Waveform, int]:
        if not data.startswith(_CONTAINERS):
            return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768), self._rate
        samples, self._rate = decode_audio(data)  # samples without a header that follow are of the same rate
        return samples, self._rate


def read_reply(response: Any, parser: ReplyParser) -> tuple[Reply, str]:
    """The reply in a response of the ``openai`` client, and the id of its audio.

    Raises :class:`RejectedRow`, :class:`Unavailable` where the reply is cut, and ``httpx2.TransportError``.
    """
    if "event-stream" in response.headers.get("content-type", ""):
        _read_events(response.iter_lines(), parser)
    else:
        parser.add(_parsed(response.read()))
    return parser.complete()


def _read_events(lines: Iterable[str], parser: ReplyParser) -> None:
    ended = False
    for line in lines:
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == _END:
            return
        ended |= parser.add(_parsed(data))  # after a reason to finish there may be more, such as usage
    if not ended:
        raise Unavailable(f"no answer: the stream ended without {_END} after {_shown(parser.reply.text)}")


def _parsed(data: str | bytes) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return data  # the parser rejects it


def _shown(value: object) -> str:
    return repr(value)[:200]
