"""The protocol of the published OpenS2S server, for clients that speak it already."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, Tag

from opens2s_core.inference.messages import AudioChunk, Finish, ReplyRequest, Sampling, SoundFormat, TextDelta
from opens2s_core.prompt import Content, Message, Spoken, Text
from serve_app.api.audio_codec import encode_whole
from serve_app.api.chat_request import MaxTokens, fresh_seed, units_sampling
from serve_app.api.chat_response import Messages, base64_text
from serve_app.api.strict_json import (
    Allowance,
    Wire,
    Words,
    check_model,
    no_longer_than,
    parsed,
    told_by_type,
)
from serve_app.config import Limits
from serve_app.errors import ApiError

_FAILED = 1


class Piece(Wire):
    """Words, or a sound in base64, or both; what is null or empty is not there."""

    text: Words | None = None
    audio: str | None = None


_OnePiece = Annotated[Words, Tag("<str>")] | Annotated[Piece, Tag("<dict>")]
LegacyContent = Annotated[
    _OnePiece
    | Annotated[
        list[Annotated[_OnePiece, told_by_type("text or an object")]],
        Field(fail_fast=True),
        Tag("<list>"),
    ],
    told_by_type("text, an object, or a list of them"),
]


class LegacyMessage(Wire):
    role: Literal["system", "user", "assistant"]
    content: LegacyContent


class LegacyRequest(Wire):
    model: str | None = None
    messages: Annotated[list[LegacyMessage], Field(min_length=1, fail_fast=True), no_longer_than("max_messages")]
    temperature: FiniteFloat | None = Field(None, ge=0, le=2)
    top_p: FiniteFloat | None = Field(None, gt=0, le=1)
    max_new_tokens: MaxTokens | None = None


def legacy_request(body: bytes, *, model: str, limits: Limits) -> ReplyRequest:
    """The spoken reply that is asked for; decodes sound, so not for the event loop.

    Raises :class:`ApiError` naming the field that is wrong.
    """
    legacy = parsed(LegacyRequest, body, limits)
    if legacy.model is not None:
        check_model(legacy.model, model)
    last = len(legacy.messages) - 1
    if (role := legacy.messages[last].role) != "user":
        complaint = f"'{role}': expected the last message to be the user's"
        raise ApiError(400, complaint, param=f"messages[{last}].role")
    seed = fresh_seed()
    text = Sampling(
        temperature=legacy.temperature or 0.0,
        top_p=legacy.top_p or 1.0,
        max_tokens=legacy.max_new_tokens or Sampling().max_tokens,
        seed=seed,
    )
    allowance = Allowance(limits)
    return ReplyRequest(
        messages=tuple(_turn(message, f"messages[{i}]", allowance) for i, message in enumerate(legacy.messages)),
        text=text,
        units=units_sampling(text),
        audio=SoundFormat(samples="int16"),
        seed=seed,
    )


def _turn(message: LegacyMessage, where: str, allowance: Allowance) -> Message:
    items = _items(message.content, f"{where}.content")
    content = [said for item, at in items for said in _said(message.role, item, at, allowance)]
    if message.role == "user" and not content:
        raise ApiError(400, "empty: expected text or audio", param=f"{where}.content")
    return Message(message.role, tuple(content))


def _items(content: str | Piece | list[str | Piece], where: str) -> list[tuple[str | Piece, str]]:
    """Each with the path to it."""
    if isinstance(content, list):
        return [(item, f"{where}[{j}]") for j, item in enumerate(content)]
    return [(content, where)]


def _said(role: str, item: str | Piece, where: str, allowance: Allowance) -> list[Content]:
    if isinstance(item, str):
        return [Text(allowance.words(item, where))] if item else []
    words = allowance.words(item.text or "", f"{where}.text")
    if not item.audio:
        return [Text(words)] if words else []
    if role == "assistant" and words:  # a spoken reply that is sent back: its words are what it said
        return [Spoken(words)]
    if role != "user":
        expected = "expected its words in text" if role == "assistant" else "expected text"
        raise ApiError(400, f"sound in a {role} message: {expected}", param=f"{where}.audio")
    sound = allowance.sound(item.audio, f"{where}.audio")
    return [Text(words), sound] if words else [sound]


async def legacy_stream(reply: Messages, rate: int) -> AsyncIterator[bytes]:
    """JSON objects, each ended by a zero byte; the last one is final and tells whether the reply failed."""
    text = ""
    heard_all = False
    try:
        async for message in reply:
            audio = ""
            match message:
                case TextDelta(words):
                    text += words
                case AudioChunk(samples, final):
                    heard_all |= final
                    audio = _wav(samples, rate)
            finalize = heard_all and reply.finish is not None
            if finalize or not isinstance(message, Finish):
                yield _object(text, audio=audio, finalize=finalize)
    except ApiError as error:
        yield _object(error.message, finalize=True, error_code=_FAILED)


def _wav(samples: NDArray[np.int16], rate: int) -> str:
    return base64_text(encode_whole(samples, rate, "wav")) if len(samples) else ""


def _object(text: str, *, audio: str = "", finalize: bool, error_code: int = 0) -> bytes:
    told = {"text": text, "audio": audio, "finalize": finalize, "error_code": error_code}
    return json.dumps(told, separators=(",", ":")).encode() + b"\0"


def worker_status(model: str, queue_length: int) -> dict[str, Any]:
    """``POST /worker_get_status``"""
    return {"model_names": [model], "speed": 1, "queue_length": queue_length}


def listed_models(model: str) -> dict[str, Any]:
    """``POST /list_models``"""
    return {"models": [model]}


class AddressRequest(Wire):
    model: str


def worker_address(body: bytes, *, model: str, url: str, limits: Limits) -> dict[str, Any]:
    """``POST /get_worker_address``: where ``model`` is served; no address for another. Raises :class:`ApiError`."""
    asked = parsed(AddressRequest, body, limits)
    return {"address": url if asked.model == model else ""}
