"""Gaps in the audio of clients that play their replies as they come, by the number of clients."""

import statistics
from collections.abc import Iterator

from tqdm import tqdm

from opens2s_core.benchmark.report import Bound, Measurement
from serve_app.benchmark.clients import ReplyResult
from serve_app.benchmark.comparison import Comparison, measured_row, milliseconds, single_row
from serve_app.benchmark.load import burst, closed_loop

_CLIENTS = (1, 2, 3, 4)
_BOUNDED = 2
"""Up to so many clients must hear no gap on the two cores of the reference machine."""
_WITHOUT_GAP = Bound("at least", 100)
_FIRST_AUDIO_RATIO = Bound("at most", 1.6)
_TURNS = 2


def closed_loop_rows(comparison: Comparison) -> Iterator[Measurement]:
    """Clients that ask again as soon as they have a reply."""
    return _load_rows(comparison, "closed loop", listen=False)


def listening_rows(comparison: Comparison) -> Iterator[Measurement]:
    """Clients that play a reply to its end before they ask again."""
    return _load_rows(comparison, "listening to the end", listen=True)


def _load_rows(comparison: Comparison, mode: str, *, listen: bool) -> Iterator[Measurement]:
    alone: list[float] = []
    with comparison.serving():
        comparison.run_each(burst, comparison.workload.take(8))
        for count in _CLIENTS:
            what = f"{count} client{'s' if count > 1 else ''}, {mode}"
            replies = _replies(comparison, count, listen, what)
            first = [milliseconds([reply.first_audio for reply in each]) for each in replies]
            yield from _rows(what, count, replies, first)
            medians = [statistics.median(each) for each in first]
            alone = alone or medians
            if count > 1:
                ratios = [median / one for median, one in zip(medians, alone, strict=True)]
                name = f"time to first audio, {count} clients to 1, {mode}"
                bound = _FIRST_AUDIO_RATIO if count == _BOUNDED else None
                yield single_row(name, "times", ratios, better="lower", bound=bound)


def _replies(comparison: Comparison, count: int, listen: bool, what: str) -> list[list[ReplyResult]]:
    replies: list[list[ReplyResult]] = [[] for _ in comparison.settings]
    for turn in tqdm(range(_TURNS), desc=what, unit="turn"):
        bodies = comparison.workload.take(64)
        seconds = comparison.benchmark.steady / _TURNS
        results = comparison.run_each(closed_loop, bodies, count, seconds, listen, turn=turn)
        for number, result in enumerate(results):
            replies[number] += result.replies
    return replies


def _rows(what: str, count: int, replies: list[list[ReplyResult]], first: list[list[float]]) -> Iterator[Measurement]:
    shares = [100 * sum(reply.continuous for reply in each) / len(each) for each in replies]
    bound = _WITHOUT_GAP if count <= _BOUNDED else None
    yield single_row(f"replies without a gap above 100 ms, {what}", "%", shares, better="higher", bound=bound)
    longest = [max(milliseconds([reply.longest_underrun for reply in each])) for each in replies]
    yield single_row(f"longest gap, {what}", "ms", longest)
    yield single_row(f"replies, {what}", "replies", [len(each) for each in replies])
    yield measured_row(f"time to first audio, {what}", "ms", first, better="lower")
