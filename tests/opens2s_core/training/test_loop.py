import json
import sys
import threading
import types
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.config import ConfigError
from opens2s_core.storage import fetch_directory
from opens2s_core.training.checkpoints import CheckpointStore, RetentionConfig
from opens2s_core.training.folder import Folder
from opens2s_core.training.guard import DivergedError, GuardConfig
from opens2s_core.training.loop import Progress, RunConfig, train
from opens2s_core.training.metrics import MetricsLog, read_metrics
from opens2s_core.training.run import Run, RunError, open_run
from tests.opens2s_core.training.toy_task import Ranks, ToyTask

CONFIG = RunConfig(steps=14, checkpoint_every=4, validate_every=2)
SKIP = replace(CONFIG, guard=GuardConfig(policy="skip"))
IDENTITY = {"seed": 0}
NAN = float("nan")


class Interrupted(Exception):
    pass


def interrupt_at(steps: int) -> Callable[[Progress], None]:
    def interrupt(progress: Progress) -> None:
        if progress.done == steps:
            raise Interrupted

    return interrupt


def exported(run: Run) -> dict[str, Tensor]:
    return load_file(fetch_directory(run.export) / "model.safetensors")


def equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def without_times(run: Run) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name != "step_seconds"} for row in read_metrics(run)]


def trained_by_hand(left_out: tuple[int, ...] = ()) -> ToyTask:
    task = ToyTask()
    for number in range(CONFIG.steps):
        if number not in left_out:
            task.step(number)
    return task


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENS2S_CACHE", str(tmp_path / "cache"))


@pytest.fixture(params=["memory", "s3"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "s3":
        request.getfixturevalue("s3")
    return f"{request.param}://bucket/{uuid.uuid4().hex}"


@pytest.fixture
def undisturbed(tmp_path: Path) -> Run:
    run = open_run(tmp_path / "undisturbed", IDENTITY)
    train(ToyTask(), CONFIG, run)
    return run


def test_a_run_takes_every_step_once_and_exports(tmp_path: Path) -> None:
    run, task = open_run(tmp_path, IDENTITY), ToyTask()
    train(task, CONFIG, run)
    assert task.numbers == list(range(14))
    assert equal(exported(run), trained_by_hand().model.state_dict())
    assert run.checkpoints.steps() == [12, 14]
    assert {"run.json", "metrics.jsonl", "curves.png"} < set(run.folder.names())
    assert (run.folder / "tensorboard").names()


def test_progress_is_reported_after_every_step(tmp_path: Path) -> None:
    seen: list[Progress] = []
    run = open_run(tmp_path, IDENTITY)
    train(ToyTask(), CONFIG, run, on_step=seen.append)
    assert [progress.done for progress in seen] == list(range(1, 15))
    assert {progress.steps for progress in seen} == {14}
    assert [progress.done for progress in seen if progress.validation] == [2, 4, 6, 8, 10, 12, 14]
    assert [row["loss"] for row in read_metrics(run)] == [progress.metrics["loss"] for progress in seen]


def test_a_finished_run_is_not_changed(undisturbed: Run) -> None:
    def contents() -> dict[str, bytes]:
        directory = Path(undisturbed.folder.url)
        return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}

    before, task = contents(), ToyTask()
    train(task, CONFIG, undisturbed)
    assert contents() == before
    assert task.numbers == []


@pytest.mark.parametrize("steps", [1, 4, 5, 11, 14])
def test_a_run_that_was_interrupted_has_the_same_bits(tmp_path: Path, undisturbed: Run, steps: int) -> None:
    check_interruption(str(tmp_path / "run"), undisturbed, steps)


def test_a_run_at_a_url_that_was_interrupted_has_the_same_bits(url: str, undisturbed: Run) -> None:
    check_interruption(url, undisturbed, 9)


def check_interruption(place: str, undisturbed: Run, steps: int) -> None:
    run = open_run(place, IDENTITY)
    with pytest.raises(Interrupted):
        train(ToyTask(), CONFIG, run, on_step=interrupt_at(steps))
    task = ToyTask()
    train(task, CONFIG, run)
    first = 14 if steps == 14 else steps // 4 * 4
    assert task.numbers == list(range(first, 14))
    assert equal(exported(run), exported(undisturbed))
    assert without_times(run) == without_times(undisturbed)
    assert [row["step"] for row in read_metrics(run)] == list(range(1, 15))


def test_a_run_continues_from_any_of_its_checkpoints(tmp_path: Path, undisturbed: Run) -> None:
    config = replace(CONFIG, retention=RetentionConfig(last=10))
    run = open_run(tmp_path / "run", IDENTITY)
    with pytest.raises(Interrupted):
        train(ToyTask(), config, run, on_step=interrupt_at(13))
    for steps in (12, 8, 4):
        assert run.checkpoints.steps()[-1] == steps
        task = ToyTask()
        with pytest.raises(Interrupted):
            train(task, config, run, on_step=interrupt_at(steps + 1))
        assert task.numbers == [steps]
        (run.folder / "checkpoints").remove(f"step-{steps:08}")
    train(ToyTask(), config, run)
    assert equal(exported(run), exported(undisturbed))


@pytest.mark.parametrize("method", ["write", "publish", "prune"])
def test_a_failed_save_ends_the_run_which_can_be_resumed(
    tmp_path: Path, undisturbed: Run, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    run, original, calls = open_run(tmp_path / "run", IDENTITY), getattr(CheckpointStore, method), []

    def fail(*args: object) -> None:
        calls.append(args)
        if len(calls) == 2:
            raise OSError("the disk is full")
        original(*args)

    with monkeypatch.context() as patched:
        patched.setattr(CheckpointStore, method, fail)
        with pytest.raises(OSError, match="the disk is full"):
            train(ToyTask(), CONFIG, run)
    assert not run.is_finished()
    train(ToyTask(), CONFIG, run)
    assert equal(exported(run), exported(undisturbed))


def test_the_best_checkpoint_is_kept(tmp_path: Path) -> None:
    class Overfits(ToyTask):
        def validate(self, steps: int) -> dict[str, float]:
            return {"loss": abs(steps - 4.0)}

    run = open_run(tmp_path, IDENTITY)
    train(Overfits(), replace(CONFIG, retention=RetentionConfig(last=1, best="loss")), run)
    assert run.checkpoints.steps() == [4, 14]
    assert run.checkpoints.read(4).metrics == {"loss": 0.0}


def test_the_best_checkpoint_needs_its_validation() -> None:
    with pytest.raises(ConfigError, match="checkpoint_every: expected a multiple of validate_every 3"):
        RunConfig(steps=9, checkpoint_every=4, validate_every=3, retention=RetentionConfig(best="loss"))
    with pytest.raises(ConfigError, match="steps: expected at least 1, got 0"):
        RunConfig(steps=0)


def test_a_run_with_more_steps_than_configured_is_refused(tmp_path: Path) -> None:
    run = open_run(tmp_path, IDENTITY)
    with pytest.raises(Interrupted):
        train(ToyTask(), CONFIG, run, on_step=interrupt_at(9))
    with pytest.raises(RunError, match="expected at most 6 steps, 8 are done"):
        train(ToyTask(), replace(CONFIG, steps=6), run)


def test_a_checkpoint_of_another_task_is_refused(tmp_path: Path) -> None:
    run, other = open_run(tmp_path, IDENTITY), ToyTask()
    with pytest.raises(Interrupted):
        train(ToyTask(), CONFIG, run, on_step=interrupt_at(5))
    other._optimizer = torch.optim.AdamW([other.model[0].weight])
    with pytest.raises(CheckpointError, match=r"step-00000004: unknown optimizer state 0.bias"):
        train(other, CONFIG, run)


# ---------------------------------------------------------------- the guard


def test_a_run_that_diverges_stops_and_keeps_its_last_checkpoint(tmp_path: Path) -> None:
    run = open_run(tmp_path, IDENTITY)
    with pytest.raises(DivergedError, match=r"toy: step 7: expected finite numbers, got {'loss': nan,"):
        train(ToyTask(bad={6: NAN}), CONFIG, run)
    assert run.checkpoints.steps() == [4]
    assert [row["step"] for row in read_metrics(run)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("number", [0, 2, 6, 7, 13])
def test_a_step_that_diverges_is_left_out_by_policy(tmp_path: Path, number: int) -> None:
    check_skipping(str(tmp_path / "run"), number)


def test_a_step_of_a_run_at_a_url_is_left_out_by_policy(url: str) -> None:
    check_skipping(url, 6)


def check_skipping(place: str, number: int) -> None:
    run, task = open_run(place, IDENTITY), ToyTask(bad={number: NAN})
    with pytest.warns(UserWarning, match=rf"toy: step {number + 1}: .*step {number + 1} is left out"):
        train(task, SKIP, run)
    restart = number // 4 * 4
    assert task.numbers == [*range(number + 1), *range(restart, number), *range(number + 1, 14)]
    assert equal(exported(run), trained_by_hand((number,)).model.state_dict())
    assert list(run.read_skipped()) == [number + 1]
    logged = [row["step"] for row in read_metrics(run) if "loss" in row]
    assert logged == [step for step in range(1, 15) if step != number + 1]


def test_a_resumed_run_knows_the_steps_that_are_left_out(tmp_path: Path) -> None:
    run = open_run(tmp_path, IDENTITY)
    with pytest.warns(UserWarning, match="is left out"), pytest.raises(Interrupted):
        train(ToyTask(bad={6: NAN}), SKIP, run, on_step=interrupt_at(7))
    task = ToyTask(bad={6: NAN})
    train(task, SKIP, run)
    assert 6 not in task.numbers
    assert equal(exported(run), trained_by_hand((6,)).model.state_dict())


def test_two_steps_are_left_out_one_after_another(tmp_path: Path) -> None:
    run, task = open_run(tmp_path, IDENTITY), ToyTask(bad={5: NAN, 6: float("inf")})
    with pytest.warns(UserWarning, match="is left out"):
        train(task, SKIP, run)
    assert list(run.read_skipped()) == [6, 7]
    assert equal(exported(run), trained_by_hand((5, 6)).model.state_dict())


def test_a_spike_is_left_out_and_resuming_knows_the_losses_before_it(tmp_path: Path) -> None:
    config = replace(SKIP, guard=GuardConfig(policy="skip", spike_factor=50.0, spike_window=5))
    run = open_run(tmp_path, IDENTITY)
    with pytest.raises(Interrupted):
        train(ToyTask(), config, run, on_step=interrupt_at(8))
    with pytest.warns(UserWarning, match=r"step 9: expected a loss of at most 50 x the median"):
        train(ToyTask(bad={8: 1e6}), config, run)
    assert equal(exported(run), trained_by_hand((8,)).model.state_dict())


def test_the_number_of_steps_that_are_left_out_is_limited(tmp_path: Path) -> None:
    config = replace(SKIP, guard=GuardConfig(policy="skip", most_skipped=1))
    with (
        pytest.warns(UserWarning, match="is left out"),
        pytest.raises(DivergedError, match=r"step 9: .*; 1 steps are left out already, the most there may be"),
    ):
        train(ToyTask(bad={5: NAN, 8: NAN}), config, open_run(tmp_path, IDENTITY))


# ---------------------------------------------------------------- several ranks


def train_on_ranks(
    world: int, config: RunConfig, run: Run, prepare: Callable[[ToyTask], None] = lambda task: None, **kwargs: Any
) -> tuple[list[ToyTask], list[BaseException | None]]:
    ranks = Ranks(world)
    tasks = [ToyTask(rank=rank, ranks=ranks) for rank in range(world)]
    for task in tasks:
        prepare(task)
    return tasks, ranks.run(lambda rank: train(tasks[rank], config, run, **kwargs))


def test_ranks_train_together(url: str, undisturbed: Run) -> None:
    run = open_run(url, IDENTITY)
    tasks, errors = train_on_ranks(3, CONFIG, run)
    assert errors == [None] * 3
    assert all(task.numbers == list(range(14)) for task in tasks)
    assert equal(exported(run), exported(undisturbed))
    assert without_times(run) == without_times(undisturbed)
    assert run.checkpoints.steps() == [12, 14]


@pytest.mark.parametrize("worlds", [(2, 1, 4), (1, 3, 2)])
def test_a_run_continues_on_another_number_of_ranks(
    tmp_path: Path, undisturbed: Run, worlds: tuple[int, int, int]
) -> None:
    run = open_run(tmp_path / "run", IDENTITY)
    # At its second save a run waits for the first, so that there is a checkpoint to continue from.
    for world, stop, complete in zip(worlds, (9, 13, None), (4, 8, 14), strict=True):
        interrupt = interrupt_at(stop) if stop else (lambda progress: None)
        _, errors = train_on_ranks(world, CONFIG, run, on_step=interrupt)
        kinds = {type(error) for error in errors}
        if stop:
            assert Interrupted in kinds
            assert kinds <= {Interrupted, threading.BrokenBarrierError}, "ranks may notice the end of another"
        else:
            assert kinds == {type(None)}
        assert run.checkpoints.steps()[-1] >= complete
    assert equal(exported(run), exported(undisturbed))
    assert [row["step"] for row in read_metrics(run)] == list(range(1, 15))


def test_ranks_leave_the_same_step_out(tmp_path: Path) -> None:
    run = open_run(tmp_path, IDENTITY)
    with pytest.warns(UserWarning, match="is left out"):
        tasks, errors = train_on_ranks(2, SKIP, run, lambda task: task.bad.update({6: NAN}))
    assert errors == [None, None]
    assert tasks[0].numbers == tasks[1].numbers == [*range(7), 4, 5, *range(7, 14)]
    assert equal(exported(run), trained_by_hand((6,)).model.state_dict())


def test_an_error_of_one_rank_while_saving_is_raised_on_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = CheckpointStore.write

    def fail(store: CheckpointStore, steps: int, writer: Any, *args: Any) -> None:
        if steps == 8 and writer.rank == 1:
            raise OSError("the disk is full")
        original(store, steps, writer, *args)

    run = open_run(tmp_path, IDENTITY)
    with monkeypatch.context() as patched:
        patched.setattr(CheckpointStore, "write", fail)
        _, errors = train_on_ranks(2, CONFIG, run)
    assert [type(error) for error in errors] == [CheckpointError, OSError]
    assert str(errors[0]) == "the checkpoint of step 8 failed on another rank"
    assert run.checkpoints.steps() == [4]


def test_an_export_that_fails_is_an_error_on_all_ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(task: ToyTask, directory: Path | None) -> None:
        if directory is not None:
            raise OSError("the disk is full")

    run = open_run(tmp_path, IDENTITY)
    with monkeypatch.context() as patched:
        patched.setattr(ToyTask, "export", fail)
        _, errors = train_on_ranks(2, CONFIG, run)
    assert [type(error) for error in errors] == [OSError, RunError]
    assert not run.is_finished()


# ---------------------------------------------------------------- metrics


def test_metrics_are_in_tensorboard_once(tmp_path: Path) -> None:
    run = open_run(tmp_path, IDENTITY)
    with pytest.raises(Interrupted):
        train(ToyTask(), CONFIG, run, on_step=interrupt_at(7))
    with pytest.warns(UserWarning, match="is left out"):
        train(ToyTask(bad={9: NAN}), SKIP, run)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("loss/error")] == [step for step in range(1, 15) if step != 10]
    assert [event.step for event in events.Scalars("validation/loss")] == [2, 4, 6, 8, 10, 12, 14]
    names = {"loss", "loss/error", "gradient_norm", "learning_rate", "step_seconds", "validation/loss"}
    assert set(events.Tags()["scalars"]) == names


def test_a_line_that_was_cut_is_dropped(tmp_path: Path) -> None:
    run = open_run(tmp_path, IDENTITY)
    with MetricsLog(run, 0) as log:
        log.write(1, {"loss": 2.0, "share": NAN})
        log.write(2, {"loss": 1.0})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "lo')
    with MetricsLog(run, 2) as log:
        log.write(3, {"loss": 0.5})
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 1, "loss": 2.0, "share": None},
        {"step": 2, "loss": 1.0},
        {"step": 3, "loss": 0.5},
    ]


@pytest.mark.parametrize(
    ("module", "file", "message"),
    [
        ("torch.utils.tensorboard", "tensorboard", "tensorboard is not installed: no tensorboard is written"),
        ("matplotlib.figure", "curves.png", "matplotlib is not installed: no curves.png is written"),
    ],
)
def test_a_run_needs_neither_tensorboard_nor_matplotlib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, file: str, message: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    run = open_run(tmp_path, IDENTITY)
    with pytest.warns(UserWarning, match=message):
        train(ToyTask(), CONFIG, run)
    assert run.is_finished()
    assert not run.folder.exists(file)


def test_weights_and_biases_must_be_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ImportError, match="wandb: expected the package to be installed"):
        train(ToyTask(), CONFIG, open_run(tmp_path, IDENTITY), wandb=True)


def test_weights_and_biases_gets_the_metrics_of_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a recorder in place of the package, which needs an account."""
    calls: list[tuple[str, Any]] = []

    class Recorder:
        def log(self, values: dict[str, float], step: int) -> None:
            calls.append(("log", (step, values)))

        def finish(self, exit_code: int) -> None:
            calls.append(("finish", exit_code))

    module = types.ModuleType("wandb")
    module.init = lambda **settings: calls.append(("init", settings)) or Recorder()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    run = open_run(tmp_path / "named", IDENTITY)
    train(ToyTask(), CONFIG, run, wandb=True)
    assert calls[0][0] == "init"
    assert calls[0][1]["name"] == "named"
    assert calls[0][1]["config"] == IDENTITY
    logged = [{"step": step, **values} for kind, (step, values) in calls[1:-1] if kind == "log"]
    assert logged == read_metrics(run)
    assert calls[-1] == ("finish", 0)


def test_the_metrics_of_a_run_at_a_url_are_there_with_its_checkpoint() -> None:
    run = open_run(f"memory://bucket/{uuid.uuid4().hex}", IDENTITY)
    with pytest.raises(Interrupted):
        train(ToyTask(), CONFIG, run, on_step=interrupt_at(6))
    assert run.checkpoints.steps() == [4]
    assert [row["step"] for row in read_metrics(run)][:4] == [1, 2, 3, 4]
    assert Folder.at(f"{run.folder.url}/tensorboard").names()
