"""What Prometheus is given, through Ray: every process reports to its node's agent, which the gateway asks for all.

Numbers only: no audio and no words.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal, Protocol

import httpx
import ray
from ray.serve import metrics

from opens2s_core.inference.messages import SpeechFinish
from serve_app.observability.reply_stats import ReplyStats

_PREFIX = "ray_opens2s_"
_LATENCIES = [0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0]
_TRANSFERS = [0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5]
_FACTORS = [0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 5.0]
_SCRAPE_SECONDS = 5.0


class Slots(Protocol):
    """Slot counts of an engine."""

    @property
    def capacity(self) -> int: ...

    @property
    def open_streams(self) -> int: ...


class Transfers:
    """How long messages take from one process to the next."""

    def __init__(self, way: Literal["in", "out"]) -> None:
        self._seconds = metrics.Histogram(
            "opens2s_transfer_seconds",
            "From when a message was sent, to a stage or by it, to when it arrived",
            boundaries=_TRANSFERS,
            tag_keys=("stage", "way"),  # type: ignore[arg-type]  # Ray's annotation means any number
        )
        self._way = way

    def observe(self, stage: str, seconds: float) -> None:
        self._seconds.observe(seconds, tags={"stage": stage, "way": self._way})


class StageMetrics:
    """Metrics of one replica of a stage."""

    def __init__(self, stage: str, slots: Slots) -> None:
        self.transfers = Transfers("in")
        self._slots = slots
        self._tags: dict[str, str] = {"stage": stage}
        self._used_gauge = metrics.Gauge("opens2s_slots_used", "Replies in the engine", tag_keys=("stage",))
        self._slots_gauge = metrics.Gauge("opens2s_slots", "Replies that the engine has room for", tag_keys=("stage",))
        self.report()

    def report(self) -> None:
        """Set the gauges; to be called periodically."""
        self._used_gauge.set(self._slots.open_streams, tags=self._tags)
        self._slots_gauge.set(self._slots.capacity, tags=self._tags)


class GatewayMetrics:
    """Metrics of one replica of the gateway."""

    def __init__(self) -> None:
        self.transfers = Transfers("out")
        self._waiting = self._running = 0
        self._waiting_gauge = metrics.Gauge("opens2s_replies_waiting", "Replies that wait for a slot")
        self._running_gauge = metrics.Gauge("opens2s_replies_running", "Replies that are being made")
        self._replies = metrics.Counter("opens2s_replies", "Replies that ended", tag_keys=("outcome",))
        self._resumes = metrics.Counter(
            "opens2s_resumes", "Attempts repeated because a stage failed, was lost or was full", tag_keys=("stage",)
        )
        self._cut = metrics.Counter(
            "opens2s_speech_cut", "Replies whose speech was ended: too long, or in a loop", tag_keys=("reason",)
        )
        self._audio = metrics.Counter("opens2s_audio_seconds", "Seconds of audio made")
        self._underrun = metrics.Counter("opens2s_underrun_seconds", "Seconds that listeners waited for audio")
        self._continuous = metrics.Counter("opens2s_continuous_replies", "Spoken replies without a gap above 100 ms")
        self._spoken = metrics.Counter("opens2s_spoken_replies", "Replies with audio, whole or in part")
        self._first_text = _latency("opens2s_time_to_first_text_seconds", "From the request to the first text")
        self._first_audio = _latency("opens2s_time_to_first_audio_seconds", "From the request to the first audio")
        self._gap = _latency("opens2s_audio_gap_seconds", "Between two chunks of a reply's audio")
        self._factor = metrics.Histogram(
            "opens2s_real_time_factor", "Seconds that a spoken reply took per second of audio", boundaries=_FACTORS
        )

    @property
    def under_way(self) -> int:
        """Replies that wait or are being made."""
        return self._waiting + self._running

    @contextmanager
    def queued(self) -> Iterator[None]:
        """A request waits for its turn meanwhile."""
        self._waiting += 1
        self._report()
        try:
            yield
        finally:
            self._waiting -= 1
            self._report()

    def waits(self) -> None:
        """One more reply is to be made."""
        self._waiting += 1
        self._report()

    def starts(self) -> None:
        """One that waited has a slot in every stage that it needs."""
        self._waiting -= 1
        self._running += 1
        self._report()

    def resumed(self, stage: str) -> None:
        self._resumes.inc(tags={"stage": stage})

    def cut(self, reason: SpeechFinish) -> None:
        self._cut.inc(tags={"reason": reason})

    def ends(self, stats: ReplyStats, outcome: str, *, started: bool) -> None:
        """One reply ended; before it was ``started``, or after."""
        self._running -= started
        self._waiting -= not started
        self._report()
        self._replies.inc(tags={"outcome": outcome})
        if stats.first_text is not None:
            self._first_text.observe(stats.first_text)
        if stats.first_audio is None:
            return
        self._first_audio.observe(stats.first_audio)
        for gap in stats.gaps:
            self._gap.observe(gap)
        self._spoken.inc()
        for counter, value in ((self._audio, stats.audio), (self._underrun, stats.underrun)):
            if value > 0:
                counter.inc(value)
        if stats.continuous:
            self._continuous.inc()
        if outcome == "completed" and stats.real_time_factor is not None:
            self._factor.observe(stats.real_time_factor)

    def _report(self) -> None:
        self._waiting_gauge.set(self._waiting)
        self._running_gauge.set(self._running)


def _latency(name: str, description: str) -> metrics.Histogram:
    return metrics.Histogram(name, description, boundaries=_LATENCIES)


async def exposition() -> str:
    """What all nodes report of this platform, in Prometheus' text format; a few seconds old."""
    pages_at = {
        f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        for node in await asyncio.to_thread(ray.nodes)
        if node["Alive"]
    }
    async with httpx.AsyncClient(timeout=_SCRAPE_SECONDS) as client:
        pages = await asyncio.gather(*(client.get(page) for page in pages_at), return_exceptions=True)
    return _ours(page.text for page in pages if isinstance(page, httpx.Response))


def _ours(pages: Iterable[str]) -> str:
    """Our lines of the nodes' pages, those of one metric together and described once, as the format asks for."""
    described: dict[str, list[str]] = {}
    for line in "\n".join(pages).splitlines():
        words = line.split(maxsplit=3)
        name = words[2] if line.startswith("#") and len(words) > 2 else line.partition("{")[0].partition(" ")[0]
        if not name.startswith(_PREFIX):
            continue
        family = next((known for known in described if _is_part(name, known)), name)
        lines = described.setdefault(family, [])
        if not line.startswith("#") or line not in lines:
            lines.append(line)
    return "".join(f"{line}\n" for lines in described.values() for line in lines)


def _is_part(name: str, family: str) -> bool:
    return name == family or name.removeprefix(family) in ("_bucket", "_sum", "_count", "_total", "_created")
