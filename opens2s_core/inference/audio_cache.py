"""Cache of audio embeddings: a conversation sends its earlier clips again with every turn."""

import hashlib
from collections import OrderedDict

import numpy as np
from torch import Tensor

from opens2s_core.audio import Waveform

_MAX_BYTES = 256 * 2**20

ClipKey = int
"""Hash of the samples of a clip; below 0, to differ from token ids."""


def clip_key(clip: Waveform) -> ClipKey:
    """The key of samples (n,)."""
    digest = hashlib.blake2b(np.ascontiguousarray(clip).tobytes(), digest_size=8).digest()
    return -1 - int.from_bytes(digest) // 2


class AudioEmbeddingCache:
    """LRU cache of clip embeddings (positions, D), ``max_bytes`` in total."""

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._embeddings: OrderedDict[ClipKey, Tensor] = OrderedDict()

    def get(self, key: ClipKey) -> Tensor | None:
        if key in self._embeddings:
            self._embeddings.move_to_end(key)
        return self._embeddings.get(key)

    def put(self, key: ClipKey, embedding: Tensor) -> None:
        """Add an embedding; one that is not finite is ignored."""
        if key in self._embeddings or not bool(embedding.isfinite().all()):
            return
        self._embeddings[key] = embedding
        self._bytes += embedding.nbytes
        while self._bytes > self._max_bytes:
            _, oldest = self._embeddings.popitem(last=False)
            self._bytes -= oldest.nbytes
