"""Named runs. A recipe is a function that returns one frozen configuration of every job; no flag repeats it. Their
dialogues are those of the same name in :mod:`ray_jobs.dialogue_recipes`."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from data_pipeline.preparation.config import PrepareConfig
from opens2s_core.models.lora import LoraSettings
from opens2s_core.training.from_scratch import ScratchConfig, TransformerSize
from opens2s_core.training.loop import RunConfig
from opens2s_core.training.plan import PlanConfig
from opens2s_core.training.stages import JOINT
from opens2s_core.training.task import TrainConfig
from ray_jobs import data_recipes
from ray_jobs.train_recipes import WorkersConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    prepare: PrepareConfig
    scratch: ScratchConfig
    train: TrainConfig
    workers: WorkersConfig


def demo() -> Recipe:
    """64 spoken turns, learned by heart on two CPU cores in minutes: every part of the platform, small."""
    return Recipe(
        prepare=data_recipes.dialogues(),
        scratch=_small_models(width=192, layers=3),
        train=TrainConfig(
            stage=JOINT,
            run=RunConfig(steps=220, checkpoint_every=110),
            learning_rate=1.5e-3,
            weight_decay=0.0,
            plan=PlanConfig(micro_batches_per_step=2, micro_batch_positions=1024),
        ),
        workers=WorkersConfig(count=2),
    )


def smoke() -> Recipe:
    """The same jobs at the size of a test: seconds, and nothing learned."""
    return Recipe(
        prepare=replace(data_recipes.dialogues(), shard_rows=4),
        scratch=_small_models(width=32, layers=2),
        train=TrainConfig(
            stage=JOINT,
            run=RunConfig(steps=6, checkpoint_every=3),
            learning_rate=1e-3,
            warmup_steps=2,
            plan=PlanConfig(micro_batches_per_step=2, micro_batch_positions=256),
        ),
        workers=WorkersConfig(count=2),
    )


def smoke_lora() -> Recipe:
    """As smoke, with LoRA on the LLM in place of its own weights."""
    recipe = smoke()
    return replace(recipe, train=replace(recipe.train, stage=replace(JOINT, lora=LoraSettings(rank=4))))


RECIPES: dict[str, Callable[[], Recipe]] = {"demo": demo, "smoke": smoke, "smoke_lora": smoke_lora}


def _small_models(*, width: int, layers: int) -> ScratchConfig:
    lm = TransformerSize(width=width, layers=layers, heads=4, ffn=width * 8 // 3)
    return ScratchConfig(
        audio_encoder=TransformerSize(width=width * 2 // 3 // 4 * 4, layers=2, heads=4, ffn=width * 8 // 3),
        llm=lm,
        speech_decoder=lm,
        # Minutes of training leave units less certain than the published ones: at 1 half of the words get lost.
        units_temperature=0.5,
    )
