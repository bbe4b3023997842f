"""The command line of training, and that a run knows what it is. Nothing is trained here."""

import argparse
import shutil
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.dataset.layout import MANIFEST, DatasetFiles
from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.opens2s import load_opens2s, save_opens2s
from opens2s_core.config import ConfigError
from opens2s_core.training.run import RunError
from opens2s_core.training.trained import StageRun
from opens2s_core.training.voice.make import STAGES as PARTS
from ray_jobs import train as job
from ray_jobs.finetune import fit_to_data
from ray_jobs.recipes import smoke
from ray_jobs.train_options import add_arguments, chosen_recipe, chosen_voice
from ray_jobs.train_recipes import WorkersConfig, train_recipe
from tests.data_pipeline.dataset.small import rows_of, write_dataset

PATHS = ("--data", "d", "--init", "m", "--output", "o")


def parsed(*options: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(options)


def chosen(recipe: str, *options: str) -> Any:
    return chosen_recipe(parsed("--recipe", recipe, *PATHS, *options))


def test_without_options_a_recipe_is_unchanged() -> None:
    assert chosen("stage2b", "--size", "cluster") == train_recipe("stage2b", "cluster")
    assert chosen("smoke").train == smoke().train


def test_the_model_to_start_from_has_two_names() -> None:
    both = [parsed("--recipe", "stage3", name, "m").model for name in ("--init", "--model")]
    assert both == ["m", "m"]


def test_numbers_replace_those_of_the_recipe() -> None:
    recipe = chosen("stage3", "--steps", "7", "--learning-rate", "0.5", "--workers", "3", "--zero-stage", "1")
    assert (recipe.train.run.steps, recipe.train.learning_rate) == (7, 0.5)
    assert (recipe.workers.count, recipe.workers.min_count, recipe.workers.zero_stage) == (3, None, 1)


@pytest.mark.parametrize("loss", ["kl", "reverse_kl", "js", "tvd", "rlkd"])
def test_distillation_replaces_the_loss_on_text(loss: str) -> None:
    stage = chosen("stage1a", "--distill", loss).train.stage
    assert stage.losses == {"distillation": 1.0}
    assert stage.distillation.loss == loss
    assert stage.rates == {"adapter": 1.0}
    assert not stage.external_teacher
    smaller = chosen("finetune", "--distill", loss, "--teacher", "large").train.stage
    assert smaller.losses == {"distillation": 1.0, "units": 1.0}
    assert smaller.external_teacher


def test_emotions_and_lora_are_options_of_emotion_alignment() -> None:
    stage = chosen("stage1b", "--emotion-head", "0.3", "--lora").train.stage
    assert stage.rates == {"adapter": 1.0, "emotion_head": 1.0, "llm": 1.0}
    assert stage.losses == {"text": 1.0, "emotion": 0.3}
    assert stage.lora is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("stage2a", "--lora"), "--lora: expected a recipe of stage1b, stage3, finetune, got stage2a"),
        (("stage2a", "--distill", "kl"), "--distill: expected a recipe of"),
        (("stage3", "--emotion-head", "1"), "--emotion-head: expected a recipe of stage1b, got stage3"),
        (("stage1b", "--emotion-head", "0"), "expected numbers above 0"),
        (("stage1a", "--teacher", "t"), "--teacher: expected --distill"),
        (("stage3", "--distill", "kl"), "its own teacher has to be frozen"),
        (("stage3", "--size", "smoke"), "--size smoke: expected tiny, gpu, cluster"),
        (("stage3", "--speaker", "slt"), "--speaker: expected no such option for the recipe stage3"),
    ],
)
def test_an_option_that_a_recipe_cannot_have_is_refused(options: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        chosen(*options)


def test_what_is_missing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    for recipe, missing in (("stage3", "--data, --init, --output"), ("voice", "--data, --output")):
        with pytest.raises(SystemExit):
            job.main(["--recipe", recipe])
        assert f"the following arguments are required: {missing}\n" in capsys.readouterr().err


def test_a_voice_has_its_own_sizes_and_options() -> None:
    voice = chosen_voice(parsed("--recipe", "voice", *PATHS, "--size", "smoke", "--speaker", "someone"))
    assert voice.stages == PARTS
    assert voice.voice.flow_stage.voice == "someone"
    one = chosen_voice(parsed("--recipe", "voice-flow", *PATHS, "--size", "smoke", "--steps", "5"))
    assert one.stages == ("flow",)
    assert one.voice.flow_stage.steps == 5
    assert one.voice.vocoder_stage == replace(voice.voice.vocoder_stage, voices=one.voice.vocoder_stage.voices)
    for options, message in (
        (("--size", "cluster"), "--size cluster: expected smoke, tiny, gpu for the recipe voice"),
        (("--lora",), "--lora: expected no such option for the recipe voice"),
        (("--zero-stage", "0"), "--zero-stage: expected no such option"),
    ):
        with pytest.raises(ConfigError, match=message):
            chosen_voice(parsed("--recipe", "voice", *PATHS, *options))


@pytest.fixture
def data(tmp_path: Path) -> str:
    url = f"file://{tmp_path / 'data'}"
    write_dataset(url, rows_of(30))
    return url


def test_fine_tuning_holds_out_a_tenth_of_few_samples(data: str) -> None:
    config = train_recipe("finetune", "cluster").train
    fitted, same = fit_to_data(config, data, "m", "o")
    assert same == data
    assert fitted == replace(config, held_out=3)
    assert fit_to_data(replace(config, held_out=2), data, "m", "o")[0].held_out == 2


class Trained(Exception):
    """Raised where workers would start."""


@pytest.fixture
def no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def silent(*args: Any) -> Any:
        yield None

    def trainer(*args: Any, **settings: Any) -> Any:
        raise Trained

    monkeypatch.setattr(job, "show_training", silent)
    monkeypatch.setattr(job, "TorchTrainer", trainer)


def test_a_run_knows_by_which_prompt_it_learns_to_transcribe(
    tmp_path: Path, tiny_bundle: Path, data: str, no_workers: None
) -> None:
    def prompt_of(recipe: str) -> str | None:
        run = str(tmp_path / recipe)
        with pytest.raises(Trained):
            job.train(train_recipe(recipe, "tiny").train, WorkersConfig(count=1), data, str(tiny_bundle), run)
        return StageRun.read(run).transcription_prompt

    settings = {"tokenise": {"transcription_prompt": "Write: "}}
    DatasetFiles(data).put_json(MANIFEST, {"made_from": {"config": settings}})
    assert prompt_of("stage1a") == "Write: "
    assert prompt_of("stage0") is None  # it learns transcripts by CTC, from the audio encoder
    DatasetFiles(data).put_json(MANIFEST, {})
    assert prompt_of("stage1b") is None


def test_another_run_in_the_same_directory_is_refused_with_the_difference(
    tmp_path: Path, tiny_bundle: Path, data: str, no_workers: None
) -> None:
    config = train_recipe("stage1a", "tiny").train
    taught = chosen("stage1a", "--distill", "kl", "--teacher", "t").train
    workers, start, run = WorkersConfig(count=1), str(tiny_bundle), str(tmp_path / "run")

    def start_run(config: Any = config, data: str = data, model: str = start, **others: Any) -> None:
        job.train(config, others.pop("workers", workers), data, model, others.pop("output", run), **others)

    other_data = f"file://{tmp_path / 'other'}"
    write_dataset(other_data, rows_of(31))
    other_model = shutil.copytree(tiny_bundle / OPENS2S, tmp_path / "model")
    model = load_opens2s(other_model)
    model.thinker.llm_model.model.norm.weight.data += 1
    save_opens2s(model, other_model)

    with pytest.raises(Trained):
        start_run()
    with pytest.raises(Trained):  # it goes on, on other machines
        start_run(workers=WorkersConfig(count=2, zero_stage=3))
    with pytest.raises(Trained):  # the same weights in another directory
        start_run(model=str(tiny_bundle / OPENS2S))
    for changes, message in (
        ({"config": train_recipe("stage1b", "tiny").train}, r"config\.stage\.name was 'stage1a', is 'stage1b'"),
        ({"config": replace(config, plan=replace(config.plan, seed=1))}, r"config\.plan\.seed was 0, is 1"),
        ({"config": replace(config, learning_rate=1e-9)}, r"config\.learning_rate was"),
        ({"data": other_data}, r"data\[0\]\.index was .*; data\[0\]\.name was 'data', is 'other'"),
        ({"model": str(other_model)}, "model was"),
    ):
        with pytest.raises(RunError, match=message):
            start_run(**changes)
    with pytest.raises(Trained):
        start_run(taught, output=str(tmp_path / "taught"), teacher=str(tiny_bundle))
    with pytest.raises(RunError, match="teacher was"):
        start_run(taught, output=str(tmp_path / "taught"), teacher=str(other_model))
