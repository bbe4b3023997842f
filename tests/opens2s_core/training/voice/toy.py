"""A stage with a few weights: a regression with dropout, and a second model trained with it."""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from opens2s_core.checkpoint.files import write_tensors
from opens2s_core.training import checkpoints
from opens2s_core.training.loop import Progress
from opens2s_core.training.voice.stage import StageConfig, apply_gradients, generator_at, random_numbers_at, seeded
from opens2s_core.training.voice.task import train_stage

RUN = StageConfig(steps=20, checkpoint_every=6, warmup_steps=3, learning_rate=0.05, weight_decay=0.0, ema_decay=0.8)


class Counting(nn.Linear):
    """Has a buffer of whole numbers."""

    seen: Tensor

    def __init__(self) -> None:
        super().__init__(3, 1)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))


class ToyStage:
    name = "toy"

    def __init__(self, config: StageConfig = RUN, *, nan_at: int = -1) -> None:
        self.config, self.nan_at = config, nan_at
        self.model = seeded(config.seed, Counting)
        self.other = seeded(config.seed + 1, lambda: nn.Linear(3, 1))
        self._optimizers = {
            "model": config.optimizer(self.model.parameters()),
            "other": config.optimizer(self.other.parameters()),
        }

    def modules(self) -> Mapping[str, nn.Module]:
        return {"model": self.model, "other": self.other}

    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        return self._optimizers

    def averaged(self) -> Mapping[str, nn.Module]:
        return {"model": self.model}

    def step(self, step: int) -> dict[str, float]:
        inputs = torch.randn(8, 3, generator=generator_at(self.config.seed, step))
        target = inputs.sum(1, keepdim=True)
        self.model.seen += len(inputs)
        with random_numbers_at(self.config.seed, step, torch.device("cpu")):
            loss = (self.model(nn.functional.dropout(inputs, 0.1)) - target).square().mean()
        loss.backward()
        apply_gradients(self._optimizers["model"], self.config, step)
        if step >= self.config.steps // 2:  # like a discriminator that is trained later
            (self.other(inputs) - target).square().mean().backward()
            apply_gradients(self._optimizers["other"], self.config, step)
        return {"loss": float("nan") if step == self.nan_at else float(loss.detach())}

    def validate(self, steps: int) -> dict[str, float]:
        return {}

    def export(self, modules: Mapping[str, nn.Module], directory: Path) -> None:
        write_tensors(modules["model"].state_dict(), directory)


def train_and_die(directory: str, moment: str) -> None:
    """Train until SIGKILL at ``moment``: a number of steps, or while writing what is named."""
    stage = ToyStage()

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def at_step(progress: Progress) -> None:
        if moment.isdigit() and progress.done == int(moment):
            die()

    if moment == "tensors":
        write, written = checkpoints.write_tensors, []

        def write_half(tensors: object, path: Path, stem: str, *args: object) -> None:
            write(tensors, path, stem, *args)  # type: ignore[arg-type]
            written.append(path)
            if len(written) == 2:
                file = path / f"{stem}.safetensors"
                file.write_bytes(file.read_bytes()[:100])
                die()

        checkpoints.write_tensors = write_half  # type: ignore[assignment]
    elif moment == "manifest":
        checkpoints.CheckpointStore.publish = die  # type: ignore[method-assign, assignment]
    elif moment == "pruning":
        prune, calls = checkpoints.CheckpointStore.prune, []

        def prune_half(store: checkpoints.CheckpointStore, *args: object) -> None:
            calls.append(store)
            if len(calls) == 3:
                Path(directory, "checkpoints", "step-00000006", "checkpoint.json").unlink()
                die()
            prune(store, *args)  # type: ignore[arg-type]

        checkpoints.CheckpointStore.prune = prune_half  # type: ignore[method-assign, assignment]
    elif moment == "export":
        export = stage.export
        stage.export = lambda *args: (export(*args), die())  # type: ignore[method-assign, assignment]
    train_stage(stage, RUN, directory, on_step=at_step)


if __name__ == "__main__":
    # One import for all: each run dies in a process of its own, as a child of this one, which has not computed yet.
    for moment in sys.argv[2:]:
        child = os.fork()
        if not child:
            train_and_die(f"{sys.argv[1]}/{moment}", moment)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
