"""ZeRO learns what one plain process learns, at every stage and on any number of ranks, resumed or not."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.opens2s import load_opens2s
from opens2s_core.checkpoint.vocabulary import read_vocabulary
from opens2s_core.models.lora import LoraSettings
from opens2s_core.training.loader import load_steps
from opens2s_core.training.loop import RunConfig
from opens2s_core.training.plan import PlanConfig
from opens2s_core.training.stages import STAGE3, StageConfig
from opens2s_core.training.task import TrainConfig
from tests.opens2s_core.training.samples import ListedSamples
from tests.opens2s_core.training.test_task import known_samples
from tests.ray_jobs.zero_ranks import Metrics, Training, alone, state_of

STEPS = 6
LORA = replace(STAGE3, lora=LoraSettings(rank=4, dropout=0.3))
ZERO = (0, 1, 2, 3)
WORLDS = (2, 1, 4)


def config(stage: StageConfig = STAGE3, **changes: object) -> TrainConfig:
    values = {"learning_rate": 5e-3, "warmup_steps": 2, "weight_decay": 0.1} | changes
    # One sample fills a micro-batch, so that the ranks of a step have different kinds of samples, and some have none.
    plan = PlanConfig(micro_batches_per_step=4, micro_batch_positions=1, micro_batch_speech_positions=1)
    return TrainConfig(stage=stage, run=RunConfig(steps=STEPS, checkpoint_every=2), plan=plan, **values)  # type: ignore[arg-type]


QUICK_AND_SLOW = ["float32", "LoRA", pytest.param("bfloat16", marks=pytest.mark.slow)]
RUNS = {"float32": config(), "LoRA": config(LORA), "bfloat16": config(precision="bfloat16")}


@pytest.fixture(scope="module")
def one_rank() -> Iterator[None]:
    with alone():
        yield


@pytest.fixture(scope="module")
def plain(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Metrics, Path]]:
    """What one process learns without ZeRO: the metrics of all steps, and the run."""
    learned = {}
    for name, run in RUNS.items():
        directory = tmp_path_factory.mktemp("plain")
        learned[name] = Training(bundle=tiny_bundle, config=run, zero=None).train(directory, STEPS), directory
    return learned


def assert_same_run(metrics: Metrics, directory: Path, expected: tuple[Metrics, Path], *, rounds: bool = False) -> None:
    """The same up to the order of float32 sums; ``rounds``: which may round weights to other numbers in bfloat16."""
    assert len(metrics) == len(expected[0]) == STEPS
    for name in ("loss", "loss/text", "loss/units", "gradient_norm"):
        actual, others = ([step.get(name, 0.0) for step in run] for run in (metrics, expected[0]))  # 0: no labels
        np.testing.assert_allclose(actual[:1], others[:1], rtol=2e-4, err_msg=name)
        np.testing.assert_allclose(actual, others, rtol=0.1 if rounds else 2e-4, err_msg=name)
    state, other = state_of(directory), state_of(expected[1])
    assert state.keys() == other.keys()
    for name, value in other.items():  # Adam makes much of the last bit of a small gradient
        atol = (0.05 if rounds else 2e-4) * max(float(value.abs().max()), 1)
        torch.testing.assert_close(state[name], value, atol=atol, rtol=1e-4, msg=name)


@pytest.mark.usefixtures("one_rank")
@pytest.mark.parametrize("zero", ZERO)
@pytest.mark.parametrize("name", QUICK_AND_SLOW)
def test_every_stage_of_zero_learns_what_torch_learns(
    tiny_bundle: Path, tmp_path: Path, plain: dict[str, tuple[Metrics, Path]], name: str, zero: int
) -> None:
    metrics = Training(bundle=tiny_bundle, config=RUNS[name], zero=zero).train(tmp_path, STEPS)
    assert_same_run(metrics, tmp_path, plain[name])


@pytest.mark.usefixtures("one_rank")
@pytest.mark.parametrize("zero", ZERO)
@pytest.mark.parametrize("name", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_a_resumed_run_has_the_same_bits(tiny_bundle: Path, tmp_path: Path, name: str, zero: int) -> None:
    training = Training(bundle=tiny_bundle, config=RUNS[name], zero=zero)
    whole = training.train(tmp_path / "whole", STEPS)
    first = training.train(tmp_path / "resumed", 2)
    torch.manual_seed(1234)  # another process would have other random numbers
    resumed = training.resume(tmp_path / "resumed", STEPS)
    assert [step["loss"] for step in first + resumed] == [step["loss"] for step in whole]
    state, expected = state_of(tmp_path / "resumed"), state_of(tmp_path / "whole")
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], value) for key, value in expected.items())


@pytest.mark.usefixtures("one_rank")
def test_a_run_resumes_with_another_stage_of_zero(
    tiny_bundle: Path, tmp_path: Path, plain: dict[str, tuple[Metrics, Path]]
) -> None:
    metrics: Metrics = []
    for until, zero in enumerate((3, 0, 2, 1, None, 3), 1):
        metrics += Training(bundle=tiny_bundle, config=RUNS["LoRA"], zero=zero).resume(tmp_path, until)
    assert_same_run(metrics, tmp_path, plain["LoRA"])


@pytest.mark.usefixtures("one_rank")
@pytest.mark.parametrize("zero", ZERO)
@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_the_norm_of_a_gradient_that_is_not_finite_is_not_finite(tiny_bundle: Path, zero: int, precision: str) -> None:
    training = Training(bundle=tiny_bundle, config=config(precision=precision), zero=zero)
    with training.task() as task:
        engine = task._engine
        task.step(0)
        for last in (False, False, False, True):
            loss = engine.objective.model.speech_decoder.llm_ln.weight.sum() * float("nan")
            engine.backward(loss, last=last)
        assert not np.isfinite(engine.step(1e-3))


@pytest.mark.slow
def test_the_ranks_of_a_step_have_different_kinds_of_samples(tiny_bundle: Path) -> None:
    model, vocabulary = load_opens2s(tiny_bundle / OPENS2S), read_vocabulary(tiny_bundle / OPENS2S)
    samples = ListedSamples(known_samples(vocabulary), model.config)

    def loaded(rank: int) -> list[tuple[int, int]]:
        steps = load_steps(samples, config().plan, model.config, vocabulary, rank=rank, world=4, first=0, last=STEPS)
        batches = [batch for step in steps for _, batch in step.micro_batches]
        return [
            (len(batch.packing.starts) - 1, 0 if batch.audio_is_dummy else len(batch.transcripts)) for batch in batches
        ]

    kinds = set(zip(*map(loaded, range(4)), strict=True))
    assert any({0, 3} <= {clips for _, clips in step} for step in kinds), kinds


@pytest.mark.slow
@pytest.mark.parametrize("zero", ZERO)
@pytest.mark.parametrize("name", RUNS)
def test_a_run_resumes_on_other_numbers_of_ranks(
    tiny_bundle: Path, tmp_path: Path, plain: dict[str, tuple[Metrics, Path]], name: str, zero: int
) -> None:
    training = Training(bundle=tiny_bundle, config=RUNS[name], zero=zero)
    metrics: Metrics = []
    for until, world in zip((2, 4, 6), WORLDS, strict=True):
        metrics += training.resume_on(world, tmp_path, until)
    assert_same_run(metrics, tmp_path, plain[name], rounds=name == "bfloat16")
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))


@pytest.mark.slow
@pytest.mark.parametrize("zero", ZERO)
@pytest.mark.parametrize("name", ["LoRA", "bfloat16"])
def test_two_ranks_resume_with_the_same_bits(tiny_bundle: Path, tmp_path: Path, name: str, zero: int) -> None:
    training = Training(bundle=tiny_bundle, config=RUNS[name], zero=zero)
    whole = training.resume_on(2, tmp_path / "whole", 4)
    resumed = [step for until in (2, 4) for step in training.resume_on(2, tmp_path / "resumed", until)]
    assert [step["loss"] for step in resumed] == [step["loss"] for step in whole]
    state, expected = state_of(tmp_path / "resumed"), state_of(tmp_path / "whole")
    assert all(torch.equal(state[key], value) for key, value in expected.items())
