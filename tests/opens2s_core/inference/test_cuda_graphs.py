"""CUDA graphs emulated without a GPU: replay computes from the fixed input buffers into the fixed output buffer."""

from random import Random

import pytest
import torch
from torch import Tensor

from opens2s_core.inference.batch_layout import ScheduledChunk
from opens2s_core.inference.cuda_graphs import CudaGraphs
from opens2s_core.inference.lm_settings import LMSettings
from opens2s_core.inference.slot_lm import SlotLM
from tests.opens2s_core.inference.random_engines import SMALL, random_lm

CONTEXT = 150


class Replayed:
    """Emulates the replay of a graph: reads its input buffers and writes its output buffer."""

    def __init__(self, graphs: "EagerGraphs", read: int) -> None:
        self._graphs, self._read = graphs, read
        self.hidden = torch.full_like(graphs._embeddings, torch.nan)

    def replay(self) -> None:
        graphs = self._graphs
        self.hidden.copy_(graphs._decode(graphs._embeddings, graphs._positions, graphs._writes, self._read))


class EagerGraphs(CudaGraphs):
    @torch.inference_mode()
    def record(self, read: int) -> None:
        self._positions.zero_()
        self._writes.fill_(self._spare)
        for _ in range(3):  # as its warm-ups do
            self._decode(self._embeddings, self._positions, self._writes, read)
        graph = Replayed(self, read)
        self._graphs[read] = graph, graph.hidden  # type: ignore[assignment]


@pytest.mark.parametrize("fixed_width", [False, True])
def test_recorded_decoding_reads_and_writes_what_eager_decoding_does(fixed_width: bool) -> None:
    chance, lm = Random(0), random_lm(SMALL)
    settings = LMSettings(context=CONTEXT, fixed_width=fixed_width)
    eager, recorded = (SlotLM(lm, slots=4, settings=settings) for _ in range(2))
    recorded._graphs = graphs = EagerGraphs(recorded._decode, torch.zeros(4, 24), spare=CONTEXT)
    shapes: set[tuple[torch.Size, ...]] = set()
    decode = graphs._decode

    def spy(*inputs: Tensor | int) -> Tensor:
        shapes.add(tuple(x.shape for x in inputs if isinstance(x, Tensor)))
        return decode(*inputs)  # type: ignore[arg-type]

    graphs._decode = spy  # type: ignore[assignment, method-assign]
    embeddings = torch.randn(1000, 24, generator=torch.Generator().manual_seed(0))
    rows = list[tuple]()
    for _ in range(300):
        if len(rows) < 4 and chance.random() < 0.3:
            rows.append((eager.cache.take(), recorded.cache.take()))
        fed = [(pair, 1 if chance.random() < 0.9 else 9) for pair in rows if chance.random() < 0.8]
        if fed:
            cuts = [(pair, embeddings[(at := chance.randrange(900)) : at + count]) for pair, count in fed]
            one, other = (
                lms.forward([ScheduledChunk(pair[i], part, keep=len(part)) for pair, part in cuts])
                for i, lms in enumerate((eager, recorded))
            )
            for hidden, again in zip(one, other, strict=True):
                torch.testing.assert_close(hidden, again, atol=1e-5, rtol=1e-5)
        for pair in [pair for pair in rows if pair[0].length > CONTEXT - 9 or chance.random() < 0.005]:
            eager.cache.free(pair[0])
            recorded.cache.free(pair[1])
            rows.remove(pair)
    assert shapes == {((4, 24), (4,), (4,))}
    assert set(graphs._graphs) == ({CONTEXT} if fixed_width else {64, 128, CONTEXT})


def test_returned_tensors_are_not_overwritten_by_the_next_step() -> None:
    lm = random_lm(SMALL)
    slots = SlotLM(lm, slots=2, settings=LMSettings(context=CONTEXT))
    slots._graphs = EagerGraphs(slots._decode, torch.zeros(2, 24), spare=CONTEXT)
    row = slots.cache.take()
    [first] = slots.forward([ScheduledChunk(row, torch.ones(1, 24))])
    kept = first.clone()
    slots.forward([ScheduledChunk(row, torch.full((1, 24), 5.0))])
    assert torch.equal(first, kept)


def test_all_sizes_are_captured_in_advance() -> None:
    slots = SlotLM(random_lm(SMALL), slots=2, settings=LMSettings(context=400))
    slots._graphs = graphs = EagerGraphs(slots._decode, torch.zeros(2, 24), spare=400)
    slots.warm_up()
    assert set(graphs._graphs) == {64, 128, 192, 256, 320, 384, 400}
