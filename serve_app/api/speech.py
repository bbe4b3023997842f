"""OpenAI's text-to-speech, ``POST /v1/audio/speech``: a client's own text, read aloud."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from opens2s_core.inference.messages import AudioChunk, Finish, OutputFormat, ReplyRequest, Sampling
from opens2s_core.prompt import read_aloud
from serve_app.api.audio_output import AudioFormat, AudioStream, base64_text
from serve_app.api.audio_parts import PartJoiner
from serve_app.api.chat_request import Seed
from serve_app.api.chat_response import ReplyStream, event
from serve_app.api.context import ApiContext
from serve_app.api.request_budget import RequestBudget
from serve_app.api.sampling import MAX_SEED, fresh_seed, units_sampling
from serve_app.api.spoken_text import is_blank, split_text
from serve_app.api.strict_json import ModelText, StrictModel, check_model, neutral, parse_json
from serve_app.errors import ApiError

_FORMATS: dict[str, AudioFormat] = {"mp3": "mp3", "opus": "opus", "flac": "flac", "wav": "wav", "pcm": "pcm16"}
_MEDIA_TYPES: dict[AudioFormat, str] = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm16": "audio/pcm",
}
_NFC_GROWTH = 3
"""Normalising text, as tokenizers do, makes at most so many bytes of one."""
_END_TOKENS = 2
"""Tokens after the text: the end of what is spoken, and of the message."""


class SpeechBody(StrictModel):
    """The fields of a request for speech. ``seed`` is an addition to OpenAI's."""

    model: str
    input: ModelText
    voice: str | None = None
    instructions: ModelText | None = None
    response_format: Literal["mp3", "opus", "flac", "wav", "pcm"] | None = None
    speed: Annotated[Any, neutral(1, 1.0)] = None
    stream_format: Literal["audio", "sse"] | None = None
    seed: Seed | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeechRequest:
    """A request whose every field is valid. With ``as_events`` the audio is sent in server-sent events."""

    input: str
    instructions: str
    voice: str
    audio_format: AudioFormat
    as_events: bool
    seed: int


def parse_speech(body: bytes, context: ApiContext) -> SpeechRequest:
    """The request in ``body``. Raises :class:`ApiError` naming the first field that is wrong."""
    speech = parse_json(SpeechBody, body, context.limits)
    check_model(speech.model, context.model)
    budget = RequestBudget(context.limits)
    text = budget.text(speech.input, "input")
    if is_blank(text):
        raise ApiError(400, "blank: expected text to read", param="input")
    return SpeechRequest(
        input=text,
        instructions=budget.text(speech.instructions or "", "instructions"),
        voice=context.check_voice(speech.voice, "voice"),
        audio_format=_FORMATS[speech.response_format or "mp3"],
        as_events=speech.stream_format == "sse",
        seed=fresh_seed() if speech.seed is None else speech.seed % MAX_SEED,
    )


def speech_reply_requests(speech: SpeechRequest, context: ApiContext) -> tuple[ReplyRequest, ...]:
    """What the stages are asked for: a reply for each part of the text, in order."""
    return tuple(_reply_request(part, speech, context) for part in split_text(speech.input))


def _reply_request(text: str, speech: SpeechRequest, context: ApiContext) -> ReplyRequest:
    max_tokens = _NFC_GROWTH * len(text.encode()) + _END_TOKENS
    return ReplyRequest(
        messages=read_aloud(text, speech.instructions or None),
        reply_text=text,
        text=Sampling(max_tokens=max_tokens, seed=speech.seed),
        units=units_sampling(max_tokens, speech.seed, context),
        audio=OutputFormat(samples="int16"),
        seed=speech.seed,
        speaker=context.voices[speech.voice],
    )


def content_type(audio_format: AudioFormat) -> str:
    """The media type of a body of this format."""
    return _MEDIA_TYPES[audio_format]


async def speech_audio(reply: ReplyStream, audio_format: AudioFormat, rate: int) -> AsyncIterator[bytes]:
    """The encoded audio as it is made. ``reply`` has the messages of all parts of the text in order, each part ended
    by a final chunk. Raises :class:`ApiError` when the reply fails on the way."""
    joiner = PartJoiner(rate)
    stream = AudioStream(audio_format, rate)
    async for message in reply:
        if isinstance(message, AudioChunk):
            samples = joiner.push(message.samples, final=message.final)
            if data := await stream.push(samples):
                yield data
    if data := await stream.push(joiner.close()) + await stream.close():
        yield data


async def speech_events(reply: ReplyStream, audio_format: AudioFormat, rate: int) -> AsyncIterator[str]:
    """The same in server-sent events; a reply that fails on the way ends with an ``error`` event."""
    try:
        async for data in speech_audio(reply, audio_format, rate):
            yield event({"type": "speech.audio.delta", "audio": base64_text(data)})
    except ApiError as error:
        yield event(error.body())
        return
    assert reply.finish is not None
    yield event({"type": "speech.audio.done", "usage": _usage(reply.finish)})


def _usage(finish: Finish) -> dict[str, int]:
    tokens = finish.prompt_tokens, finish.completion_tokens
    return {"input_tokens": tokens[0], "output_tokens": tokens[1], "total_tokens": sum(tokens)}
