"""OpenAI's audio transcriptions, ``POST /v1/audio/transcriptions``: what is said in a file, by the model itself.

The model reads the ``transcription_prompt`` of its checkpoint and then the clip, and writes the transcript.
"""

import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, FiniteFloat

from opens2s_core.audio import SAMPLE_RATE, AudioError, Waveform
from opens2s_core.inference.messages import Finish, ReplyRequest, TextDelta
from opens2s_core.inference.transcription import transcription_request
from opens2s_core.prompt import Audio
from serve_app.api.audio_input import decode_file
from serve_app.api.chat_response import ReplyStream, event
from serve_app.api.context import ApiContext
from serve_app.api.form_data import parse_form
from serve_app.api.request_budget import RequestBudget
from serve_app.api.sampling import fresh_seed
from serve_app.api.strict_json import ModelText, StrictModel, check_model, neutral, validated
from serve_app.errors import ApiError

_UNKNOWN_LANGUAGE = "und"
"""ISO 639-2's code of a language that is not known."""

TranscriptFormat = Literal["json", "text", "verbose_json"]


class TranscriptionForm(StrictModel):
    """The fields of a request for a transcript without its file. Values of a form are text, and so they are converted.
    ``language`` is a hint that OpenAI defines; the model finds the language in the speech."""

    model_config = ConfigDict(strict=False)

    model: str
    language: Annotated[str, Field(pattern="^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")] | None = None
    prompt: ModelText | None = None
    response_format: TranscriptFormat = "json"
    temperature: FiniteFloat = Field(0.0, ge=0, le=1)
    stream: bool = False
    timestamp_granularities: Annotated[Any, neutral()] = None
    include: Annotated[Any, neutral()] = None
    chunking_strategy: Annotated[Any, neutral()] = None
    keywords: Annotated[Any, neutral()] = None
    languages: Annotated[Any, neutral()] = None
    known_speaker_names: Annotated[Any, neutral()] = None
    known_speaker_references: Annotated[Any, neutral()] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TranscriptionRequest:
    """A request whose every field is valid; only its ``file`` is not decoded yet."""

    file: bytes
    language: str | None
    prompt: str
    response_format: TranscriptFormat
    temperature: float
    stream: bool


def check_transcribes(context: ApiContext) -> None:
    """Raises :class:`ApiError` for a model that was not trained to transcribe."""
    if not context.transcription_prompt:
        message = (
            f"the checkpoint served as '{context.model}' was not trained to transcribe: its config.json has no "
            "transcription_prompt. Expected one that was trained on data of the recipe 'transcription' "
            "(ray_jobs.prepare_data), or exported with --transcription-prompt (ray_jobs.export)"
        )
        raise ApiError(404, message, param="model", code="model_not_supported")


def parse_transcription(body: bytes, context: ApiContext, content_type: str) -> TranscriptionRequest:
    """The request in ``body``, a form whose header is ``content_type``. Raises :class:`ApiError` naming the first field
    that is wrong."""
    form = parse_form(body, content_type)
    fields = validated(TranscriptionForm, form.fields(), context.limits)
    check_model(fields.model, context.model)
    if fields.stream and fields.response_format != "json":
        message = f"'{fields.response_format}': expected 'json' with stream: true"
        raise ApiError(400, message, param="response_format")
    return TranscriptionRequest(
        file=form.file("file"),
        language=fields.language,
        prompt=RequestBudget(context.limits).text(fields.prompt or "", "prompt"),
        response_format=fields.response_format,
        temperature=fields.temperature,
        stream=fields.stream,
    )


def transcription_reply_request(request: TranscriptionRequest, context: ApiContext) -> ReplyRequest:
    """What the thinker is asked for: a written reply. It decodes the file, so it does not run on the event loop. The
    client's prompt takes the place of the system message. Raises :class:`ApiError` for a file that cannot be used."""
    try:
        samples = decode_file(request.file, max_seconds=context.limits.max_audio_seconds)
    except AudioError as error:
        raise ApiError(400, str(error), param="file") from error
    return transcription_request(
        context.transcription_prompt,
        samples,
        system=request.prompt,
        max_tokens=context.limits.max_tokens,
        temperature=request.temperature,
        seed=fresh_seed(),
    )


def clip_seconds(request: ReplyRequest) -> float:
    """The length of the clip of :func:`transcription_reply_request`."""
    clip: Waveform = next(item.source for item in request.messages[-1].content if isinstance(item, Audio))
    return len(clip) / SAMPLE_RATE


async def transcript(reply: ReplyStream) -> str:
    """The whole text. Raises :class:`ApiError`."""
    return "".join([message.text async for message in reply if isinstance(message, TextDelta)])


def transcript_body(text: str, finish: Finish, request: TranscriptionRequest, seconds: float) -> dict[str, Any]:
    """The JSON of a whole transcript, of a file of ``seconds``. Beyond OpenAI's fields it has ``finish_reason``, which
    is ``length`` for a text that was cut. There are no times of segments: the model has none."""
    body = {"text": text, "finish_reason": finish.reason}
    if request.response_format == "json":
        return body | {"usage": _usage(finish)}
    facts = {"task": "transcribe", "language": request.language or _UNKNOWN_LANGUAGE, "duration": round(seconds, 3)}
    return facts | body | {"usage": {"type": "duration", "seconds": math.ceil(seconds)}}


async def transcript_events(reply: ReplyStream) -> AsyncIterator[str]:
    """The text in server-sent events as it is written, then whole; a reply that fails on the way ends with an ``error``
    event."""
    texts: list[str] = []
    try:
        async for message in reply:
            if isinstance(message, TextDelta):
                texts.append(message.text)
                yield event({"type": "transcript.text.delta", "delta": message.text})
    except ApiError as error:
        yield event(error.body())
        return
    assert reply.finish is not None
    finish = reply.finish
    done = {"type": "transcript.text.done", "text": "".join(texts), "finish_reason": finish.reason}
    yield event(done | {"usage": _usage(finish)})


def _usage(finish: Finish) -> dict[str, Any]:
    tokens = finish.prompt_tokens, finish.completion_tokens
    return {"type": "tokens", "input_tokens": tokens[0], "output_tokens": tokens[1], "total_tokens": sum(tokens)}
