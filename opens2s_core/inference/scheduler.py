"""Scheduling of a step of the language models' engines, on integers alone: nothing here needs torch."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamWork:
    """The pending work of a stream: one token to decode, or positions to prefill. Without either, it waits for
    input."""

    decodes: bool = False
    prefill: int = 0  # positions
    clips: int = 0  # audio clips to encode first

    def __post_init__(self) -> None:
        if self.decodes and self.prefill:
            raise ValueError(f"a stream that decodes cannot prefill, got {self.prefill} positions")
        if self.prefill < 0 or self.clips < 0:
            raise ValueError(f"positions {self.prefill} and clips {self.clips}: expected at least 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class StepPlan:
    """The work of one step; streams are indices."""

    encode: int | None  # the stream whose next clip is encoded, before the forward
    decode: tuple[int, ...]
    prefill: tuple[tuple[int, int], ...]  # (stream, number of positions)


def schedule(
    work: Sequence[StreamWork], *, prefill_tokens: int, max_prefills: int | None = None, shared_budget: bool = True
) -> StepPlan:
    """Plan the next step from the ``work`` of all streams, oldest first.

    Every stream that can decode does. The first ``max_prefills`` of the others (None: all) prefill, first come first
    served: at most ``prefill_tokens`` positions together, or each if the budget is not shared. A step encodes one clip,
    of the first stream with pending clips; until all clips of a stream are encoded, neither it nor later streams
    prefill.
    """
    encode: int | None = None
    prefill: list[tuple[int, int]] = []
    left = prefill_tokens
    for stream in [i for i, one in enumerate(work) if one.prefill][:max_prefills]:
        clips = work[stream].clips
        if clips and encode is None:
            encode, clips = stream, clips - 1
        if clips:
            break
        count = min(work[stream].prefill, left)
        if count:
            prefill.append((stream, count))
        left -= count * shared_budget
    decode = tuple(i for i, one in enumerate(work) if one.decodes)
    return StepPlan(encode=encode, decode=decode, prefill=tuple(prefill))
