"""The servers of a benchmark: of this checkout and, in the same run, of the baseline if there is one."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np

from opens2s_core.benchmark import conversation
from opens2s_core.benchmark.report import Baseline, Bound, Measurement, middle_half
from opens2s_core.checkpoint.bundle import read_bundle_info
from opens2s_core.inference.pipeline import Pipeline
from serve_app.api.chat_request import chat_reply_request, parse_chat
from serve_app.api.context import ApiContext
from serve_app.benchmark.clients import Body, ClientProcesses, LoadPattern, LoadResult, Target
from serve_app.benchmark.server import Server, ServerSettings
from serve_app.benchmark.workload import Workload
from serve_app.config import Limits

T = TypeVar("T")
Better = Literal["lower", "higher"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeBenchmark:
    """``repeats`` of each measurement; ``steady`` is seconds of even load, and ``churn`` of ``clients`` that come and
    leave. ``streams`` replies at once show the throughput."""

    repeats: int = 20
    steady: float = 30.0
    churn: float = 60.0
    clients: int = 100
    streams: int = 8


class Comparison:
    """The servers to measure, this checkout's first; ``workload`` is what they are asked."""

    def __init__(
        self,
        benchmark: ServeBenchmark,
        settings: Sequence[ServerSettings],
        workload: Workload,
        clients: ClientProcesses,
    ) -> None:
        self.benchmark = benchmark
        self.workload = workload
        self.clients = clients
        self.settings = settings
        self.info = read_bundle_info(settings[0].greedy_bundle)
        self.servers: Sequence[Server] = ()

    @contextmanager
    def serving(self, **stages: Any) -> Iterator[Sequence[Server]]:
        """All servers at once, with one replica of each stage; ``stages`` replaces fields in the configuration of every
        stage."""
        stages = {"max_replicas": 1} | stages
        with ExitStack() as running:
            self.servers = [running.enter_context(Server(replace(one, stages=stages))) for one in self.settings]
            yield self.servers

    def target(self, server: Server) -> Target:
        return Target(server.url, self.info.sample_rate)

    def run(self, server: Server, pattern: LoadPattern, *arguments: Any) -> LoadResult:
        return self.clients.run(self.target(server), pattern, *arguments)

    def start(self, server: Server, pattern: LoadPattern, *arguments: Any) -> Callable[[], LoadResult]:
        return self.clients.start(self.target(server), pattern, *arguments)

    def run_each(self, pattern: LoadPattern, *arguments: Any, turn: int = 0) -> list[LoadResult]:
        """The same load for each server, see :meth:`each`."""
        return self.each(lambda server: self.run(server, pattern, *arguments), turn)

    def each(self, measure: Callable[[Server], T], turn: int = 0) -> list[T]:
        """What is measured of each server, one after the other; in odd turns the last comes first, so that a machine
        that slows down slows both."""
        order = self.servers if turn % 2 == 0 else self.servers[::-1]
        measured = [measure(server) for server in order]
        return measured if turn % 2 == 0 else measured[::-1]

    @cached_property
    def _pipeline(self) -> Pipeline:
        return Pipeline.load(self.settings[0].greedy_bundle, capacity=self.benchmark.streams)

    def in_process(self, bodies: Sequence[Body], *, first_audio_only: bool = False) -> conversation.RepliesTiming:
        """The same replies, all at once, by the engines of this checkout in this process."""
        context = ApiContext(
            model="opens2s",
            limits=Limits(),
            units_per_token=self.info.units_per_token,
            units_temperature=self.info.units_temperature,
        )
        requests = [chat_reply_request(parse_chat(body, context), context) for body in bodies]
        return conversation.run_replies(
            self._pipeline, requests, self.info.sample_rate, first_audio_only=first_audio_only
        )


def measured_row(
    name: str,
    unit: str,
    samples: Sequence[Sequence[float]],
    *,
    better: Better,
    bound: Bound | None = None,
    statistic: Callable[[Sequence[float]], float] = statistics.median,
) -> Measurement:
    """A row of repeated measurements of each server: a statistic of them and the range of their middle half."""
    values = [statistic(each) if each else None for each in samples]
    spreads = [middle_half(each) for each in samples]
    row = Measurement(name=name, value=values[0], unit=unit, better=better, bound=bound, spread=spreads[0])
    return replace(row, baseline=Baseline(values[1], spreads[1])) if len(values) > 1 else row


def single_row(
    name: str, unit: str, values: Sequence[float | None], *, better: Better | None = None, bound: Bound | None = None
) -> Measurement:
    """A row of one number per server."""
    row = Measurement(name=name, value=values[0], unit=unit, better=better, bound=bound)
    return replace(row, baseline=Baseline(values[1])) if len(values) > 1 else row


def percentile(share: float) -> Callable[[Sequence[float]], float]:
    return lambda values: float(np.percentile(values, share))


def milliseconds(seconds: Sequence[float | None]) -> list[float]:
    """In milliseconds; None is left out."""
    return [1e3 * each for each in seconds if each is not None]
