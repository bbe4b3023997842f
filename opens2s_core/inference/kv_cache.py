"""The attention keys and values of many sequences, in memory that is allocated once.

A *slot* holds one sequence. The slots in use are always the first ones, so that attention reads them in place: a
slot that is freed changes places with the last one in use. A freed slot keeps its contents until it is needed for
another sequence: the next turn of a conversation finds what the last one has computed.
"""

import itertools
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

ContentIds = NDArray[np.int64]
"""What a sequence consists of: one number for each position, equal where the embeddings are equal. Token ids, and below
0 the keys of audio clips."""

NO_CONTENT: ContentIds = np.zeros(0, dtype=np.int64)

_LEAST_REUSE = 16
"""Positions: computing fewer again takes no longer than finding and copying them."""


@dataclass(slots=True, eq=False)
class KVSlot:
    """The memory of one sequence, of which ``length`` positions are computed."""

    index: int
    length: int = 0
    content: ContentIds = field(default_factory=lambda: NO_CONTENT)  # of a free slot: what can be reused
    freed: int = -1  # grows with each slot that is freed


class KVCache:
    """``slots`` sequences of at most ``context`` positions each.

    ``memory`` is (layers, 2, slots, key heads, context + 1, head width). The last position belongs to no sequence:
    tokens that only pad a forward are written there. With ``reuse`` off nothing of a freed slot is found again.
    """

    def __init__(
        self,
        *,
        layers: int,
        slots: int,
        heads: int,
        context: int,
        width: int,
        dtype: torch.dtype,
        device: torch.device,
        reuse: bool,
    ) -> None:
        self.memory = torch.zeros((layers, 2, slots, heads, context + 1, width), dtype=dtype, device=device)
        self.slots = [KVSlot(i) for i in range(slots)]  # those in use first
        self.used = 0
        self._reuse = reuse
        self._clock = itertools.count()

    def take(self, content: ContentIds = NO_CONTENT) -> KVSlot:
        """A free slot; there must be one. Its length says how much of ``content`` is computed already."""
        assert self.used < len(self.slots), "more sequences than slots"
        free = self.slots[self.used :]
        common = [_common(slot.content, content) for slot in free]
        length = max(common)
        similar, slot = free[common.index(length)], min(free, key=lambda slot: slot.freed)
        if length < _LEAST_REUSE:
            length = 0
        elif 2 * length >= len(similar.content):
            slot = similar
        elif slot is not similar:  # most of it is another conversation with the same start that may continue: copy
            self.memory[:, :, slot.index, :, :length] = self.memory[:, :, similar.index, :, :length]
        slot.length, slot.content = length, NO_CONTENT
        self._swap(slot, self.slots[self.used])
        self.used += 1
        return slot

    def free(self, slot: KVSlot, content: ContentIds = NO_CONTENT) -> None:
        """Give a slot back, once. With the ``content`` of its positions they can be found again."""
        slot.freed = next(self._clock)
        slot.content = content[: slot.length] if self._reuse else NO_CONTENT
        slot.length = len(slot.content)
        self.used -= 1
        self._swap(slot, self.slots[self.used])

    def wipe(self, slot: KVSlot) -> None:
        """Zero a slot that may hold NaN or infinity: they change sums even where the causal mask hides them."""
        self.memory[:, :, slot.index].zero_()

    def _swap(self, one: KVSlot, other: KVSlot) -> None:
        if one is other:
            return
        computed = self.memory[..., : max(one.length, other.length), :]
        computed[:, :, [one.index, other.index]] = computed[:, :, [other.index, one.index]]
        self.slots[one.index], self.slots[other.index] = other, one
        one.index, other.index = other.index, one.index


def _common(cached: ContentIds, wanted: ContentIds) -> int:
    """Positions of ``wanted`` that are cached. The last one never is: it has yet to predict a token."""
    length = min(len(cached), len(wanted) - 1)
    if length <= 0:
        return 0
    differ = np.flatnonzero(cached[:length] != wanted[:length])
    return int(differ[0]) if len(differ) else length
