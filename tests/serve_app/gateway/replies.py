"""Replies over fake stages in this process, without HTTP."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np
import pytest

from opens2s_core.inference.messages import (
    AudioChunk,
    ReplyRequest,
    StageMessage,
    TextDelta,
)
from serve_app.errors import ApiError
from serve_app.gateway.reply import Reply, ReplyContext
from tests.fakes import (
    GROUP,
    FakeSpeechDecoder,
    FakeThinker,
    FakeToken2Wav,
    LocalBackend,
)

Loss = tuple[str, int]
RATE = 22_050
UNITS_PER_WORD = 2 * GROUP


def reply_to(backend: LocalBackend, *requests: ReplyRequest, **context: Any) -> Reply:
    common: dict[str, Any] = {
        "id": "reply",
        "request_id": "request",
        "sample_rate": RATE,
        "units_per_second": 12.5,
        "played": False,
    }
    return Reply(requests, ReplyContext(stages=backend.stages, metrics=backend.metrics, **common | context))


async def collect(reply: Reply) -> list[StageMessage]:
    """All messages; closes the reply."""
    try:
        await reply.start()
        return [message async for message in reply]
    finally:
        await reply.aclose()


def run_with(backend: LocalBackend, test: Callable[[LocalBackend], Awaitable[Any]]) -> Any:
    """The result of ``test``; in the end every slot is free, and no reply is under way."""

    async def run() -> Any:
        async with asyncio.timeout(30):
            result = await test(backend)
            await backend.free()
            assert backend.metrics.under_way == 0
            return result

    try:
        return asyncio.run(run())
    finally:
        backend.stop()


def fake_backend(losses: Sequence[Loss] = (), **options: Any) -> LocalBackend:
    return LocalBackend([FakeThinker(4), FakeSpeechDecoder(4), FakeToken2Wav(4)], losses, **options)


def messages_of(backend: LocalBackend, *requests: ReplyRequest, **context: Any) -> list[StageMessage]:
    return run_with(backend, lambda backend: collect(reply_to(backend, *requests, **context)))


def text_of(messages: Sequence[StageMessage]) -> str:
    return "".join(message.text for message in messages if isinstance(message, TextDelta))


def samples_of(messages: Sequence[StageMessage]) -> np.ndarray:
    return np.concatenate([message.samples for message in messages if isinstance(message, AudioChunk)])


def error_of(backend: LocalBackend, request: ReplyRequest, **context: Any) -> ApiError:
    with pytest.raises(ApiError) as raised:
        messages_of(backend, request, **context)
    return raised.value
