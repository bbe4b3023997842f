"""A task of the training loop with a few weights, on one or several ranks in threads."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor, nn

from opens2s_core.checkpoint.files import write_tensors
from opens2s_core.checkpoint.shards import LazyTensor
from opens2s_core.training.optimizer_state import load_named_state, named_state

LEARNING_RATE = 0.05


class Ranks:
    """Sums over ``world`` threads. A rank that failed breaks the others at their next sum, as a process group does."""

    def __init__(self, world: int) -> None:
        self.world = world
        self._changed = threading.Condition()
        self._calls = [0] * world
        self._values: defaultdict[int, list[list[float]]] = defaultdict(list)
        self._failed = False

    def reduce(self, rank: int, values: list[float]) -> list[float]:
        with self._changed:
            values_of_all = self._values[self._calls[rank]]
            self._calls[rank] += 1
            values_of_all.append(values)
            self._changed.notify_all()
            # A sum that all have reached is given to all, also where one of them fails right after it.
            self._changed.wait_for(lambda: len(values_of_all) == self.world or self._failed, timeout=20)
            if len(values_of_all) < self.world:
                raise threading.BrokenBarrierError
        return [sum(column) for column in zip(*values_of_all, strict=True)]

    def run(self, work: Callable[[int], None]) -> list[BaseException | None]:
        """The errors of ``work`` on each rank."""

        def one(rank: int) -> None:
            try:
                work(rank)
            except BaseException:
                with self._changed:
                    self._failed = True
                    self._changed.notify_all()
                raise

        with ThreadPoolExecutor(self.world) as pool:
            return [future.exception() for future in [pool.submit(one, rank) for rank in range(self.world)]]


class ToyTask:
    """A regression with dropout. Every rank computes all of it and saves every ``world``-th tensor."""

    name = "toy"

    def __init__(self, *, rank: int = 0, ranks: Ranks | None = None, bad: Mapping[int, float] | None = None) -> None:
        self.rank, self.world = rank, ranks.world if ranks else 1
        self._ranks = ranks
        self.bad = dict(bad or {})
        """Losses to report at steps, from 0."""
        self.numbers: list[int] = []
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.1), nn.Linear(8, 1))
        self._optimizer = torch.optim.AdamW(self.model.parameters(), lr=LEARNING_RATE)

    def step(self, number: int) -> dict[str, float]:
        self.numbers.append(number)
        generator = torch.Generator().manual_seed(number)
        inputs = torch.randn(8, 4, generator=generator)
        dropped = inputs * (torch.rand(8, 4, generator=generator) > 0.1)
        loss = (self.model[2](torch.tanh(self.model[0](dropped))) - inputs.sum(1, keepdim=True)).square().mean()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()
        reported = self.bad.get(number, float(loss.detach()))
        return {"loss": reported, "loss/error": reported, "gradient_norm": float(norm), "learning_rate": LEARNING_RATE}

    def state(self) -> Iterator[tuple[str, Tensor]]:
        for index, (name, tensor) in enumerate(self.everything()):
            if index % self.world == self.rank:
                yield name, tensor

    def everything(self) -> Iterator[tuple[str, Tensor]]:
        for name, tensor in self.model.state_dict().items():
            yield f"model.{name}", tensor
        for name, tensor in named_state(self._optimizer, self.model.named_parameters()):
            yield f"optimizer.{name}", tensor

    def load(self, state: Mapping[str, LazyTensor]) -> None:
        def part(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): t.read() for name, t in state.items() if name.startswith(prefix)}

        self.model.load_state_dict(part("model."))
        load_named_state(self._optimizer, self.model.named_parameters(), part("optimizer."))

    @torch.no_grad()
    def validate(self, steps: int) -> dict[str, float]:
        inputs = torch.randn(16, 4, generator=torch.Generator().manual_seed(12345))
        outputs = self.model[2](torch.tanh(self.model[0](inputs)))
        return {"loss": float((outputs - inputs.sum(1, keepdim=True)).square().mean())}

    def reduce(self, values: list[float]) -> list[float]:
        return values if self._ranks is None else self._ranks.reduce(self.rank, values)

    def export(self, directory: Path | None) -> None:
        assert (directory is not None) == (self.rank == 0)
        if directory is not None:
            write_tensors(self.model.state_dict(), directory)
