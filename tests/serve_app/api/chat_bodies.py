"""Bodies of chat completion requests, and their parsing."""

import base64
from functools import partial
from typing import Any

import numpy as np

from opens2s_core.audio import encode_audio
from opens2s_core.inference.messages import ReplyRequest
from serve_app.api.chat_request import ChatRequest, chat_reply_request, parse_chat
from serve_app.api.context import ApiContext
from serve_app.config import Limits
from tests.serve_app.fake_reply import parse_with, refusal_by, status_by

LIMITS = Limits(max_audio_seconds=2.0, max_messages=6, max_text_chars=200, max_tokens=64, max_tools=2)


def audio_part(seconds: float) -> dict[str, Any]:
    wav = encode_audio(np.zeros(int(16_000 * seconds), np.float32), 16_000, container="wav")
    return {"type": "input_audio", "input_audio": {"data": base64.b64encode(wav).decode(), "format": "wav"}}


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "text": content}


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def assistant(*calls: dict[str, Any], content: Any = None, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(calls), **fields}


def call(identity: str, name: str = "look", arguments: str = "{}") -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(identity: str, content: str = "found") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identity, "content": content}


def tool(name: str = "look", **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **fields}}


def chat(*messages: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "opens2s", "messages": list(messages) or [{"role": "user", "content": "hello"}], **fields}


SPEAKER = np.ones(512, np.float32)
CONTEXT = ApiContext(
    model="opens2s",
    limits=LIMITS,
    units_per_token=3.5,
    voices={"default": None, "ada": SPEAKER},
    transcripts={"audio_0": "stored", "audio_1": ""},
)


def parse(body: Any, context: ApiContext = CONTEXT) -> ChatRequest:
    return parse_with(partial(parse_chat, context=context), body)


def read(body: bytes, context: ApiContext = CONTEXT) -> ReplyRequest:
    return chat_reply_request(parse_chat(body, context), context)


requested = partial(parse_with, read)
refusal = partial(refusal_by, read)
status = partial(status_by, read)
