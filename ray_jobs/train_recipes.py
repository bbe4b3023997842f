"""Named training runs: the stages of the paper (arXiv 2507.05177, appendix A), each in three sizes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from opens2s_core.models.lora import LoraSettings
from opens2s_core.training.augmentation import AugmentationConfig
from opens2s_core.training.guard import GuardConfig
from opens2s_core.training.loop import RunConfig
from opens2s_core.training.plan import PlanConfig
from opens2s_core.training.stages import STAGE0, STAGE1A, STAGE1B, STAGE2A, STAGE2B, STAGE3, StageConfig
from opens2s_core.training.task import TrainConfig

Size = Literal["tiny", "gpu", "cluster"]
"""``tiny``: a small model on two CPU cores, minutes. ``gpu``: the 8 B model on one GPU with 80 GB. ``cluster``: the
paper's run on machines with 8 such GPUs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkersConfig:
    """The Ray Train workers of a run and how DeepSpeed shares weights, gradients and optimizer among them.

    With ``min_count`` the run goes on with fewer workers, down to so many, while machines are missing.
    """

    count: int
    min_count: int | None = None
    cpus: float = 1
    use_gpu: bool = False
    zero_stage: int = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainRecipe:
    train: TrainConfig
    workers: WorkersConfig


FINETUNE = replace(STAGE3, name="finetune")
_STAGES: dict[str, StageConfig] = {
    stage.name: stage for stage in (STAGE0, STAGE1A, STAGE1B, STAGE2A, STAGE2B, STAGE3, FINETUNE)
}


_LORA_RATE = 5.0
"""LoRA takes a greater learning rate than the weights themselves."""


def with_lora(stage: StageConfig) -> StageConfig:
    """``stage`` with the LLM trained by LoRA, in place of its own weights or in addition to what is trained."""
    if stage.lora is not None:
        return stage
    rate = _LORA_RATE * stage.rates["llm"] if "llm" in stage.rates else 1.0
    return replace(stage, rates={**stage.rates, "llm": rate}, lora=LoraSettings())


def _tiny(stage: StageConfig) -> TrainRecipe:
    return TrainRecipe(
        train=TrainConfig(
            stage=stage,
            run=RunConfig(steps=200, checkpoint_every=50),
            learning_rate=1.5e-3,
            warmup_steps=20,
            weight_decay=0.0,
            held_out=8,
            plan=PlanConfig(micro_batches_per_step=2, micro_batch_positions=1024, micro_batch_speech_positions=2048),
        ),
        workers=WorkersConfig(count=2, min_count=1),
    )


def _gpu(stage: StageConfig) -> TrainRecipe:
    """LoRA in place of the LLM's own weights, except from nothing."""
    use_lora = "llm" in stage.rates and stage.name != STAGE0.name
    config = _full(with_lora(stage) if use_lora else stage, micro_batches=16)
    return TrainRecipe(
        train=replace(config, run=replace(config.run, steps=2000, checkpoint_every=200), warmup_steps=100),
        workers=WorkersConfig(count=1, cpus=8, use_gpu=True, zero_stage=0),
    )


def _cluster(stage: StageConfig) -> TrainRecipe:
    """A step has about the paper's 512 samples: 64 micro-batches of 8 of average length."""
    return TrainRecipe(
        train=_full(stage, micro_batches=64),
        workers=WorkersConfig(count=32, min_count=8, cpus=8, use_gpu=True, zero_stage=3 if "llm" in stage.rates else 2),
    )


def _full(stage: StageConfig, *, micro_batches: int) -> TrainConfig:
    """The paper's settings: batch 512, warm-up of 1,000 steps, weight decay 0.05; learning rate 1e-4 for new parts and
    2e-5 where the LLM is trained. Stage 0 is not the paper's."""
    takes_audio = bool({"audio_encoder", "adapter"} & stage.rates.keys())
    return TrainConfig(
        stage=stage,
        run=RunConfig(steps=_STEPS[stage.name], checkpoint_every=500, guard=GuardConfig(policy="skip")),
        learning_rate=_learning_rate(stage),
        warmup_steps=100 if stage.name == FINETUNE.name else 1000,
        weight_decay=0.05,
        precision="bfloat16",
        activation_checkpointing=True,
        augmentation=AugmentationConfig() if takes_audio and stage.name != "finetune" else None,
        held_out=512,
        plan=PlanConfig(
            micro_batches_per_step=micro_batches, micro_batch_positions=4096, micro_batch_speech_positions=8192
        ),
    )


def _learning_rate(stage: StageConfig) -> float:
    if stage.name == STAGE0.name:
        return 3e-4
    return 2e-5 if "llm" in stage.rates else 1e-4


_STEPS = {
    "stage0": 20_000,
    "stage1a": 7_500,  # 3.8 M clips once
    "stage1b": 1_500,  # 70 k clips, about ten times
    "stage2a": 12_000,  # 10,000 h once
    "stage2b": 2_400,  # 2,000 h once
    "stage3": 3_000,
    "finetune": 1_000,
}
_SIZES: dict[Size, Callable[[StageConfig], TrainRecipe]] = {"tiny": _tiny, "gpu": _gpu, "cluster": _cluster}

STAGES, SIZES = tuple(_STAGES), tuple(_SIZES)


def train_recipe(stage: str, size: Size) -> TrainRecipe:
    """The recipe of one of STAGES in one of SIZES."""
    return _SIZES[size](_STAGES[stage])
