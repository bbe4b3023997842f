"""What ``--plan`` says, and that the machines of ``cluster.yaml`` hold what the recipes plan."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from transformers import Qwen3Config, Qwen3ForCausalLM

from data_pipeline.benchmark.reading import write_random_samples
from data_pipeline.dataset.mixture import MixedSamples, Mixture, MixtureSource
from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.modules import build_empty
from opens2s_core.checkpoint.opens2s import published_state, read_config
from opens2s_core.models.opens2s import OpenS2S
from opens2s_core.training.loader import epoch_steps
from opens2s_core.training.memory import planned_objective
from opens2s_core.training.objective import Objective
from opens2s_core.training.teacher import read_teacher_config
from ray_jobs import train
from ray_jobs.train_plan import GPU_BYTES, epoch_data, fits, full_config, memory_by_stage
from ray_jobs.train_recipes import STAGES, Size, TrainRecipe, train_recipe

ROOT = Path(__file__).parents[2]
MACHINES = {"p5.48xlarge": (8, 80e9), "p4de.24xlarge": (8, 80e9), "g6e.12xlarge": (4, 48e9)}
"""GPUs and bytes of each, from the data sheets."""


def planned(recipe: TrainRecipe) -> Objective:
    return planned_objective(full_config(), recipe.train.stage)


def test_the_full_model_has_the_published_layers() -> None:
    keys = json.loads((ROOT / "tests/golden/opens2s_full_keys.json").read_text())["keys"]
    state = published_state(build_empty(lambda: OpenS2S(full_config())))
    assert state.keys() == keys.keys()
    own_rows = ("embed_tokens.weight", "lm_head.weight")  # the size of the vocabulary is an assumption there
    other = {name for name, tensor in state.items() if list(tensor.shape) != keys[name] and not name.endswith(own_rows)}
    assert not other


@pytest.mark.parametrize(
    ("size", "stage"),
    # One GPU trains all weights of stage 0, from nothing: those of a smaller model.
    [(size, stage) for size in ("gpu", "cluster") for stage in STAGES if (size, stage) != ("gpu", "stage0")],
)
def test_the_machines_hold_what_the_recipes_plan(stage: str, size: Size) -> None:
    machine = yaml.safe_load((ROOT / "cluster.yaml").read_text())["available_node_types"]["gpu_train"]
    gpus, gpu_bytes = MACHINES[machine["node_config"]["InstanceType"]]
    recipe = train_recipe(stage, size)
    workers = recipe.workers
    assert machine["resources"]["GPU"] == gpus
    assert workers.count <= gpus * machine["max_workers"]
    assert workers.cpus * gpus <= machine["resources"]["CPU"]
    for count in {workers.count, workers.min_count or workers.count}:
        memory = memory_by_stage(recipe.train, replace(workers, count=count), planned(recipe))[workers.zero_stage]
        assert fits(memory, gpu_bytes), (count, memory)
    assert gpu_bytes == GPU_BYTES, "what --plan compares with"


def test_all_of_the_llm_does_not_fit_without_zero() -> None:
    recipe = train_recipe("stage3", "cluster")
    assert not fits(memory_by_stage(recipe.train, recipe.workers, planned(recipe))[0])


def test_a_plan_needs_a_recipe_alone(capsys: pytest.CaptureFixture[str]) -> None:
    train.main(["--recipe", "stage3", "--size", "cluster", "--plan"])
    output = capsys.readouterr().out
    recipe = train_recipe("stage3", "cluster")
    memory = memory_by_stage(recipe.train, recipe.workers, planned(recipe))
    peaks = re.search(r"^peak +(.*)$", output, re.MULTILINE)
    assert peaks is not None
    assert peaks[1].split() == [f"{plan.total / 1e9:.2f}" for plan in memory.values()]
    assert re.search(r"^steps +3,000$", output, re.MULTILINE)
    assert re.search(r"^GPU hours, at most +[\d.]+ +at 40% of 989 TFLOP/s \(H100\)$", output, re.MULTILINE)


def test_a_plan_of_a_model_and_data_counts_their_steps(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_random_samples(tmp_path / "data", rows=60, shards=2, clip_bytes=1000, tokens=40)
    recipe = train_recipe("stage1a", "tiny")
    train.main(["--recipe", "stage1a", "--data", data, "--model", str(tiny_bundle), "--plan"])
    output = capsys.readouterr().out
    config = replace(recipe.train, held_out=0)
    mixture = Mixture(sources=(MixtureSource(data=data),))
    steps = epoch_steps(MixedSamples(mixture), config.plan)
    epoch = epoch_data(config, full_config(), mixture)
    assert (epoch.samples, epoch.steps) == (60, steps)
    assert epoch.work.positions == sum(MixedSamples(mixture).lengths)
    assert re.search(rf"^samples in an epoch +{60 - recipe.train.held_out}$", output, re.MULTILINE)
    assert "GPU hours" not in output


def test_a_teacher_needs_memory_with_every_zero_stage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = Qwen3Config(hidden_size=1024, num_hidden_layers=8)
    config.save_pretrained(tmp_path)  # of a model whose weights are not needed
    weights = sum(parameter.numel() for parameter in build_empty(lambda: Qwen3ForCausalLM(config)).parameters())
    options = ["--recipe", "stage1a", "--size", "gpu", "--plan", "--distill", "kl"]
    train.main([*options, "--teacher", str(tmp_path)])
    output = capsys.readouterr().out
    assert re.search(rf"^weights of the teacher( +{2 * weights / 1e9:.2f}){{4}}$", output, re.MULTILINE)
    train.main(options)
    assert "teacher" not in capsys.readouterr().out


def test_the_sizes_of_a_teacher_are_read_without_its_weights(tiny_bundle: Path) -> None:
    assert read_teacher_config(tiny_bundle).to_dict() == read_config(tiny_bundle / OPENS2S).llm.to_dict()


def test_without_a_plan_directories_are_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        train.main(["--recipe", "stage3", "--model", "m"])
    assert "required: --data, --output" in capsys.readouterr().err


def test_what_is_wrong_with_the_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="not a finished data set"):
        train.main(["--recipe", "stage3", "--plan", "--data", str(tmp_path)])
