"""More requests than there are slots: how soon they are refused, and what the running replies notice of it."""

import time
from collections.abc import Iterator, Sequence
from functools import partial

from tqdm import tqdm

from opens2s_core.benchmark.report import Bound, Measurement
from serve_app.benchmark.clients import Body, LoadResult, ReplyResult
from serve_app.benchmark.comparison import Comparison, measured_row, milliseconds, percentile, single_row
from serve_app.benchmark.load import burst, closed_loop, headers_only, open_loop, saturate
from serve_app.benchmark.server import Server

_ROUNDS = 5
_BURST = 100
_BURST_AUDIO_SECONDS = 3.75  # 120 kB
_BURST_LEAVE_SECONDS = 8.0
_BEFORE_BURST_SECONDS = 1.0
_SATURATING_CLIENTS = 48
_FILL_SECONDS = 4.0
_RATE, _RATE_SECONDS = 20.0, 10.0
_PROBES = 9
_PROBE_LEAVE_SECONDS = 2.0
_HEADERS_RATE, _HEADERS_SECONDS = 25.0, 10.0
_SETTLE_SECONDS = 2.0
_NONE = Bound("at most", 0)


def overload_rows(comparison: Comparison) -> Iterator[Measurement]:
    with comparison.serving():
        comparison.run_each(burst, comparison.workload.take(8))
        yield from _burst_rows(comparison)
        yield from _full_rows(comparison)
        yield from _headers_rows(comparison)


def _burst_rows(comparison: Comparison) -> Iterator[Measurement]:
    """While two replies run, 100 requests come at once."""
    running: list[list[ReplyResult]] = [[] for _ in comparison.settings]
    undisturbed: list[list[ReplyResult]] = [[] for _ in comparison.settings]
    others: list[list[ReplyResult]] = [[] for _ in comparison.settings]
    bodies = comparison.workload.audio(_BURST, _BURST_AUDIO_SECONDS)

    def disturb(server: Server, pair: Sequence[Body]) -> tuple[LoadResult, LoadResult]:
        replies = comparison.start(server, burst, pair)
        time.sleep(_BEFORE_BURST_SECONDS)
        refused = comparison.run(server, burst, bodies, _BURST_LEAVE_SECONDS)
        time.sleep(_SETTLE_SECONDS)
        return replies(), refused

    for turn in tqdm(range(_ROUNDS), desc=f"burst of {_BURST}", unit="round"):
        pair = comparison.workload.take(2)
        for number, result in enumerate(comparison.run_each(burst, pair, turn=turn)):
            undisturbed[number] += result.replies
        for number, (replies, refused) in enumerate(comparison.each(partial(disturb, pair=pair), turn)):
            running[number] += replies.replies
            others[number] += refused.replies
    what = f"burst of {_BURST} requests during 2 replies"
    added = [
        max(0.0, *(_gap(new) - _gap(old) for new, old in zip(*replies, strict=True)))
        for replies in zip(running, undisturbed, strict=True)
    ]
    complete = [sum(reply.complete for reply in each) for each in running]
    yield single_row(f"{what}: added gap, largest", "ms", added, better="lower", bound=Bound("at most", 200))
    bound = Bound("at least", 2 * _ROUNDS)
    yield single_row(f"{what}: running replies complete", "replies", complete, better="higher", bound=bound)
    times = [_refusal_times(each) for each in others]
    yield single_row(f"{what}: refusals", "replies", [len(each) for each in times])
    yield measured_row(f"{what}: time to refusal", "ms", times, better="lower")
    longest = [max(each, default=None) for each in times]
    yield single_row(f"{what}: time to refusal, longest", "ms", longest, better="lower", bound=Bound("at most", 1000))


def _full_rows(comparison: Comparison) -> Iterator[Measurement]:
    """All slots taken, and all that may wait."""

    def probe(server: Server) -> tuple[list[float], list[float]]:
        seconds = _FILL_SECONDS + _RATE_SECONDS + 3 * _PROBE_LEAVE_SECONDS
        filled = comparison.start(server, saturate, comparison.workload.take(64), _SATURATING_CLIENTS, seconds)
        time.sleep(_FILL_SECONDS)
        bodies = comparison.workload.take(_PROBES)
        alone = [comparison.run(server, burst, [body], _PROBE_LEAVE_SECONDS).replies[0] for body in bodies]
        many = comparison.run(server, open_loop, bodies, _RATE, _RATE_SECONDS, _PROBE_LEAVE_SECONDS)
        filled()
        time.sleep(_SETTLE_SECONDS)
        return _refusal_times(alone), _refusal_times(many.replies)

    measured = comparison.each(probe)
    one, many = ([each[part] for each in measured] for part in (0, 1))
    yield single_row(f"all slots taken, one request at a time: refusals of {_PROBES}", "replies", list(map(len, one)))
    name = "all slots taken, one request at a time: time to refusal"
    yield measured_row(name, "ms", one, better="lower", bound=Bound("at most", 50))
    what = f"all slots taken, {_RATE:g} requests a second for {_RATE_SECONDS:g} s"
    yield single_row(f"{what}: refusals", "replies", list(map(len, many)))
    yield measured_row(f"{what}: time to refusal", "ms", many, better="lower")
    worst, bound = percentile(95), Bound("at most", 200)
    values = [worst(each) if each else None for each in many]
    yield single_row(f"{what}: time to refusal, 95th percentile", "ms", values, better="lower", bound=bound)


def _headers_rows(comparison: Comparison) -> Iterator[Measurement]:
    """Two clients, while others connect and send no body."""

    def measure(server: Server) -> list[ReplyResult]:
        idle = comparison.start(server, headers_only, _HEADERS_RATE, _HEADERS_SECONDS)
        replies = comparison.run(server, closed_loop, comparison.workload.take(64), 2, _HEADERS_SECONDS).replies
        idle()
        return replies

    measured = comparison.each(measure)
    what = f"{_HEADERS_RATE:g} connections a second without a body for {_HEADERS_SECONDS:g} s"
    yield single_row(f"{what}: replies", "replies", [sum(reply.complete for reply in each) for each in measured])
    refused = [sum(reply.refused or reply.lost for reply in each) for each in measured]
    yield single_row(f"{what}: replies refused or lost", "replies", refused, better="lower", bound=_NONE)


def _refusal_times(replies: list[ReplyResult]) -> list[float]:
    return milliseconds([reply.seconds for reply in replies if reply.refused])


def _gap(reply: ReplyResult) -> float:
    return 1e3 * reply.longest_underrun
