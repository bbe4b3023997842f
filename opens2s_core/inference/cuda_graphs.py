"""CUDA graphs for decoding: one for each number of positions read."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Decode = Callable[[Tensor, Tensor, Tensor, int], Tensor]
"""Embeddings (R, D), positions (R,), where to write (R,), positions to read → hidden states (R, D), of R KV slots."""

_WARM_UPS = 3
"""Runs before a graph is captured, for the lazy initialisation of libraries."""


class CudaGraphs:
    """Runs ``decode`` for all KV slots. A graph is captured when its size is first needed; graphs share a memory
    pool."""

    def __init__(self, decode: Decode, embeddings: Tensor, *, spare: int) -> None:
        """``embeddings`` (R, D) becomes the input buffer; ``spare`` is a position that may be overwritten."""
        self._decode = decode
        self._embeddings = embeddings
        self._positions = torch.zeros(len(embeddings), dtype=torch.long, device=embeddings.device)
        self._writes = torch.empty_like(self._positions)
        self._spare = spare
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, Tensor]] = {}
        self._pool: Any = None  # shared by the graphs

    @torch.inference_mode()
    def record(self, read: int) -> None:
        """Capture the graph that reads ``read`` positions."""
        self._positions.zero_()
        self._writes.fill_(self._spare)  # capturing runs the kernels, which must not overwrite positions in use
        inputs = (self._embeddings, self._positions, self._writes)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                self._decode(*inputs, read)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads of the process may use the GPU during capture.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            hidden = self._decode(*inputs, read)
        self._pool = self._pool or graph.pool()
        self._graphs[read] = graph, hidden

    def __call__(self, embeddings: Tensor, positions: Tensor, writes: Tensor, read: int) -> Tensor:
        """Hidden states (R, D)."""
        if read not in self._graphs:
            self.record(read)
        graph, hidden = self._graphs[read]
        self._embeddings.copy_(embeddings)
        self._positions.copy_(positions)
        self._writes.copy_(writes)
        graph.replay()
        return hidden.clone()
