"""OpenAI's text-to-speech, ``POST /v1/audio/speech``: words of the client's own, read aloud."""

from collections.abc import AsyncIterator
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from opens2s_core.inference.messages import AudioChunk, Finish, ReplyRequest, Sampling, SoundFormat
from opens2s_core.prompt import reading
from serve_app.api.audio_codec import AudioFormat
from serve_app.api.chat_request import fresh_seed
from serve_app.api.chat_response import Messages, SoundStream, base64_text, event
from serve_app.api.strict_json import Allowance, Wire, Words, check_model, parsed
from serve_app.config import Limits
from serve_app.errors import ApiError

_MEDIA_TYPES: dict[AudioFormat, str] = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm16": "audio/pcm",
}
_NFC_GROWTH = 3
"""Normalising text, as tokenizers do, makes at most so many bytes of one."""
_ENDS = 2
"""Tokens behind the words: the end of what is spoken, and of the turn."""
_UNITS_PER_BYTE = 6
_UNITS_AT_LEAST = 128


class SpeechRequest(Wire):
    """The fields of a request for speech that mean something here. There is one voice, so ``voice`` is not read."""

    model: str
    input: Annotated[Words, Field(min_length=1)]
    instructions: Words | None = None
    response_format: Literal["mp3", "opus", "flac", "wav", "pcm"] | None = None
    speed: FiniteFloat | None = Field(None, ge=1, le=1)
    stream_format: Literal["audio", "sse"] | None = None

    @property
    def audio_format(self) -> AudioFormat:
        match self.response_format:
            case "pcm":
                return "pcm16"
            case None:
                return "mp3"
            case named:
                return named

    @property
    def as_events(self) -> bool:
        """Whether the sound is told in server-sent events, and is not the body itself."""
        return self.stream_format == "sse"


def speech_request(body: bytes, *, model: str, limits: Limits) -> tuple[SpeechRequest, ReplyRequest]:
    """What is asked for in ``body``, and of the stages. Raises :class:`ApiError` naming the field that is wrong."""
    speech = parsed(SpeechRequest, body, limits)
    check_model(speech.model, model)
    allowance = Allowance(limits)
    words = allowance.words(speech.input, "input")
    instructions = allowance.words(speech.instructions or "", "instructions")
    seed = fresh_seed()
    size = len(words.encode())
    request = ReplyRequest(
        messages=reading(words, instructions or None),
        say=words,
        text=Sampling(max_tokens=_NFC_GROWTH * size + _ENDS, seed=seed),
        # A voice that finds no end is cut: 6 units a byte are several times what text takes to say.
        units=Sampling(max_tokens=_UNITS_AT_LEAST + _UNITS_PER_BYTE * size, seed=seed),
        audio=SoundFormat(samples="int16"),
        seed=seed,
    )
    return speech, request


def content_type(audio_format: AudioFormat) -> str:
    """The media type of a body of this format."""
    return _MEDIA_TYPES[audio_format]


async def speech_sound(reply: Messages, audio_format: AudioFormat, rate: int) -> AsyncIterator[bytes]:
    """The encoded sound, in parts as it is made. Raises :class:`ApiError` when the reply fails on the way."""
    sound = SoundStream(audio_format, rate)
    async for message in reply:
        if isinstance(message, AudioChunk) and (data := await sound.push(message.samples)):
            yield data
    if data := await sound.close():
        yield data


async def speech_events(reply: Messages, audio_format: AudioFormat, rate: int) -> AsyncIterator[str]:
    """The same in server-sent events; a reply that fails on the way ends with an ``error`` event."""
    try:
        async for data in speech_sound(reply, audio_format, rate):
            yield event({"type": "speech.audio.delta", "audio": base64_text(data)})
    except ApiError as error:
        yield event(error.body())
        return
    assert reply.finish is not None
    yield event({"type": "speech.audio.done", "usage": _usage(reply.finish)})


def _usage(finish: Finish) -> dict[str, int]:
    heard, said = finish.prompt_tokens, finish.completion_tokens
    return {"input_tokens": heard, "output_tokens": said, "total_tokens": heard + said}
