"""A training step on this machine, without Ray: speed, FLOP utilisation and memory, with random weights."""

import statistics
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from tqdm import tqdm

from opens2s_core.benchmark.dialogues import Dialogues
from opens2s_core.benchmark.engine_models import SIZES, create_opens2s
from opens2s_core.benchmark.report import Bound, Measurement, middle_half
from opens2s_core.benchmark.timing import now
from opens2s_core.models.lora import LoraSettings
from opens2s_core.training.engine import Precision, TorchEngine
from opens2s_core.training.loop import RunConfig
from opens2s_core.training.objective import Objective
from opens2s_core.training.plan import PlanConfig
from opens2s_core.training.stages import STAGE1A, STAGE2B, STAGE3, StageConfig
from opens2s_core.training.task import OpenS2STask, TrainConfig

SizeName = Literal["tiny", "full"]
StageName = Literal["stage1a", "stage2b", "lora"]
STAGES: dict[StageName, StageConfig] = {
    "stage1a": STAGE1A,
    "stage2b": STAGE2B,
    "lora": replace(STAGE3, name="lora", lora=LoraSettings()),  # instruction tuning of the 8 B model on one GPU
}
_DIALOGUES: dict[SizeName, int] = {"tiny": 64, "full": 1024}  # about an epoch
_WARM_STEPS = 2
_MIN_UTILISATION = 0.4
"""What the plan of a run assumes (``ray_jobs.train --plan``)."""
_GPU_GB = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingBenchmark:
    """Settings. ``full`` is for a GPU: random bfloat16 weights of the published sizes, micro-batches of the recipes."""

    size: SizeName = "tiny"
    stage: StageName = "stage2b"
    steps: int = 8
    threads: int = 2

    def __post_init__(self) -> None:
        for name, value, known in (("size", self.size, SizeName), ("stage", self.stage, StageName)):
            if value not in get_args(known):
                raise ValueError(f"{name}: expected one of {', '.join(get_args(known))}, got {value!r}")
        for name in ("steps", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.size == "full" and not torch.cuda.is_available():
            raise ValueError("the full size needs a GPU, and there is none")


def measure_training(config: TrainingBenchmark) -> list[Measurement]:
    """Medians over the steps after the first two."""
    torch.set_num_threads(config.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    train = _train_config(config)
    model, vocabulary = create_opens2s(SIZES[config.size], device=device, dtype=getattr(torch, train.precision))
    vocabulary = replace(vocabulary, units=replace(vocabulary.units, end_ids=(0,)))
    objective = Objective(model, train.stage, seed=0)
    if train.activation_checkpointing:
        objective.checkpoint_activations()
    engine = TorchEngine(
        objective,
        weight_decay=train.weight_decay,
        max_grad_norm=train.max_grad_norm,
        precision=train.precision,
        device=device,
    )
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    dialogues = Dialogues(model.config, vocabulary, _DIALOGUES[config.size])
    with closing(OpenS2STask(engine, train, dialogues, vocabulary)) as task:
        numbers = tqdm(range(train.run.steps), desc=f"{config.stage}, {config.size}", unit="step")
        measured = [_timed_step(task, number) for number in numbers][_WARM_STEPS:]
    return _rows(config, measured)


def _timed_step(task: OpenS2STask, number: int) -> dict[str, float]:
    start = now()
    metrics = task.step(number)
    return metrics | {"seconds": now() - start}


def _train_config(config: TrainingBenchmark) -> TrainConfig:
    is_full = config.size == "full"
    precision: Precision = "bfloat16" if is_full else "float32"
    plan = PlanConfig(micro_batches_per_step=2, micro_batch_positions=512, micro_batch_speech_positions=1024)
    if is_full:
        plan = replace(plan, micro_batch_positions=4096, micro_batch_speech_positions=8192)
    return TrainConfig(
        stage=STAGES[config.stage],
        run=RunConfig(steps=_WARM_STEPS + config.steps),
        learning_rate=1e-4,
        precision=precision,
        activation_checkpointing=is_full,
        plan=plan,
    )


def _rows(config: TrainingBenchmark, measured: list[dict[str, float]]) -> list[Measurement]:
    is_full = config.size == "full"
    name = f"{config.stage}, {config.size}"

    def row(what: str, values: list[float], unit: str, bound: Bound | None = None) -> Measurement:
        return Measurement(
            name=f"{name}, {what}",
            value=statistics.median(values) if values else None,
            unit=unit,
            bound=bound,
            spread=middle_half(values),
        )

    def of(metric: str, factor: float = 1.0) -> list[float]:
        return [factor * step[metric] for step in measured if metric in step]

    return [
        row("throughput", of("tokens_per_second"), "tokens/s"),
        row("audio", of("audio_hours_per_second", 3600), "s/s"),
        row("time of a step", of("seconds"), "s"),
        row(
            "FLOP utilisation",
            of("flop_utilisation"),
            "ratio",
            Bound("at least", _MIN_UTILISATION) if is_full else None,
        ),
        row("padding", of("padding_share", 100), "%"),
        row("peak memory", of("memory_gb")[-1:], "GB", Bound("at most", _GPU_GB) if is_full else None),
    ]
