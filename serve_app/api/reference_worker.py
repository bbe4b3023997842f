"""The protocol of the published OpenS2S server, for the clients that speak it, its own web page among them."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, Tag

from opens2s_core.inference.messages import AudioChunk, Finish, OutputFormat, ReplyRequest, Sampling, TextDelta
from opens2s_core.prompt import Spoken, Text
from serve_app.api.audio_output import base64_text, encode_whole
from serve_app.api.chat_response import ReplyStream
from serve_app.api.context import DEFAULT_VOICE, ApiContext
from serve_app.api.conversation import (
    EncodedAudio,
    ParsedContent,
    ParsedConversation,
    ParsedMessage,
    decode_conversation,
)
from serve_app.api.request_budget import RequestBudget
from serve_app.api.sampling import fresh_seed, units_sampling
from serve_app.api.spoken_text import is_blank
from serve_app.api.strict_json import (
    ModelText,
    StrictModel,
    check_model,
    discriminated_by_type,
    no_longer_than,
    parse_json,
)
from serve_app.errors import ApiError

REFERENCE_MODEL = "omnispeech"
"""The model name that the reference's web page sends, whatever is served."""
_FAILED = 1
"""The ``error_code`` of the published server."""
_SILENCE_SECONDS = 0.1
"""Silence sent for a reply without audio: the web page joins the audio of all objects, and fails if there is none."""


class ContentItem(StrictModel):
    """Text, or audio in base64, or both; what is null or empty is not there."""

    text: ModelText | None = None
    audio: str | None = None


_OneItem = Annotated[ModelText, Tag("<str>")] | Annotated[ContentItem, Tag("<dict>")]
ReferenceContent = Annotated[
    _OneItem
    | Annotated[
        list[Annotated[_OneItem, discriminated_by_type("text or an object")]],
        Field(fail_fast=True),
        Tag("<list>"),
    ],
    discriminated_by_type("text, an object, or a list of them"),
]


class ReferenceMessage(StrictModel):
    role: Literal["system", "user", "assistant"]
    content: ReferenceContent


class ReferenceBody(StrictModel):
    """``max_new_tokens`` may be a float, as number fields of web pages send it."""

    model: str | None = None
    messages: Annotated[list[ReferenceMessage], Field(min_length=1, fail_fast=True), no_longer_than("max_messages")]
    temperature: FiniteFloat | None = Field(None, ge=0, le=2)
    top_p: FiniteFloat | None = Field(None, gt=0, le=1)
    max_new_tokens: FiniteFloat | None = Field(None, ge=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferenceRequest:
    """A request whose every field is valid; only its audio is not decoded yet."""

    text: Sampling
    conversation: ParsedConversation


def parse_reference(body: bytes, context: ApiContext) -> ReferenceRequest:
    """The request in ``body``. Raises :class:`ApiError` naming the first field that is wrong."""
    request = parse_json(ReferenceBody, body, context.limits)
    if request.model is not None and request.model != REFERENCE_MODEL:
        check_model(request.model, context.model)
    last = len(request.messages) - 1
    if (role := request.messages[last].role) != "user":
        message = f"'{role}': expected the last message to be the user's"
        raise ApiError(400, message, param=f"messages[{last}].role")
    budget = RequestBudget(context.limits)
    messages = tuple(_parse_message(message, f"messages[{i}]", budget) for i, message in enumerate(request.messages))
    max_tokens = int(request.max_new_tokens or Sampling().max_tokens)
    text = Sampling(
        temperature=request.temperature or 0.0,
        top_p=request.top_p or 1.0,
        # As the published server does: a number that is too large is lowered, not refused.
        max_tokens=min(max_tokens, context.limits.max_tokens),
        seed=fresh_seed(),
    )
    return ReferenceRequest(text=text, conversation=ParsedConversation(messages, budget.text_chars))


def reference_reply_request(request: ReferenceRequest, context: ApiContext) -> ReplyRequest:
    """What the stages are asked for. It decodes the conversation's audio, so it does not run on the event loop.

    Raises :class:`ApiError` naming the field that cannot be used.
    """
    text = request.text
    return ReplyRequest(
        messages=decode_conversation(request.conversation, context),
        text=text,
        units=units_sampling(text.max_tokens, text.seed, context),
        audio=OutputFormat(samples="int16"),
        seed=text.seed,
        speaker=context.voices[DEFAULT_VOICE],
    )


def _parse_message(message: ReferenceMessage, param: str, budget: RequestBudget) -> ParsedMessage:
    items = _items(message.content, f"{param}.content")
    content = [parsed for item, at in items for parsed in _parse_item(message.role, item, at, budget)]
    if message.role == "user" and all(isinstance(item, Text) and is_blank(item.text) for item in content):
        raise ApiError(400, "blank: expected text or audio", param=f"{param}.content")
    return ParsedMessage(message.role, tuple(content))


def _items(content: str | ContentItem | list[str | ContentItem], param: str) -> list[tuple[str | ContentItem, str]]:
    """Each with the path to it."""
    if isinstance(content, list):
        return [(item, f"{param}[{j}]") for j, item in enumerate(content)]
    return [(content, param)]


def _parse_item(role: str, item: str | ContentItem, param: str, budget: RequestBudget) -> list[ParsedContent]:
    if isinstance(item, str):
        return [Text(budget.text(item, param))] if item else []
    text = budget.text(item.text or "", f"{param}.text")
    if not item.audio:
        return [Text(text)] if text else []
    if role == "assistant" and text:  # a spoken reply that is sent back
        return [Spoken(text)]
    if role != "user":
        expected = "expected its transcript in text" if role == "assistant" else "expected text"
        raise ApiError(400, f"audio in a message of the {role}: {expected}", param=f"{param}.audio")
    audio = EncodedAudio(item.audio, f"{param}.audio")
    return [Text(text), audio] if text else [audio]


async def reference_stream(reply: ReplyStream, rate: int) -> AsyncIterator[bytes]:
    """JSON objects, each ended by a zero byte, with all text so far and the new audio; the last one is final and says
    whether the reply failed."""
    text = ""
    audio_ended, silent = False, True
    try:
        async for message in reply:
            samples = np.zeros(0, np.int16)
            match message:
                case TextDelta(delta):
                    text += delta
                case AudioChunk(samples, final):
                    audio_ended |= final
            silent = silent and not len(samples)
            finalize = audio_ended and reply.finish is not None
            if finalize and silent:
                samples = np.zeros(int(_SILENCE_SECONDS * rate), np.int16)
            if finalize or not isinstance(message, Finish):
                yield _object(text, audio=_wav(samples, rate), finalize=finalize)
    except ApiError as error:
        yield reference_error(error)


def reference_error(error: ApiError) -> bytes:
    """The whole body, sent with status 200, of a request that fails before its stream begins: clients of this protocol
    look at nothing else. The text names the field that is wrong: there is no other place for it."""
    text = f"{error.param}: {error.message}" if error.param else error.message
    return _object(text, finalize=True, error_code=_FAILED)


def _wav(samples: NDArray[np.int16], rate: int) -> str:
    return base64_text(encode_whole(samples, rate, "wav")) if len(samples) else ""


def _object(text: str, *, audio: str = "", finalize: bool, error_code: int = 0) -> bytes:
    fields = {"text": text, "audio": audio, "finalize": finalize, "error_code": error_code}
    return json.dumps(fields, separators=(",", ":")).encode() + b"\0"


def worker_status(context: ApiContext, queue_length: int) -> dict[str, Any]:
    """The answer to ``POST /worker_get_status``."""
    return {"model_names": _names(context), "speed": 1, "queue_length": queue_length}


def list_models(context: ApiContext) -> dict[str, Any]:
    """The answer to ``POST /list_models``: clients look for the name there by which they ask for the model."""
    return {"models": _names(context)}


class AddressBody(StrictModel):
    model: str


def worker_address(body: bytes, context: ApiContext, url: str) -> dict[str, Any]:
    """The answer to ``POST /get_worker_address``: ``url``, where the model is served; an empty text for another model.

    Raises :class:`ApiError`.
    """
    requested = parse_json(AddressBody, body, context.limits).model
    return {"address": url if requested in _names(context) else ""}


def _names(context: ApiContext) -> list[str]:
    return list(dict.fromkeys([context.model, REFERENCE_MODEL]))
