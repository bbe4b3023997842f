"""What a training run needs: memory of a GPU for each ZeRO stage, steps, epochs, GPU hours. Without weights or Ray."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from data_pipeline.dataset.mixture import MixedSamples, Mixture
from opens2s_core.benchmark.engine_models import SIZES
from opens2s_core.checkpoint.bundle import OPENS2S, opens2s_directory
from opens2s_core.checkpoint.opens2s import read_config
from opens2s_core.models.opens2s_config import OpenS2SConfig
from opens2s_core.storage import fetch_directory
from opens2s_core.training.flops import PEAKS, Work, flops
from opens2s_core.training.from_scratch import opens2s_config
from opens2s_core.training.loader import GroupedSamples
from opens2s_core.training.memory import MemoryPlan, encoder_frames, full_micro_batch, plan_memory, planned_objective
from opens2s_core.training.objective import Objective
from opens2s_core.training.plan import Lengths, plan_epoch
from opens2s_core.training.splits import hold_out
from opens2s_core.training.task import TrainConfig
from opens2s_core.training.teacher import read_teacher_config
from ray_jobs.train_recipes import WorkersConfig

GPU, GPU_BYTES = "H100", 80e9
"""The GPU of the recipes."""
USABLE = 0.9
"""The share of a GPU's memory for a plan; the rest is for CUDA, NCCL and fragmentation."""
UTILISATION = 0.4
"""Assumed share of the peak of a GPU, in FLOPs of the model."""
_POSITIONS = 512
"""LLM positions of a sample with one clip, where no data says it."""
_GB = 1e9


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochData:
    """An epoch of a data set in the micro-batches of a run."""

    samples: int
    steps: int
    most: int  # samples in one micro-batch
    work: Work  # of all of them


def full_config() -> OpenS2SConfig:
    """The published model."""
    size = SIZES["full"]
    return opens2s_config(size.models, size.text_tokens, size.speech_tokens)


def planned_config(model: str | None) -> OpenS2SConfig:
    """Of a bundle or an OpenS2S directory, of which only the configuration is read; None: the published model."""
    if model is None:
        return full_config()
    return read_config(opens2s_directory(fetch_directory(model, "config.json", f"{OPENS2S}/config.json")))


def epoch_data(config: TrainConfig, model: OpenS2SConfig, mixture: Mixture) -> EpochData:
    """From the index of the data alone. Where padding of audio is masked, its frames are an upper bound: every position
    without a label is taken for audio."""
    mixed = MixedSamples(mixture)
    samples, _ = hold_out(mixed, config.held_out, config.plan.seed)
    assert isinstance(samples, GroupedSamples)
    lengths, chosen = Lengths(samples.lengths, samples.speech_lengths), samples.epoch_groups(0, config.plan.seed)
    plan = plan_epoch(lengths, config.plan, 0, groups=samples.groups, epoch_groups=chosen)
    sizes = [len(micro_batch) for step in plan for micro_batch in step]
    total = sum(sizes)
    share = total / len(mixed)  # an epoch has each sample by its weight
    positions, text_labels = (int(np.sum(values) * share) for values in (mixed.lengths, mixed.text_labels))
    return EpochData(
        samples=total,
        steps=len(plan),
        most=max(sizes),
        work=Work(
            frames=encoder_frames(model, total, positions - text_labels),
            positions=positions,
            text_labels=text_labels,
            speech_positions=int(np.sum(mixed.speech_lengths) * share),
            unit_labels=int(np.sum(mixed.unit_labels) * share),
        ),
    )


def memory_by_stage(
    config: TrainConfig, workers: WorkersConfig, objective: Objective, data: EpochData | None = None
) -> dict[int, MemoryPlan]:
    """The memory of each GPU with ZeRO 0 to 3; ``objective`` is the planned one."""
    model = objective.model.config
    work = full_micro_batch(model, config.stage, config.plan, _usual_samples(config) if data is None else data.most)
    return {
        zero_stage: plan_memory(
            objective,
            work,
            zero_stage=zero_stage,
            workers=workers.count,
            precision=config.precision,
            activation_checkpointing=config.activation_checkpointing,
        )
        for zero_stage in range(4)
    }


def _usual_samples(config: TrainConfig) -> int:
    """Of a full micro-batch."""
    return max(config.plan.micro_batch_positions // _POSITIONS, 1)


def fits(memory: MemoryPlan, gpu_bytes: float = GPU_BYTES) -> bool:
    return memory.total <= USABLE * gpu_bytes


def describe_plan(
    config: TrainConfig,
    workers: WorkersConfig,
    model: str | None = None,
    mixture: Mixture | None = None,
    teacher: str | None = None,
) -> str:
    """The plan as a table; ``model`` as for :func:`planned_config`. With a ``mixture`` it is of this data, otherwise
    every micro-batch is taken to be full."""
    opens2s = planned_config(model)
    objective = planned_objective(opens2s, config.stage, None if teacher is None else read_teacher_config(teacher))
    data = None if mixture is None else epoch_data(config, opens2s, mixture)
    memory = memory_by_stage(config, workers, objective, data)
    return "\n".join([*_memory_lines(config, workers, memory), "", *_time_lines(config, workers, objective, data)])


def _memory_lines(config: TrainConfig, workers: WorkersConfig, memory: dict[int, MemoryPlan]) -> Iterator[str]:
    yield f"{config.stage.name}: memory in GB of each {'GPU' if workers.use_gpu else 'worker'} of {workers.count}"
    checkpointed = "one layer's" if config.activation_checkpointing else "all layers'"
    rows = {
        f"weights in {config.precision}": [plan.weights for plan in memory.values()],
        **({"weights of the teacher": [plan.teacher for plan in memory.values()]} if memory[0].teacher else {}),
        "gradients": [plan.gradients for plan in memory.values()],
        "master weights in float32": [plan.masters for plan in memory.values()],
        "moments of Adam": [plan.moments for plan in memory.values()],
        "communication": [plan.communication for plan in memory.values()],
        f"activations at most, {checkpointed}": [plan.activations for plan in memory.values()],
        "logits at most": [plan.logits for plan in memory.values()],
        "optimizer's update, after them": [plan.update for plan in memory.values()],
        "start": [plan.start for plan in memory.values()],
        "peak": [plan.total for plan in memory.values()],
    }
    yield _line("", [f"ZeRO {stage}{'*' if stage == workers.zero_stage else ''}" for stage in memory])
    for name, values in rows.items():
        yield _line(name, [f"{value / _GB:.2f}" for value in values])
    if workers.use_gpu:
        yield _line(
            f"within {USABLE:.0%} of {GPU_BYTES / _GB:.0f} GB",
            ["yes" if fits(plan) else "no" for plan in memory.values()],
        )
    yield "* the recipe's"


def _time_lines(
    config: TrainConfig, workers: WorkersConfig, objective: Objective, data: EpochData | None
) -> Iterator[str]:
    opens2s, steps = objective.model.config, config.run.steps
    yield _line("steps", [f"{steps:,}"])
    if data is None:
        lanes, samples = config.plan.micro_batches_per_step, _usual_samples(config)
        a_step = lanes * flops(objective, full_micro_batch(opens2s, config.stage, config.plan, samples))
        yield _line(f"samples in a step, of {_POSITIONS} positions", [f"{lanes * samples:,}"])
    else:
        a_step = flops(objective, data.work) / data.steps
        yield _line("samples in an epoch", [f"{data.samples:,}"])
        yield _line("steps in an epoch", [f"{data.steps:,}"])
        yield _line("epochs", [f"{steps / data.steps:.2f}"])
        yield _line("samples in a step", [f"{data.samples / data.steps:.1f}"])
    yield _line("TFLOPs of a step" + (", at most" if data is None else ""), [f"{a_step / 1e12:,.1f}"])
    if workers.use_gpu:
        hours = steps * a_step / (UTILISATION * PEAKS[GPU]) / 3600
        assumed = f"{UTILISATION:.0%} of {PEAKS[GPU] / 1e12:.0f} TFLOP/s ({GPU})"
        yield _line("GPU hours" + (", at most" if data is None else ""), [f"{hours:,.1f}", f"at {assumed}"])
        yield _line(f"hours with {workers.count:,}", [f"{hours / workers.count:,.1f}"])


def _line(name: str, cells: list[str]) -> str:
    return f"{name:<36}" + "".join(f"{cell:>10}" if len(cell) < 10 else f"  {cell}" for cell in cells)
