"""A benchmark's callers, before a server that says what the test wants."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np

from serve_app.benchmark.clients import Caller, Heard, Target, again_and_again, come_and_go, ramp, together

RATE = 1000


def event(**audio: Any) -> bytes:
    return f"data: {json.dumps({'choices': [{'delta': {'audio': audio}}]})}\n\n".encode()


def sound(seconds: float) -> str:
    return base64.b64encode(np.zeros(int(RATE * seconds), "<i2").tobytes()).decode()


SPOKEN = [event(transcript="hello"), event(data=sound(1)), event(data=sound(0.5)), b"data: [DONE]\n\n"]


def caller(*parts: bytes, status: int = 200, pause: float = 0.0) -> Caller:
    async def body() -> AsyncIterator[bytes]:
        for part in parts:
            await asyncio.sleep(pause)
            yield part

    transport = httpx.MockTransport(lambda request: httpx.Response(status, content=body()))
    return Caller(httpx.AsyncClient(transport=transport), Target("http://there", RATE))


def heard(*parts: bytes, status: int = 200, pause: float = 0.0, leave: float | None = None) -> Heard:
    return asyncio.run(caller(*parts, status=status, pause=pause).hear({}, leave=leave))


def test_a_whole_reply_is_measured() -> None:
    reply = heard(*SPOKEN)
    assert reply.whole
    assert not reply.lost
    assert reply.audio == 1.5
    assert reply.first_text is not None
    assert reply.first_audio is not None
    assert 0 < reply.first_text <= reply.first_audio <= reply.took


def test_a_reply_that_breaks_off_is_lost() -> None:
    assert heard(*SPOKEN[:-1]).lost
    assert heard(b"no", status=500).lost


def test_who_leaves_or_is_told_to_come_later_has_lost_nothing() -> None:
    assert not heard(*SPOKEN, pause=0.2, leave=0.05).lost
    assert not heard(b"no", status=503).lost


def test_who_hangs_up_does_so_in_time() -> None:
    left = asyncio.run(together(caller(*SPOKEN, pause=0.2), [{}] * 3, 0.3))
    assert [reply.whole for reply in left] == [False] * 3
    assert all(0.3 <= reply.took < 0.7 for reply in left)
    assert not any(reply.lost for reply in left)


def test_callers_of_a_load_ask_until_its_end() -> None:
    steady = asyncio.run(again_and_again(caller(*SPOKEN, pause=0.01), [{}] * 2, 0.2))
    assert len(steady) > 2
    rising = asyncio.run(ramp(caller(*SPOKEN, pause=0.01), [{}], [(0.1, 1), (0.2, 3), (0.1, 1)]))
    assert len(rising) > 5
    restless = asyncio.run(come_and_go(caller(*SPOKEN, pause=0.01), [{}], 20, 0.5, seed=0))
    assert len(restless) >= 10
    assert not any(reply.lost for reply in [*steady, *rising, *restless])
