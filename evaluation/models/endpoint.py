"""Models behind an endpoint with OpenAI's chat completions that takes audio."""

import base64
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import httpx2
import openai

from data_pipeline.openai_endpoint import open_client, request_errors
from data_pipeline.records import RejectedRow, Unavailable
from data_pipeline.synthesis.protocols import Speech
from data_pipeline.synthesis.recognisers.openai_transcriptions import (
    OpenAITranscriptions,
    OpenAITranscriptionsConfig,
)
from evaluation.items import Answer, Item, Reply, Turn
from evaluation.models.chat_reply import ReplyParser, read_reply
from evaluation.models.model import ModelConfig
from opens2s_core.audio import AudioError, decode_audio, encode_audio

_RETRIES = 4
_TIMEOUT_SECONDS = 120.0
"""For the first or the next bytes of a reply."""
_MOST_UNAVAILABLE = 20
"""So many items in a row without an answer: the endpoint is gone."""
_DEFAULT_RATE = 24_000
"""Hz of 16-bit samples in OpenAI's API, where the endpoint's list of models has no ``sample_rate``."""


class EndpointModel:
    """``url`` is that of an endpoint, with or without ``/v1``, and after ``#`` the name of its model; without one it is
    the first of ``/v1/models``. The key is ``OPENAI_API_KEY`` in the environment, ``none`` where it is not set.

    Replies are streamed where the endpoint does that. Clips are sent as 16-bit WAV, which all endpoints read. The text
    of earlier replies is sent back as the assistant's messages, with the ``id`` of their audio where there was one. An
    endpoint that ignores the wish for audio has replies of text alone.

    Raises ``ValueError`` for an endpoint that cannot be reached or names no model, ``openai.APIStatusError`` for a
    refused key.
    """

    def __init__(
        self, url: str, config: ModelConfig, *, retries: int = _RETRIES, timeout_seconds: float = _TIMEOUT_SECONDS
    ) -> None:
        base, _, model = url.partition("#")
        self._url = base.rstrip("/") if re.search(r"/v\d+/?$", base) else f"{base.rstrip('/')}/v1"
        self._config, self._retries = config, retries
        self._client = open_client(self._url, retries=retries, timeout_seconds=timeout_seconds)
        described = self._described(model)
        self._model = described["id"]
        rate = described.get("sample_rate")
        self._rate = rate if isinstance(rate, int) and rate > 0 else _DEFAULT_RATE
        self._streams = True
        self._transcriptions = OpenAITranscriptions(
            OpenAITranscriptionsConfig(
                base_url=self._url, model=self._model, retries=retries, timeout_seconds=timeout_seconds
            )
        )

    @property
    def fingerprint(self) -> dict[str, Any]:
        return {"model": self._model}

    def answers(self, items: Sequence[Item]) -> Iterator[Answer]:
        """Raises ``openai.APIStatusError`` for a refused key, ``ValueError`` where the endpoint does not answer any
        more."""
        pool, unavailable = ThreadPoolExecutor(self._config.concurrency), 0
        try:
            for done in as_completed([pool.submit(self._attempt, item) for item in items]):
                answer, answered = done.result()
                yield answer
                unavailable = 0 if answered else unavailable + 1
                if unavailable >= _MOST_UNAVAILABLE:
                    raise ValueError(
                        f"{self._url}: no answer to {unavailable} items in a row, the last: {answer.error}"
                    )
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def answer(self, item: Item) -> Answer:
        """Raises ``openai.APIStatusError`` for a refused key or an unknown model."""
        return self._attempt(item)[0]

    def _attempt(self, item: Item) -> tuple[Answer, bool]:
        """The answer, and whether the endpoint answered at all."""
        try:
            return Answer(item=item.id, replies=tuple(self._replies(item))), True
        except (RejectedRow, AudioError) as error:
            return Answer(item=item.id, error=str(error)), not isinstance(error, Unavailable)

    def _replies(self, item: Item) -> Iterator[Reply]:
        if item.transcribe:
            speech = Speech(*decode_audio(item.turns[0].audio))
            yield Reply(text=self._transcriptions.transcribe(speech, item.language))
            return
        messages: list[dict[str, Any]] = [{"role": "system", "content": item.system}] if item.system else []
        for turn in item.turns:
            messages.append({"role": "user", "content": list(_content(turn))})
            reply, audio_id = self._reply(messages)
            history = {"role": "assistant", "content": reply.text}
            messages.append(history | ({"audio": {"id": audio_id}} if audio_id else {}))
            yield reply

    def _reply(self, messages: list[dict[str, Any]]) -> tuple[Reply, str]:
        """The reply and the id of its audio. A stream that is cut is requested again."""
        for left in reversed(range(self._retries + 1)):
            try:
                return self._request(messages)
            except httpx2.TransportError as error:
                if not left:
                    raise Unavailable(
                        f"no answer: {self._url}, after {self._retries} retries: the reply was cut, {error!r}"
                    ) from error
        raise AssertionError("unreachable")

    def _request(self, messages: list[dict[str, Any]]) -> tuple[Reply, str]:
        if self._streams:
            try:
                with request_errors("no answer", self._url, self._retries):
                    return self._completion(messages, stream=True)
            except Unavailable:
                raise
            except RejectedRow as refused:  # perhaps because it was to be streamed
                try:
                    with request_errors("no answer", self._url, self._retries):
                        reply = self._completion(messages, stream=False)
                except RejectedRow:
                    raise refused from None
                self._streams = False
                return reply
        with request_errors("no answer", self._url, self._retries):
            return self._completion(messages, stream=False)

    def _completion(self, messages: list[dict[str, Any]], *, stream: bool) -> tuple[Reply, str]:
        config = self._config
        wished: dict[str, Any] = {"modalities": ["text"]}
        if config.spoken:
            audio = {"voice": config.voice, "format": "pcm16" if stream else "wav"}
            wished = {"modalities": ["text", "audio"], "audio": audio}
        parser = ReplyParser(self._url, self._rate)  # its clock starts now
        # Its overloads cannot type a request that is built as a dict.
        create: Any = self._client.chat.completions.with_streaming_response.create
        with create(
            model=self._model,
            messages=messages,
            temperature=0.0,
            max_tokens=config.max_tokens,
            seed=config.seed,
            stream=stream,
            **wished,
        ) as response:
            return read_reply(response, parser)

    def _described(self, model: str) -> dict[str, Any]:
        """The entry of ``model``, or of the first model, in the endpoint's list."""
        try:
            with request_errors("no list of models", self._url, self._retries):
                found = [entry.model_dump() for entry in self._client.models.list().data]
        except (RejectedRow, openai.NotFoundError, AttributeError, TypeError, ValueError) as error:
            if not model or isinstance(error, Unavailable):
                raise ValueError(
                    f"{self._url}: expected a list of models, or a model's name after '#': {error}"
                ) from None
            found = []
        entries = {entry["id"]: entry for entry in found if isinstance(entry.get("id"), str)}
        if not model and not entries:
            raise ValueError(f"{self._url}: its list of models is empty, expected one or a model's name after '#'")
        return entries.get(model, {"id": model}) if model else next(iter(entries.values()))


def _content(turn: Turn) -> Iterator[dict[str, Any]]:
    if turn.instruction:
        yield {"type": "text", "text": turn.instruction}
    if turn.audio:
        wav = encode_audio(*decode_audio(turn.audio), container="wav")
        yield {"type": "input_audio", "input_audio": {"data": base64.b64encode(wav).decode(), "format": "wav"}}
    else:
        yield {"type": "text", "text": turn.text}
