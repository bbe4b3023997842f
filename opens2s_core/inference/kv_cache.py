"""The attention keys and values of many sequences, in memory that is allocated once.

A *slot* holds one sequence. The slots in use are always the first ones, so that attention reads them in place: a freed
slot is swapped with the last one in use. A freed slot keeps its contents until it is needed for another sequence, so
that the next turn of a conversation can reuse them (prefix caching).
"""

import itertools
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

ContentIds = NDArray[np.int64]
"""The content of a sequence, one number per position, equal if the embeddings are equal: token ids, and keys of audio
clips below 0."""

NO_CONTENT: ContentIds = np.zeros(0, dtype=np.int64)

_LEAST_REUSE = 16
"""Positions; recomputing fewer takes no longer than copying them."""


@dataclass(slots=True, eq=False)
class KVSlot:
    """The memory of one sequence, of which ``length`` positions are computed."""

    index: int
    length: int = 0
    content: ContentIds = field(default_factory=lambda: NO_CONTENT)  # reusable content of a free slot
    freed: int = -1  # logical time at which it was freed


class KVCache:
    """``slots`` sequences of at most ``context`` positions each.

    ``memory`` is (layers, 2, slots, key heads, context + 1, head width). The last position is
    scratch space for padding tokens. Without ``reuse`` the contents of a freed slot are not reused.
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
        """A free slot; there must be one. Its length is the number of positions of ``content`` that are already
        computed."""
        assert self.used < len(self.slots), "more sequences than slots"
        free = self.slots[self.used :]
        common = [_common(slot.content, content) for slot in free]
        length = max(common)
        similar, slot = free[common.index(length)], min(free, key=lambda slot: slot.freed)
        if length < _LEAST_REUSE:
            length = 0
        elif 2 * length >= len(similar.content):
            slot = similar
        elif slot is not similar:  # most of it is another conversation with the same prefix, which may continue: copy
            self.memory[:, :, slot.index, :, :length] = self.memory[:, :, similar.index, :, :length]
        slot.length, slot.content = length, NO_CONTENT
        self._swap(slot, self.slots[self.used])
        self.used += 1
        return slot

    def free(self, slot: KVSlot, content: ContentIds = NO_CONTENT) -> None:
        """Free a slot, once. With ``content``, its positions can be reused."""
        slot.freed = next(self._clock)
        slot.content = content[: slot.length] if self._reuse else NO_CONTENT
        slot.length = len(slot.content)
        self.used -= 1
        self._swap(slot, self.slots[self.used])

    def wipe(self, slot: KVSlot) -> None:
        """Zero a slot that may hold NaN or infinity, which change sums even at masked positions."""
        self.memory[:, :, slot.index].zero_()

    def _swap(self, one: KVSlot, other: KVSlot) -> None:
        if one is other:
            return
        computed = self.memory[..., : max(one.length, other.length), :]
        computed[:, :, [one.index, other.index]] = computed[:, :, [other.index, one.index]]
        self.slots[one.index], self.slots[other.index] = other, one
        one.index, other.index = other.index, one.index


def _common(cached: ContentIds, wanted: ContentIds) -> int:
    """Length of the cached prefix of ``wanted``, without its last position, which must be computed to predict a
    token."""
    length = min(len(cached), len(wanted) - 1)
    if length <= 0:
        return 0
    differ = np.flatnonzero(cached[:length] != wanted[:length])
    return int(differ[0]) if len(differ) else length
