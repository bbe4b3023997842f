"""How soon audio comes, how much of it is made, and what messages between processes take."""

import time
from collections.abc import Iterator

from tqdm import tqdm

from opens2s_core.benchmark.report import Bound, Measurement
from serve_app.benchmark.clients import LoadResult
from serve_app.benchmark.comparison import Comparison, measured_row, milliseconds, single_row
from serve_app.benchmark.load import burst, closed_loop
from serve_app.benchmark.server import Server

_WARMING = 10
"""Rounds that are not counted: they warm both sides, and a Ray that has just started still uses the CPU."""
_ADDED = Bound("at most", 40)
_THROUGHPUT_RATIO = Bound("at least", 0.85)
_MESSAGE = Bound("at most", 3)
_REPORT_SECONDS = 12.0
"""Ray reports metrics every 10 s by default; a baseline checkout may not shorten that."""
_STREAMS = 3


def first_audio_rows(comparison: Comparison) -> Iterator[Measurement]:
    """One reply at a time, in turns: served by each side, and in this process."""
    served: list[list[float]] = [[] for _ in comparison.settings]
    alone: list[float] = []
    with comparison.serving():
        for turn in tqdm(range(_WARMING + comparison.benchmark.repeats), desc="1 stream", unit="round"):
            bodies = comparison.workload.take(1)
            results = _complete(comparison.run_each(burst, bodies, turn=turn))
            here = comparison.in_process(bodies, first_audio_only=True).first_audio
            if turn >= _WARMING:
                alone.append(1e3 * here)
                for times, result in zip(served, results, strict=True):
                    times += milliseconds([reply.first_audio for reply in result.replies])
    added = [[time - alone for time, alone in zip(times, alone, strict=True)] for times in served]
    yield measured_row("time to first audio, 1 stream, in process", "ms", [alone], better="lower")
    yield measured_row("time to first audio, 1 stream, served", "ms", served, better="lower")
    yield measured_row("time to first audio, 1 stream, added by serving", "ms", added, better="lower", bound=_ADDED)


def throughput_rows(comparison: Comparison) -> Iterator[Measurement]:
    """Bursts of as many replies as there are slots."""
    streams = comparison.benchmark.streams
    rates: list[list[float]] = [[] for _ in comparison.settings]
    first: list[list[float]] = [[] for _ in comparison.settings]
    cpu: list[list[float]] = [[] for _ in comparison.settings]
    alone: list[float] = []
    alone_first: list[float] = []
    with comparison.serving(capacity=streams):
        for turn in tqdm(range(1 + comparison.benchmark.repeats // 4), desc=f"{streams} streams", unit="round"):
            bodies = comparison.workload.take(streams)
            results = _complete(comparison.run_each(burst, bodies, turn=turn))
            here = comparison.in_process(bodies)
            if turn == 0:
                continue
            alone.append(streams * here.audio / here.total)
            alone_first.append(1e3 * here.first_audio)
            for number, result in enumerate(results):
                took = max(reply.seconds for reply in result.replies)
                rates[number].append(sum(reply.audio for reply in result.replies) / took)
                first[number] += milliseconds([reply.first_audio for reply in result.replies])
                cpu[number].append(result.cpu_seconds / took)
    ratios = [[rate / alone for rate, alone in zip(each, alone, strict=True)] for each in rates]
    what = f"{streams} streams"
    yield measured_row(f"audio seconds per second, {what}, in process", "s/s", [alone], better="higher")
    yield measured_row(f"audio seconds per second, {what}, served", "s/s", rates, better="higher")
    name = f"audio seconds per second, {what}, served to in process"
    yield measured_row(name, "times", ratios, better="higher", bound=_THROUGHPUT_RATIO)
    yield measured_row(f"time to first audio, {what}, in process", "ms", [alone_first], better="lower")
    yield measured_row(f"time to first audio, {what}, served", "ms", first, better="lower")
    yield measured_row(f"CPU time of the clients, {what}", "cores", cpu, better="lower")


def transfer_rows(comparison: Comparison) -> Iterator[Measurement]:
    """Means over all messages of a steady load, by what the servers' metrics say."""

    def transfers(server: Server) -> dict[tuple[str, str], float]:
        before = server.transfers()
        comparison.run(server, closed_loop, bodies, _STREAMS, comparison.benchmark.steady / 2)
        time.sleep(_REPORT_SECONDS)
        return {
            hop: (seconds - before.get(hop, (0, 0))[0]) / (count - before.get(hop, (0, 0))[1])
            for hop, (seconds, count) in server.transfers().items()
            if count > before.get(hop, (0, 0))[1]
        }

    with comparison.serving():
        bodies = comparison.workload.take(64)
        comparison.run_each(burst, bodies[:2])
        time.sleep(_REPORT_SECONDS)
        measured = comparison.each(transfers)
    for stage, way in sorted(measured[0]):
        name = f"message transfer time {'to' if way == 'in' else 'from'} {stage}, {_STREAMS} streams"
        seconds = [each.get((stage, way)) for each in measured]
        values = [None if each is None else 1e3 * each for each in seconds]
        yield single_row(name, "ms", values, better="lower", bound=_MESSAGE)


def _complete(results: list[LoadResult]) -> list[LoadResult]:
    for reply in (reply for result in results for reply in result.replies):
        if not reply.complete or reply.first_audio is None:
            raise RuntimeError(f"expected complete replies with audio, got {reply}")
    return results
