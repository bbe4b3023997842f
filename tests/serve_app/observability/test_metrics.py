"""What Prometheus is given."""

import asyncio
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest

from opens2s_core.inference.messages import AudioChunk, TextDelta
from serve_app.observability import metrics as metrics_module
from serve_app.observability.metrics import GatewayMetrics, StageMetrics, exposition
from serve_app.observability.reply_stats import ReplyStats
from tests.fakes import FakeClock

RATE = 1000


class Recorded:
    """In the place of Ray's metrics: what each was given, by its name and tags."""

    def __init__(self) -> None:
        self.values: defaultdict[str, list[float]] = defaultdict(list)

    def metric(self, name: str, description: str, **_: Any) -> SimpleNamespace:
        assert description

        def record(value: float = 1.0, tags: dict[str, str] | None = None) -> None:
            self.values[" ".join([name, *(tags or {}).values()])].append(value)

        return SimpleNamespace(inc=record, set=record, observe=record)

    def last(self, name: str) -> float:
        return self.values[name][-1]


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    recorded = Recorded()
    kinds = dict.fromkeys(("Counter", "Gauge", "Histogram"), recorded.metric)
    monkeypatch.setattr(metrics_module, "metrics", SimpleNamespace(**kinds))
    return recorded


def spoken(clock: FakeClock) -> ReplyStats:
    """Two seconds of audio after one second, with half a second's wait between them."""
    stats = ReplyStats(RATE, clock)
    clock.now += 0.5
    stats.note(TextDelta("a"))
    for pause in (0.5, 1.5):
        clock.now += pause
        stats.note(AudioChunk(np.zeros(RATE, np.int16), final=False))
    return stats


def test_a_reply_waits_then_runs_then_ends(recorded: Recorded) -> None:
    metrics = GatewayMetrics()

    def shown() -> tuple[float, float, int]:
        return recorded.last("opens2s_replies_waiting"), recorded.last("opens2s_replies_running"), metrics.under_way

    with metrics.queued():
        assert shown() == (1, 0, 1)
    metrics.waits()
    assert shown() == (1, 0, 1)
    metrics.starts()
    assert shown() == (0, 1, 1)
    metrics.ends(ReplyStats(RATE), "completed", started=True)
    metrics.waits()
    metrics.ends(ReplyStats(RATE), "overloaded", started=False)
    assert shown() == (0, 0, 0)
    assert recorded.values["opens2s_replies completed"] == recorded.values["opens2s_replies overloaded"] == [1]


def test_the_times_and_the_audio_of_a_spoken_reply_are_counted(recorded: Recorded) -> None:
    metrics = GatewayMetrics()
    metrics.waits()
    metrics.ends(spoken(FakeClock()), "completed", started=False)
    assert recorded.values["opens2s_time_to_first_text_seconds"] == [0.5]
    assert recorded.values["opens2s_time_to_first_audio_seconds"] == [1.0]
    assert recorded.values["opens2s_audio_gap_seconds"] == [1.5]
    assert recorded.values["opens2s_audio_seconds"] == [2.0]
    assert recorded.values["opens2s_underrun_seconds"] == [0.5]
    assert recorded.values["opens2s_spoken_replies"] == [1]
    assert recorded.values["opens2s_continuous_replies"] == []
    assert recorded.values["opens2s_real_time_factor"] == [1.25]


def test_a_reply_that_was_left_has_no_real_time_factor(recorded: Recorded) -> None:
    metrics = GatewayMetrics()
    metrics.waits()
    metrics.ends(spoken(FakeClock()), "aborted", started=False)
    assert recorded.values["opens2s_real_time_factor"] == []


def test_lost_stages_and_cut_speech_are_counted_by_what_and_why(recorded: Recorded) -> None:
    metrics = GatewayMetrics()
    metrics.resumed("thinker")
    metrics.cut("loop")
    assert recorded.values["opens2s_resumes thinker"] == [1]
    assert recorded.values["opens2s_speech_cut loop"] == [1]


def test_a_stage_shows_its_slots_as_they_are_now(recorded: Recorded) -> None:
    slots = SimpleNamespace(capacity=4, open_streams=0)
    metrics = StageMetrics("thinker", slots)
    slots.open_streams = 3
    metrics.report()
    assert recorded.values["opens2s_slots_used thinker"] == [0, 3]
    assert recorded.last("opens2s_slots thinker") == 4


def page(node: str) -> str:
    return f"""\
# HELP ray_tasks Ray's own
# TYPE ray_tasks gauge
ray_tasks{{node="{node}"}} 3
# HELP ray_opens2s_replies_total Replies that ended
# TYPE ray_opens2s_replies_total counter
ray_opens2s_replies_total{{node="{node}"}} 2
# HELP ray_opens2s_gap_seconds Between chunks
# TYPE ray_opens2s_gap_seconds histogram
ray_opens2s_gap_seconds_bucket{{node="{node}",le="1"}} 2
ray_opens2s_gap_seconds_count{{node="{node}"}} 2
"""


def test_the_pages_of_all_nodes_are_one_and_describe_each_metric_once(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [{"NodeManagerAddress": name, "MetricsExportPort": 80, "Alive": name != "dead"} for name in "ab"]
    nodes.append({"NodeManagerAddress": "gone", "MetricsExportPort": 80, "Alive": True})
    nodes.append({"NodeManagerAddress": "dead", "MetricsExportPort": 80, "Alive": False})

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.host != "dead"
        if request.url.host == "gone":
            raise httpx.ConnectError("no such host")
        return httpx.Response(200, text=page(request.url.host))

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    monkeypatch.setattr(metrics_module.ray, "nodes", lambda: nodes)
    monkeypatch.setattr(metrics_module.httpx, "AsyncClient", lambda timeout: client)
    lines = asyncio.run(exposition()).splitlines()
    assert sorted(lines[:4]) == sorted(
        [
            "# HELP ray_opens2s_replies_total Replies that ended",
            "# TYPE ray_opens2s_replies_total counter",
            'ray_opens2s_replies_total{node="a"} 2',
            'ray_opens2s_replies_total{node="b"} 2',
        ]
    )
    assert [line for line in lines if line.startswith("# TYPE")][1:] == ["# TYPE ray_opens2s_gap_seconds histogram"]
    assert len(lines) == 10
