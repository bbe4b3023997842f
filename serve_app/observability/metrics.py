"""What Prometheus is told, through Ray: every process reports to its node's agent, which the ingress asks for all.

Numbers only: no sound and no words.
"""

import asyncio
from collections.abc import Iterable
from typing import Literal

import httpx
import ray
from ray.serve import metrics

from serve_app.config import StageName
from serve_app.observability.figures import ReplyFigures
from serve_app.stages.engine_thread import EngineThread

_PREFIX = "ray_opens2s_"
_LATENCIES = [0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0]
_TRANSFERS = [0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5]
_FACTORS = [0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 5.0]
_SCRAPE_SECONDS = 5.0


class _Transfers:
    def __init__(self, way: Literal["in", "out"]) -> None:
        self._seconds = metrics.Histogram(
            "opens2s_transfer_seconds",
            "From when a message was sent, to a stage or by it, to when it was there",
            boundaries=_TRANSFERS,
            tag_keys=("stage", "way"),  # type: ignore[arg-type]  # Ray's annotation means any number
        )
        self._way = way

    def transferred(self, stage: StageName, seconds: float) -> None:
        self._seconds.observe(seconds, tags={"stage": stage, "way": self._way})


class StageMetrics(_Transfers):
    """Of one replica of a stage."""

    def __init__(self, stage: StageName, engine: EngineThread) -> None:
        super().__init__("in")
        self._engine = engine
        self._tags: dict[str, str] = {"stage": stage}
        self._used = metrics.Gauge("opens2s_slots_used", "Replies in the engine", tag_keys=("stage",))
        self._slots = metrics.Gauge("opens2s_slots", "Replies that the engine has room for", tag_keys=("stage",))
        self.report()

    def report(self) -> None:
        """To be called now and then: gauges tell what is now."""
        self._used.set(self._engine.open_streams, tags=self._tags)
        self._slots.set(self._engine.capacity, tags=self._tags)


class IngressMetrics(_Transfers):
    """Of one replica of the ingress."""

    def __init__(self) -> None:
        super().__init__("out")
        self._waiting = self._running = 0
        self._waiting_gauge = metrics.Gauge("opens2s_replies_waiting", "Replies that wait for a place")
        self._running_gauge = metrics.Gauge("opens2s_replies_running", "Replies under way")
        self._replies = metrics.Counter("opens2s_replies", "Replies that ended", tag_keys=("outcome",))
        self._resumes = metrics.Counter("opens2s_resumes", "Replies gone on with elsewhere", tag_keys=("stage",))
        self._audio = metrics.Counter("opens2s_audio_seconds", "Seconds of sound made")
        self._underrun = metrics.Counter("opens2s_underrun_seconds", "Seconds that listeners waited for sound")
        self._continuous = metrics.Counter("opens2s_continuous_replies", "Spoken replies without a gap above 100 ms")
        self._spoken = metrics.Counter("opens2s_spoken_replies", "Replies that were heard, whole or in part")
        self._first_text = _latency("opens2s_time_to_first_text_seconds", "From the request to the first text")
        self._first_audio = _latency("opens2s_time_to_first_audio_seconds", "From the request to the first sound")
        self._gap = _latency("opens2s_audio_gap_seconds", "Between two parts of a reply's sound")
        self._factor = metrics.Histogram(
            "opens2s_real_time_factor", "Seconds that a spoken reply took per second of sound", boundaries=_FACTORS
        )

    @property
    def under_way(self) -> int:
        """Replies that wait or are being made."""
        return self._waiting + self._running

    def waits(self) -> None:
        self._waiting += 1
        self._tell()

    def begins(self) -> None:
        self._waiting -= 1
        self._running += 1
        self._tell()

    def resumed(self, stage: str) -> None:
        self._resumes.inc(tags={"stage": stage})

    def ends(self, figures: ReplyFigures, outcome: str, *, begun: bool) -> None:
        self._running -= begun
        self._waiting -= not begun
        self._tell()
        self._replies.inc(tags={"outcome": outcome})
        if figures.first_text is not None:
            self._first_text.observe(figures.first_text)
        if figures.first_audio is None:
            return
        self._first_audio.observe(figures.first_audio)
        for gap in figures.gaps:
            self._gap.observe(gap)
        self._spoken.inc()
        for counter, value in ((self._audio, figures.audio), (self._underrun, figures.underrun)):
            if value > 0:
                counter.inc(value)
        if figures.continuous:
            self._continuous.inc()
        if outcome == "completed" and figures.real_time_factor is not None:
            self._factor.observe(figures.real_time_factor)

    def _tell(self) -> None:
        self._waiting_gauge.set(self._waiting)
        self._running_gauge.set(self._running)


def _latency(name: str, description: str) -> metrics.Histogram:
    return metrics.Histogram(name, description, boundaries=_LATENCIES)


async def exposition() -> str:
    """What all nodes report of this platform, in Prometheus' text format; a few seconds old."""
    places = {
        f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        for node in await asyncio.to_thread(ray.nodes)
        if node["Alive"]
    }
    async with httpx.AsyncClient(timeout=_SCRAPE_SECONDS) as client:
        pages = await asyncio.gather(*(client.get(place) for place in places), return_exceptions=True)
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
