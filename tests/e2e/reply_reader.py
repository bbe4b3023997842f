"""Reads streamed replies, and compares them."""

import base64
import json
from typing import Any

import httpx
import numpy as np

TOLERANCE = 33  # 1e-3 of full scale


def body(seed: int, tokens: int = 8) -> dict[str, Any]:
    return {
        "model": "opens2s",
        "messages": [{"role": "user", "content": f"say number {seed}"}],
        "max_tokens": tokens,
        "temperature": 0,
        "seed": seed,
        "stream": True,
        "modalities": ["text", "audio"],
        "audio": {"voice": "default", "format": "pcm16"},
    }


class ReplyReader:
    """Reads a streamed reply event by event."""

    def __init__(self, address: str, request: dict[str, Any]) -> None:
        self.text = ""
        self.pcm = b""
        self.error: dict[str, Any] | None = None
        self.done = False
        self.chunks = 0
        self._stream = httpx.stream("POST", f"{address}/v1/chat/completions", json=request, timeout=120)
        self._answer = self._stream.__enter__()
        assert self._answer.status_code == 200, self._answer.read()
        self._lines = self._answer.iter_lines()

    def read(self, chunks: int | None = None) -> "ReplyReader":
        """So many more chunks of audio, or all there is."""
        until = None if chunks is None else self.chunks + chunks
        for line in self._lines:
            self._read_event(line.removeprefix("data: "))
            if self.chunks == until:
                return self
        self.close()
        return self

    def read_first_text(self) -> "ReplyReader":
        """Until the first text."""
        for line in self._lines:
            self._read_event(line.removeprefix("data: "))
            if self.text:
                break
        return self

    def close(self) -> None:
        self._stream.__exit__(None, None, None)

    def _read_event(self, data: str) -> None:
        self.done |= data == "[DONE]"
        if not data.startswith("{"):
            return
        event = json.loads(data)
        self.error = event.get("error")
        for choice in event.get("choices", ()):
            audio = choice["delta"].get("audio") or {}
            self.text += audio.get("transcript", "")
            if "data" in audio:
                self.pcm += base64.b64decode(audio["data"])
                self.chunks += 1


def assert_same(reply: ReplyReader, undisturbed: ReplyReader) -> None:
    assert reply.done, reply.error
    assert reply.text == undisturbed.text
    ours, theirs = (np.frombuffer(one.pcm, "<i2").astype(int) for one in (reply, undisturbed))
    assert len(ours) == len(theirs)
    assert np.abs(ours - theirs).max() <= TOLERANCE
