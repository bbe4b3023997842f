"""The stages in their sizes: they can be built, and the numbers are the paper's."""

from pathlib import Path

import pytest

from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.opens2s import load_opens2s
from opens2s_core.models.opens2s import OpenS2S
from opens2s_core.training.objective import Objective
from ray_jobs.mixtures import MIXTURES
from ray_jobs.train_recipes import SIZES, STAGES, Size, train_recipe, with_lora

TRAINED = {
    "stage0": {"audio_encoder", "llm", "ctc_head", "emotion_head"},
    "stage1a": {"adapter"},
    "stage1b": {"adapter"},
    "stage2a": {"speech_decoder"},
    "stage2b": {"projection", "speech_decoder"},
    "stage3": {"adapter", "llm", "projection", "speech_decoder"},
    "finetune": {"adapter", "llm", "projection", "speech_decoder"},
}


@pytest.fixture
def model(tiny_bundle: Path) -> OpenS2S:
    return load_opens2s(tiny_bundle / OPENS2S)


def test_every_stage_has_a_recipe_and_all_but_fine_tuning_a_mixture() -> None:
    assert set(STAGES) == set(TRAINED)
    assert set(MIXTURES) == set(STAGES) - {"finetune"} | {"stage3_transcription"}


def test_the_stages_that_learn_text_from_clips_can_learn_transcription() -> None:
    learning = {name for name in STAGES if train_recipe(name, "tiny").train.stage.learns_from_clips}
    assert learning == {"stage1a", "stage1b", "stage3", "finetune"}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("stage", STAGES)
def test_a_recipe_trains_the_parts_of_its_stage(model: OpenS2S, stage: str, size: Size) -> None:
    recipe = train_recipe(stage, size)
    config = recipe.train
    assert config.stage.name == stage
    assert set(config.stage.rates) == TRAINED[stage]
    groups = Objective(model, config.stage, seed=0).parameter_groups(config.weight_decay)
    assert {group["name"] for group in groups} == TRAINED[stage]
    assert config.schedule.at(config.run.steps) < config.learning_rate
    lanes, world = config.plan.micro_batches_per_step, recipe.workers.count
    assert lanes % world == 0
    assert recipe.workers.min_count is None or lanes % recipe.workers.min_count == 0


def test_the_full_runs_have_the_papers_numbers() -> None:
    for stage in STAGES:
        config = train_recipe(stage, "cluster").train
        assert (config.weight_decay, config.precision) == (0.05, "bfloat16")
        assert config.warmup_steps == (100 if stage == "finetune" else 1000)
    rates = {stage: train_recipe(stage, "cluster").train.learning_rate for stage in STAGES}
    assert rates == {
        "stage0": 3e-4,
        "stage1a": 1e-4,
        "stage1b": 1e-4,
        "stage2a": 1e-4,
        "stage2b": 1e-4,
        "stage3": 2e-5,
        "finetune": 2e-5,
    }
    # 64 micro-batches of 4,096 positions: 512 samples of 512 positions.
    plan = train_recipe("stage3", "cluster").train.plan
    assert plan.micro_batches_per_step * plan.micro_batch_positions == 512 * 512


def test_one_gpu_trains_the_llm_by_lora_but_not_from_nothing() -> None:
    by_lora = [stage for stage in STAGES if train_recipe(stage, "gpu").train.stage.lora is not None]
    assert by_lora == ["stage3", "finetune"]


def test_lora_has_a_learning_rate_of_its_own() -> None:
    full, aligned = train_recipe("finetune", "cluster").train, train_recipe("stage1b", "cluster").train
    for config in (full, aligned):
        stage = with_lora(config.stage)
        assert stage.lora is not None
        assert config.learning_rate * stage.rates["llm"] == pytest.approx(1e-4)
        assert with_lora(stage) == stage
