"""A stage of OpenS2S as a task of the training loop: data, steps, validation and export, on any engine."""

import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from opens2s_core.audio import HOP, SAMPLE_RATE
from opens2s_core.checkpoint.shards import LazyTensor
from opens2s_core.checkpoint.vocabulary import Vocabulary
from opens2s_core.training.augmentation import Augmentation, AugmentationConfig
from opens2s_core.training.batch import Batch, CollateConfig
from opens2s_core.training.engine import Engine, Precision
from opens2s_core.training.flops import peak_flops, step_flops
from opens2s_core.training.loader import LoadedStep, Samples, epoch_steps, load_ahead, load_steps
from opens2s_core.training.loop import RunConfig
from opens2s_core.training.plan import PlanConfig
from opens2s_core.training.schedule import Schedule
from opens2s_core.training.stages import StageConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """One run of a stage: AdamW with linear warm-up, cosine decay and clipping of the gradient norm.

    ``held_out`` samples of the data are not trained on; the losses on them are the validation.
    """

    stage: StageConfig
    run: RunConfig
    learning_rate: float
    warmup_steps: int = 50
    final_share: float = 0.1  # of the learning rate at the last step
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    precision: Precision = "float32"
    activation_checkpointing: bool = False
    augmentation: AugmentationConfig | None = None
    held_out: int = 0
    plan: PlanConfig = field(default_factory=PlanConfig)

    @property
    def schedule(self) -> Schedule:
        return Schedule(
            steps=self.run.steps,
            learning_rate=self.learning_rate,
            warmup_steps=self.warmup_steps,
            final_share=self.final_share,
        )

    @property
    def collate(self) -> CollateConfig:
        return CollateConfig(reply_layout=self.stage.reply_layout, teacher=self.stage.distillation is not None)


class OpenS2STask:
    """A :class:`~opens2s_core.training.loop.TrainingTask` for any number of workers.

    ``held_out`` are the samples of the validation. ``export`` writes the trained model into a directory.
    """

    def __init__(
        self,
        engine: Engine,
        config: TrainConfig,
        samples: Samples,
        vocabulary: Vocabulary,
        *,
        held_out: Samples | None = None,
        export: Callable[[Path], None] = lambda directory: None,
    ) -> None:
        self.name, self.rank, self.world = config.stage.name, engine.rank, engine.world
        self._engine, self._config, self._vocabulary = engine, config, vocabulary
        self._samples, self._held_out, self._write_export = samples, held_out, export
        self._loaded: Iterator[LoadedStep] = iter(())
        self._next = -1  # the step that the loader gives next
        self._stack = ExitStack()

    def step(self, number: int) -> dict[str, float]:
        """Metrics: ``loss`` and its parts that have labels in this step, the learning rate of each trained part, tokens
        and hours of audio a second, the share of computed cells that are padding, FLOP utilisation where the peak of
        the device is known, and memory."""
        started = time.perf_counter()
        loaded = self._load(number)
        waited = time.perf_counter() - started
        self._engine.objective.train()
        counts = self._counts([batch for _, batch in loaded.micro_batches])
        losses = dict.fromkeys(counts, 0.0)
        for index, (lane, batch) in enumerate(loaded.micro_batches):
            with random_numbers_of(self._config.plan.seed, number, lane, self._engine.device):
                sums = self._engine.losses(batch.to(self._engine.device))
            parts = {name: sums[name] / max(count, 1) for name, count in counts.items()}
            weighted = [self._config.stage.losses[name] * part for name, part in parts.items()]
            self._engine.backward(torch.stack(weighted).sum(), last=index == len(loaded.micro_batches) - 1)
            for name, part in parts.items():
                losses[name] += float(part.detach())
        rate = self._config.schedule.at(number)
        norm = self._engine.step(rate)
        reduced = dict(zip(losses, self._engine.reduce(list(losses.values())), strict=True))
        seconds = time.perf_counter() - started
        return self._losses({name: loss for name, loss in reduced.items() if counts[name]}) | {
            "gradient_norm": norm,
            **{f"learning_rate/{part}": rate * multiple for part, multiple in self._config.stage.rates.items()},
            "epoch": float(loaded.epoch),
            "data_seconds": waited,
            **self._speed([batch for _, batch in loaded.micro_batches], seconds),
        }

    def state(self) -> Iterator[tuple[str, Tensor]]:
        return self._engine.state()

    def load(self, state: Mapping[str, Tensor | LazyTensor]) -> None:
        self._engine.load(state)

    @torch.no_grad()
    def validate(self, steps: int) -> dict[str, float]:
        """The losses on the held-out samples, the edit distance of CTC transcripts per byte, and how often the emotion
        is recognised; independent of the workers. What has no labels there is left out."""
        if self._held_out is None:
            return {}
        objective = self._engine.objective.eval()
        sums: dict[str, float] = {}
        counts: Counter[str] = Counter()
        plan = self._config.plan
        last = epoch_steps(self._held_out, plan)
        for loaded in load_steps(
            self._held_out,
            plan,
            objective.model.config,
            self._vocabulary,
            rank=self.rank,
            world=self.world,
            first=0,
            last=last,
            settings=self._config.collate,
        ):
            for _, batch in loaded.micro_batches:
                counts.update(objective.counts(batch))
                for name, part in self._engine.losses(batch.to(self._engine.device)).items():
                    sums[name] = sums.get(name, 0.0) + float(part)
        names = sorted(sums)
        reduced = self._engine.reduce([sums[name] for name in names] + [float(counts[name]) for name in names])
        total, count = dict(zip(names, reduced, strict=False)), dict(zip(names, reduced[len(names) :], strict=True))
        known = [name for name in self._config.stage.losses if count[name]]
        metrics = self._losses({name: total[name] / count[name] for name in known})
        if "ctc" in known:
            metrics["byte_error_rate"] = total["ctc_errors"] / count["ctc"]
        if "emotion" in known:
            metrics["emotion_accuracy"] = total["emotion_hits"] / count["emotion"]
        return metrics

    def reduce(self, values: list[float]) -> list[float]:
        return self._engine.reduce(values)

    def export(self, directory: Path | None) -> None:
        if directory is not None:
            self._write_export(directory)

    def close(self) -> None:
        """End the thread that loads data."""
        self._stack.close()

    def _load(self, number: int) -> LoadedStep:
        if number != self._next:
            self._stack.close()
            steps = load_steps(
                self._samples,
                self._config.plan,
                self._engine.objective.model.config,
                self._vocabulary,
                rank=self.rank,
                world=self.world,
                first=number,
                last=self._config.run.steps,
                settings=self._config.collate,
                augmentation=None if self._config.augmentation is None else Augmentation(self._config.augmentation),
            )
            self._loaded = self._stack.enter_context(load_ahead(steps))
        loaded = next(self._loaded)
        assert loaded.number == number
        self._next = number + 1
        return loaded

    def _counts(self, batches: Sequence[Batch]) -> dict[str, int]:
        """The labels of each loss of the stage, over all ranks."""
        own: Counter[str] = Counter()
        for batch in batches:
            own.update(self._engine.objective.counts(batch))
        names = sorted(self._config.stage.losses)
        summed = self._engine.reduce([float(own[name]) for name in names])
        return {name: round(count) for name, count in zip(names, summed, strict=True)}

    def _losses(self, parts: Mapping[str, float]) -> dict[str, float]:
        """The weighted loss, and its parts."""
        weights = self._config.stage.losses
        loss = sum(weights[name] * part for name, part in parts.items())
        return {"loss": loss} | {f"loss/{name}": part for name, part in parts.items()}

    def _speed(self, batches: Sequence[Batch], seconds: float) -> dict[str, float]:
        cells = [batch.cells() for batch in batches]
        useful, computed = sum(useful for useful, _ in cells), sum(computed for _, computed in cells)
        audio = (
            sum(sum(batch.audio.segment_frames()) for batch in batches if not batch.audio_is_dummy) * HOP / SAMPLE_RATE
        )
        flops = step_flops(self._engine.objective, batches)
        totals = self._engine.reduce([float(useful), float(computed), audio, flops, seconds])
        seconds = totals[4] / self.world
        metrics = {
            "tokens_per_second": totals[0] / seconds,
            "audio_hours_per_second": totals[2] / 3600 / seconds,
            "padding_share": 1 - totals[0] / totals[1],
            "memory_gb": _peak_memory(self._engine.device) / 1e9,
        }
        if (peak := peak_flops(self._engine.device)) is not None:
            metrics["flop_utilisation"] = totals[3] / seconds / (peak * self.world)
        return metrics


@contextmanager
def random_numbers_of(seed: int, step: int, lane: int, device: torch.device) -> Iterator[None]:
    """Seed random numbers (dropout) by micro-batch, independent of the number of workers and of resuming."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(np.random.SeedSequence((seed, step, lane)).generate_state(1, np.uint64)[0]))
        yield


def _peak_memory(device: torch.device) -> float:
    """Bytes at most so far: on a GPU allocated by PyTorch, else resident in this process."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
