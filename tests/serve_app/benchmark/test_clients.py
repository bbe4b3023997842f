"""Clients of a benchmark against a server whose answers are known."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest

from serve_app.benchmark.clients import Client, ReplyResult, Target
from serve_app.benchmark.load import burst, churn, closed_loop, open_loop, ramp, retry, saturate

RATE = 1000


def event(**audio: Any) -> bytes:
    return f"data: {json.dumps({'choices': [{'delta': {'audio': audio}}]})}\n\n".encode()


def audio(seconds: float) -> str:
    return base64.b64encode(np.zeros(int(RATE * seconds), "<i2").tobytes()).decode()


SPOKEN = [event(transcript="hello"), event(data=audio(0.1)), event(data=audio(0.05)), b"data: [DONE]\n\n"]


def client(*parts: bytes, status: int = 200, pause: float = 0.0) -> Client:
    async def body() -> AsyncIterator[bytes]:
        for part in parts:
            await asyncio.sleep(pause)
            yield part

    transport = httpx.MockTransport(lambda request: httpx.Response(status, content=body()))
    return Client(httpx.AsyncClient(transport=transport), Target("http://there", RATE))


def reply(*parts: bytes, status: int = 200, pause: float = 0.0, leave: float | None = None) -> ReplyResult:
    return asyncio.run(client(*parts, status=status, pause=pause).ask(b"{}", leave=leave))


def test_a_complete_reply_is_measured() -> None:
    result = reply(*SPOKEN)
    assert result.complete
    assert not result.lost
    assert result.audio == pytest.approx(0.15)
    assert result.first_text is not None
    assert result.first_audio is not None
    assert 0 < result.first_text <= result.first_audio <= result.seconds


def test_a_reply_without_its_end_is_lost() -> None:
    assert reply(*SPOKEN[:-1]).lost
    assert reply(b"no", status=500).lost


def test_a_client_that_leaves_or_is_refused_has_lost_nothing() -> None:
    assert not reply(*SPOKEN, pause=0.2, leave=0.05).lost
    refused = reply(b"no", status=503)
    assert refused.refused
    assert not refused.lost


def test_audio_that_comes_too_late_is_a_gap() -> None:
    assert reply(*SPOKEN).continuous
    late = reply(*SPOKEN, pause=0.25)
    assert not late.continuous
    assert 0.1 < late.longest_underrun < 0.25


def test_clients_of_a_burst_leave_in_time() -> None:
    left = asyncio.run(burst(client(*SPOKEN, pause=0.2), [b"{}"] * 3, 0.3))
    assert [result.complete for result in left] == [False] * 3
    assert all(0.3 <= result.seconds < 0.7 for result in left)
    assert not any(result.lost for result in left)


def test_who_listens_asks_again_when_the_reply_has_been_played() -> None:
    at_once = asyncio.run(closed_loop(client(*SPOKEN), [b"{}"], 1, 0.3))
    listening = asyncio.run(closed_loop(client(*SPOKEN), [b"{}"], 1, 0.3, True))
    assert len(listening) == 2
    assert len(at_once) > 4


def test_an_open_loop_asks_at_its_rate_whatever_the_answers_take() -> None:
    results = asyncio.run(open_loop(client(*SPOKEN, pause=0.5), [b"{}"], 20.0, 0.4, 0.1))
    assert len(results) == 8
    assert results[-1].asked - results[0].asked == pytest.approx(0.35, abs=0.1)


def test_load_lasts_until_its_end() -> None:
    rising = asyncio.run(ramp(client(*SPOKEN, pause=0.01), [b"{}"], [(0.1, 1), (0.2, 3), (0.1, 1)]))
    assert len(rising) > 5
    leaving = asyncio.run(churn(client(*SPOKEN, pause=0.01), [b"{}"], 20, 0.5, seed=0))
    assert len(leaving) >= 10
    busy = asyncio.run(saturate(client(*SPOKEN, pause=0.01), [b"{}"], 2, 0.3))
    assert len(busy) > 4
    assert not any(result.lost for result in [*rising, *leaving, *busy])


def test_a_client_asks_until_it_gets_a_reply() -> None:
    statuses = iter((503, 503, 200))
    transport = httpx.MockTransport(lambda request: httpx.Response(next(statuses), content=b"".join(SPOKEN)))
    asking = Client(httpx.AsyncClient(transport=transport), Target("http://there", RATE))
    results = asyncio.run(retry(asking, [b"{}"], 0.01, 5.0))
    assert [result.status for result in results] == [503, 503, 200]
