"""What a step of a language model's engine computes, decided from whole numbers alone. Nothing here needs torch."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamWork:
    """What a stream has to compute next: one token to decode, or positions to prefill. A stream without either waits
    for input."""

    decodes: bool = False
    prefill: int = 0  # positions
    clips: int = 0  # audio clips to encode before that

    def __post_init__(self) -> None:
        if self.decodes and self.prefill:
            raise ValueError(f"a stream that decodes has nothing to prefill, got {self.prefill} positions")
        if self.prefill < 0 or self.clips < 0:
            raise ValueError(f"positions {self.prefill} and clips {self.clips}: expected at least 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class StepPlan:
    """What one step computes; streams are indices."""

    encode: int | None  # the stream of which one clip is encoded first
    decode: tuple[int, ...]
    prefill: tuple[tuple[int, int], ...]  # streams and how many of their positions


def schedule(
    work: Sequence[StreamWork], *, prefill_tokens: int, max_prefills: int | None = None, shared_budget: bool = True
) -> StepPlan:
    """What the next step computes of the ``work`` of all streams, oldest first.

    Every stream that can decode does. Of the others the first ``max_prefills`` (None: all) prefill, first come first
    served: together at most ``prefill_tokens`` positions, or each so many where the budget is not shared. One clip is
    encoded in a step, of the first stream that has any; until all clips of a stream are encoded, neither it nor those
    after it prefill.
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
