import copy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.training.folder import Folder
from opens2s_core.training.guard import DivergedError, GuardConfig
from opens2s_core.training.loop import Progress
from opens2s_core.training.run import Run, RunError
from opens2s_core.training.voice.stage import StageConfig
from opens2s_core.training.voice.task import StageTask, average_decay, train_stage, update_averages
from tests.opens2s_core.training.voice import toy
from tests.opens2s_core.training.voice.toy import RUN, ToyStage

MOMENTS = ("1", "5", "6", "13", "20", "tensors", "manifest", "pruning", "export")


class Interrupted(Exception):
    pass


def exported(directory: Path) -> dict[str, torch.Tensor]:
    return load_file(train_stage(ToyStage(), RUN, directory) / "model.safetensors")


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def last_checkpoint(directory: Path) -> dict[str, torch.Tensor]:
    checkpoint = Run(Folder.at(directory)).checkpoints.latest()
    assert checkpoint is not None
    with checkpoint.open() as tensors:
        return {name: tensor.read().clone() for name, tensor in tensors.items()}


def stop_at(steps: int, directory: Path) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.done == steps:
            raise Interrupted

    with pytest.raises(Interrupted):
        train_stage(ToyStage(), RUN, directory, on_step=interrupt)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_stage(ToyStage(), RUN, tmp_path_factory.mktemp("undisturbed")).parent


def test_what_is_exported_is_the_average_of_the_weights(undisturbed: Path) -> None:
    stage = ToyStage()
    average = copy.deepcopy(stage.model).requires_grad_(False)
    for step in range(RUN.steps):
        stage.step(step)
        decay = min(RUN.ema_decay, (1 + step) / (10 + step))
        average.weight.copy_(decay * average.weight + (1 - decay) * stage.model.weight)
    result = exported(undisturbed)
    torch.testing.assert_close(result["weight"], average.weight, atol=1e-6, rtol=0)
    assert not torch.equal(result["weight"], stage.model.weight)
    assert result["seen"] == stage.model.seen == 8 * RUN.steps


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run for each of the moments at which it got SIGKILL."""
    directory = tmp_path_factory.mktemp("killed")
    subprocess.run([sys.executable, "-m", toy.__name__, str(directory), *MOMENTS], check=True)
    return directory


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_and_restarted_run_has_the_same_bits(undisturbed: Path, killed: Path, moment: str) -> None:
    run = killed / moment
    assert not (run / "export").exists()
    result = exported(run)
    for name, value in exported(undisturbed).items():
        assert torch.equal(result[name], value), name
    expected, found = last_checkpoint(undisturbed), last_checkpoint(run)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert not list(run.rglob("*.unfinished"))
    folders = list((run / "checkpoints").iterdir())
    assert len(folders) == 2
    for folder in folders:
        assert len(list(folder.glob("*"))) == 2, "the tensors and the manifest"


def test_a_checkpoint_names_modules_averages_and_the_states_of_parameters(undisturbed: Path) -> None:
    names = set(last_checkpoint(undisturbed))
    assert {"modules.model.weight", "modules.model.seen", "averages.model.weight"} < names
    assert {f"optimizers.other.other.bias.{key}" for key in ("exp_avg", "exp_avg_sq", "step")} < names


def test_a_finished_run_is_left_as_it_is(undisturbed: Path) -> None:
    before = contents(undisturbed)
    exported(undisturbed)
    assert contents(undisturbed) == before


def test_the_last_two_checkpoints_are_kept(undisturbed: Path) -> None:
    kept = sorted(path.name for path in (undisturbed / "checkpoints").iterdir())
    assert kept == ["step-00000018", "step-00000020"]


def test_every_step_is_a_point_of_the_curves(tmp_path: Path) -> None:
    stop_at(8, tmp_path)  # two steps behind a checkpoint: they are taken, and drawn, again
    exported(tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert set(events.Tags()["scalars"]) == {"loss", "learning_rate", "step_seconds"}
    assert [event.step for event in events.Scalars("loss")] == list(range(1, RUN.steps + 1))


def test_without_tensorboard_a_run_keeps_no_curves(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.warns(UserWarning, match="tensorboard is not installed"):
        weights = exported(tmp_path)
    whole = exported(undisturbed)
    assert all(torch.equal(weights[name], whole[name]) for name in whole)
    assert not (tmp_path / "tensorboard").exists()


def test_progress_is_reported_for_every_step(tmp_path: Path) -> None:
    progress: list[tuple[int, float]] = []
    train_stage(ToyStage(), RUN, tmp_path, on_step=lambda step: progress.append((step.done, step.metrics["loss"])))
    assert [done for done, _ in progress] == list(range(1, RUN.steps + 1))
    assert sum(loss for _, loss in progress[-3:]) < 0.5 * sum(loss for _, loss in progress[:3])


def test_training_does_not_change_the_global_random_state(tmp_path: Path) -> None:
    state = torch.get_rng_state()
    exported(tmp_path)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_run_is_not_resumed_with_another_configuration(tmp_path: Path) -> None:
    stop_at(7, tmp_path)
    other = replace(RUN, learning_rate=0.01)
    with pytest.raises(RunError, match=r"config.learning_rate was 0.05, is 0.01"):
        train_stage(ToyStage(other), other, tmp_path)
    with pytest.raises(RunError, match=r"corpus was absent, is 'b'"):
        train_stage(ToyStage(), RUN, tmp_path, depends_on={"corpus": "b"})


@pytest.mark.parametrize("damage", ["cut", "garbage", "gone"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, damage: str) -> None:
    stop_at(7, tmp_path)
    [file] = (tmp_path / "checkpoints" / "step-00000006").glob("*.safetensors")
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:50] if damage == "cut" else b"\x80\x04garbage" * 30)
    with pytest.raises(CheckpointError, match=rf"step-00000006: damaged file {file.name}"):
        exported(tmp_path)


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    stop_at(7, tmp_path)
    stage = ToyStage()
    stage.other = torch.nn.Linear(4, 1)
    with pytest.raises(CheckpointError, match=r"step-00000006: .*weight has shape \(1, 3\), expected \(1, 4\)"):
        train_stage(stage, RUN, tmp_path)


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"toy: step 8: expected finite numbers, got {'loss': nan}"):
        train_stage(ToyStage(nan_at=7), RUN, tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000006"]


def test_a_run_that_diverged_may_leave_the_step_out(tmp_path: Path) -> None:
    with pytest.raises(DivergedError):
        train_stage(ToyStage(nan_at=7), RUN, tmp_path)
    with pytest.warns(UserWarning, match="step 8 is left out"):
        train_stage(ToyStage(nan_at=7), replace(RUN, guard=GuardConfig(policy="skip")), tmp_path)
    expected = StageTask(ToyStage(), RUN)
    for number in range(RUN.steps):
        if number != 7:
            expected.step(number)
    found = last_checkpoint(tmp_path)
    assert all(torch.equal(found[name], value) for name, value in expected.state())


def test_the_learning_rate_warms_up_and_decays() -> None:
    run = StageConfig(steps=100, warmup_steps=5, learning_rate=1e-3)
    rates = [run.schedule.at(step) for step in range(100)]
    assert rates[0] < rates[4] == pytest.approx(1e-3)
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] == pytest.approx(1e-5, rel=0.1)


def test_the_initial_weights_in_the_averages_decay_quickly() -> None:
    run = replace(RUN, ema_decay=0.999)
    assert average_decay(run, 0) == pytest.approx(0.1)
    assert average_decay(run, 10_000) == pytest.approx(0.999)
    live, average = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2).requires_grad_(False)
    update_averages({"a": average}, {"a": live}, 0.0)
    assert torch.equal(average.weight, live.weight)
