"""Measure training on this machine's CPU: see ``python -m ray_jobs.benchmark train``."""

import argparse
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from tqdm import tqdm

from data_pipeline.benchmark.dialogues import write_dialogues
from data_pipeline.dataset.mixture import MixedSamples, Mixture, MixtureSource
from opens2s_core.benchmark.dialogues import Dialogues
from opens2s_core.benchmark.engine_models import SIZES
from opens2s_core.benchmark.padded import padded_cells, padded_losses, padded_micro_batches
from opens2s_core.benchmark.report import (
    Baseline,
    Bound,
    Measurement,
    make_report,
    middle_half,
    render_table,
    write_report,
)
from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.opens2s import load_opens2s, read_config
from opens2s_core.checkpoint.shards import LazyTensor
from opens2s_core.checkpoint.vocabulary import read_vocabulary
from opens2s_core.training.batch import Batch, collate
from opens2s_core.training.checkpoints import RetentionConfig, Writer
from opens2s_core.training.engine import TorchEngine
from opens2s_core.training.folder import Folder
from opens2s_core.training.from_scratch import create_bundle
from opens2s_core.training.loop import RunConfig
from opens2s_core.training.loop import train as train_run
from opens2s_core.training.metrics import read_metrics
from opens2s_core.training.objective import Objective
from opens2s_core.training.plan import Lengths, PlanConfig, plan_epoch
from opens2s_core.training.run import Run, open_run
from opens2s_core.training.saving import BackgroundSaver
from opens2s_core.training.stages import STAGE3
from opens2s_core.training.task import OpenS2STask, TrainConfig
from opens2s_core.voices import SLT
from ray_jobs.benchmark_data import local_cluster
from ray_jobs.train import train
from ray_jobs.train_recipes import WorkersConfig

_MIN_USEFUL, _MIN_PACKED = 95.0, 1.3
_MIN_RAY = 0.9
_MAX_WAITING = 2.0
_MAX_DIFFERENCE = 1e-3
"""Of losses in float32, whose sums have another order."""
_LONG_PLAN = PlanConfig(micro_batches_per_step=2, micro_batch_positions=1024, micro_batch_speech_positions=2048)
_SHORT_PLAN = PlanConfig(micro_batches_per_step=4, micro_batch_positions=256, micro_batch_speech_positions=512)
_SAVED_EVERY = 3
Saves = Literal["none", "asynchronous", "synchronous"]
Metrics = list[dict[str, float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainBenchmark:
    """``dialogues`` are trained on. Speeds are medians over ``repeats`` runs of each kind in turns, and over ``steps``
    of each run after its first one. ``curve`` steps are compared between engines."""

    dialogues: int = 64
    repeats: int = 3
    steps: int = 6
    curve: int = 8
    threads: int = 2

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")


class _Setting:
    """The model, the data, and where runs are written."""

    def __init__(self, benchmark: TrainBenchmark, directory: Path) -> None:
        self.benchmark, self._directory, self._runs = benchmark, directory, 0
        self.bundle = directory / "bundle"
        create_bundle(SIZES["tiny"].models, ["What would you do now?"], SLT, self.bundle)
        self.start, config = self.bundle / OPENS2S, read_config(self.bundle / OPENS2S)
        self.vocabulary = read_vocabulary(self.start)
        self.dialogues = Dialogues(config, self.vocabulary, benchmark.dialogues)
        self.data = write_dialogues(directory / "data", self.dialogues)

    def objective(self) -> Objective:
        return Objective(load_opens2s(self.start), STAGE3, seed=0)

    def config(self, steps: int, plan: PlanConfig) -> TrainConfig:
        return TrainConfig(
            stage=STAGE3,
            run=RunConfig(steps=steps, checkpoint_every=steps),
            learning_rate=1e-3,
            warmup_steps=2,  # so that a few steps change the losses
            plan=plan,
        )

    def new_run(self) -> Path:
        self._runs += 1
        return self._directory / f"run-{self._runs}"

    def task(self, config: TrainConfig) -> OpenS2STask:
        engine = TorchEngine(self.objective(), weight_decay=config.weight_decay, max_grad_norm=config.max_grad_norm)
        samples = MixedSamples(Mixture(sources=(MixtureSource(data=self.data),)))
        return OpenS2STask(engine, config, samples, self.vocabulary)


def measure_train(args: argparse.Namespace) -> None:
    settings = {field.name: getattr(args, field.name) for field in dataclasses.fields(TrainBenchmark)}
    benchmark = TrainBenchmark(**settings)
    torch.set_num_threads(benchmark.threads)
    rows: list[Measurement] = []
    with tempfile.TemporaryDirectory() as directory:
        setting = _Setting(benchmark, Path(directory))
        for row in _rows(setting):
            rows.append(row)
            report = make_report(settings, rows, ("ray", "deepspeed"))
            write_report(report, args.json)  # what is measured so far
    print(render_table(report))


def _rows(setting: _Setting) -> Iterator[Measurement]:
    yield from packing_rows(setting)
    yield from saving_rows(setting)
    with local_cluster(quiet=True):
        yield from overhead_rows(setting)
        yield from curve_rows(setting)


def packing_rows(setting: _Setting) -> Iterator[Measurement]:
    """Forward and backward passes over all dialogues, packed and padded; collated before, and without an optimizer."""
    objective, plan = setting.objective().train(), _LONG_PLAN
    dialogues, config = setting.dialogues, objective.model.config
    epoch = plan_epoch(Lengths(dialogues.lengths, dialogues.speech_lengths), plan, 0)
    chosen = {
        "packed": [batch for step in epoch for batch in step if batch],
        "padded": padded_micro_batches(dialogues.lengths, plan.micro_batch_positions, plan.seed),
    }
    batches = {
        side: [collate([dialogues[index] for index in indices], config, setting.vocabulary) for indices in some]
        for side, some in chosen.items()
    }
    losses: dict[str, Callable[[Batch], dict[str, torch.Tensor]]] = {
        "packed": objective,
        "padded": lambda batch: padded_losses(objective, batch),
    }
    useful = {
        "packed": _share([batch.cells() for batch in batches["packed"]]),
        "padded": _share([padded_cells(batch) for batch in batches["padded"]]),
    }
    yield Measurement(
        name="useful cells, packed to padded",
        value=useful["packed"],
        unit="%",
        bound=Bound("at least", _MIN_USEFUL),
        baseline=Baseline(useful["padded"]),
        better="higher",
    )
    rates: dict[str, list[float]] = {side: [] for side in losses}
    sums: dict[str, float] = {}
    for repeat in tqdm(range(setting.benchmark.repeats + 1), desc="packed and padded", unit="round"):
        for side, losses_of in losses.items():
            start = time.perf_counter()
            sums[side] = 0.0
            for batch in batches[side]:
                parts = losses_of(batch)
                loss = torch.stack(list(parts.values())).sum()
                loss.backward()
                sums[side] += float(loss.detach())
            objective.zero_grad()
            if repeat:  # the first round warms up
                rates[side].append(len(dialogues) / (time.perf_counter() - start))
    yield _compared("throughput, packed to padded", "samples/s", rates["packed"], rates["padded"], better="higher")
    yield _ratio("ratio of throughput, packed to padded", rates["packed"], rates["padded"], _MIN_PACKED)
    yield Measurement(
        name="difference of the losses, packed to padded",
        value=abs(sums["packed"] / sums["padded"] - 1),
        unit="ratio",
        bound=Bound("at most", _MAX_DIFFERENCE),
    )


def saving_rows(setting: _Setting) -> Iterator[Measurement]:
    """What a checkpoint adds to the time of a run, where training goes on while it is written and where it waits."""
    steps = max(setting.benchmark.steps, 2 * _SAVED_EVERY)
    config = setting.config(steps + 1, _LONG_PLAN)
    kinds: tuple[Saves, ...] = ("none", "asynchronous", "synchronous")
    seconds: dict[Saves, list[float]] = {kind: [] for kind in kinds}
    with closing(setting.task(config)) as task:
        tensors = {name: tensor.clone() for name, tensor in task.state()}
        start = {name: LazyTensor(tensor.shape, tensor.dtype, tensor.clone) for name, tensor in tensors.items()}
        for number in tqdm(range(setting.benchmark.repeats), desc="checkpoints", unit="round"):
            for kind in (*kinds[number % 3 :], *kinds[: number % 3]):  # each kind comes first at times
                task.load(start)
                seconds[kind].append(_seconds_with(task, config, kind, open_run(setting.new_run(), {})))
    saves = steps // _SAVED_EVERY
    bare = statistics.median(seconds["none"])
    asynchronous, synchronous = ([(each - bare) / saves for each in seconds[kind]] for kind in kinds[1:])
    yield _compared(
        "time that a checkpoint adds, asynchronous to synchronous", "s", asynchronous, synchronous, better="lower"
    )
    yield _row("time of a step, without checkpoints", "s", [each / steps for each in seconds["none"]])


def _seconds_with(task: OpenS2STask, config: TrainConfig, kind: Saves, run: Run) -> float:
    """Seconds of the steps after the first one, which waits for data; a checkpoint follows every third one."""
    saver = BackgroundSaver(run.checkpoints, Writer(rank=0, world=1, attempt=0), task.reduce, RetentionConfig())
    with saver:
        task.step(0)
        start = time.perf_counter()
        for number in range(1, config.run.steps):
            task.step(number)
            saver.poll()
            if kind != "none" and number % _SAVED_EVERY == 0:
                saver.save(number, task.state(), {}, {})
                if kind == "synchronous":
                    saver.drain()
        return time.perf_counter() - start


def overhead_rows(setting: _Setting) -> Iterator[Measurement]:
    """Ray Train and DeepSpeed against the bare loop: the same steps by one worker."""
    benchmark = setting.benchmark
    config = setting.config(benchmark.steps + 1, _LONG_PLAN)
    workers = WorkersConfig(count=1, cpus=benchmark.threads, zero_stage=0)
    measured: dict[str, list[Metrics]] = {"ray": [], "bare": []}
    for _ in tqdm(range(benchmark.repeats), desc="Ray Train and bare", unit="round"):
        measured["ray"].append(_train_on_ray(setting, config, workers))
        measured["bare"].append(_train_bare(setting, config))
    seconds = {side: [_median(run, "step_seconds") for run in runs] for side, runs in measured.items()}
    yield _compared(
        "time of a step, Ray Train with ZeRO 0 to bare", "s", seconds["ray"], seconds["bare"], better="lower"
    )
    speeds = {side: [1 / each for each in values] for side, values in seconds.items()}
    yield _ratio("ratio of speed, Ray Train with ZeRO 0 to bare", speeds["ray"], speeds["bare"], _MIN_RAY)
    waiting = [
        100 * sum(step["data_seconds"] for step in run[1:]) / sum(step["step_seconds"] for step in run[1:])
        for run in measured["ray"]
    ]
    yield _row("share of a step that waits for data", "%", waiting, Bound("at most", _MAX_WAITING))
    yield _difference("losses, Ray Train with ZeRO 0 to bare", measured["ray"][0], measured["bare"][0])


def curve_rows(setting: _Setting) -> Iterator[Measurement]:
    """Losses of the same steps by other numbers of workers and other ZeRO stages."""
    config = setting.config(setting.benchmark.curve, _SHORT_PLAN)

    def curve(count: int, zero_stage: int) -> Metrics:
        return _train_on_ray(setting, config, WorkersConfig(count=count, zero_stage=zero_stage))

    plain = curve(2, 0)
    yield Measurement(
        name=f"loss of step {len(plain)} to that of the first one, ZeRO 0, 2 workers",
        value=plain[-1]["loss"],
        unit="nats",
        baseline=Baseline(plain[0]["loss"]),
        better="lower",
    )
    yield _difference("losses, 2 workers to 1", plain, curve(1, 0))
    for zero_stage in (1, 2, 3):
        yield _difference(f"losses, ZeRO {zero_stage} to ZeRO 0, 2 workers", curve(2, zero_stage), plain)


def _train_on_ray(setting: _Setting, config: TrainConfig, workers: WorkersConfig) -> Metrics:
    output = setting.new_run()
    train(config, workers, setting.data, str(setting.bundle), str(output))
    return _metrics(output)


def _train_bare(setting: _Setting, config: TrainConfig) -> Metrics:
    output = setting.new_run()
    with closing(setting.task(config)) as task:
        train_run(task, config.run, open_run(output, {}))
    return _metrics(output)


def _metrics(output: Path) -> Metrics:
    return read_metrics(Run(Folder.at(output)))


def _median(run: Metrics, name: str) -> float:
    """Over the steps after the first one, which waits for data."""
    return statistics.median(step[name] for step in run[1:])


def _share(cells: Sequence[tuple[int, int]]) -> float:
    useful, computed = (sum(counts) for counts in zip(*cells, strict=True))
    return 100 * useful / computed


def _difference(name: str, run: Metrics, other: Metrics) -> Measurement:
    """The largest relative difference of the losses of a step."""
    pairs = [(step["loss"], its["loss"]) for step, its in zip(run, other, strict=True)]
    return Measurement(
        name=f"largest difference of {name}",
        value=max(abs(own / its - 1) for own, its in pairs),
        unit="ratio",
        bound=Bound("at most", _MAX_DIFFERENCE),
    )


def _ratio(name: str, values: Sequence[float], others: Sequence[float], least: float) -> Measurement:
    """The median of the ratios of each round."""
    ratios = [value / other for value, other in zip(values, others, strict=True)]
    return _row(name, "times", ratios, Bound("at least", least))


def _compared(
    name: str, unit: str, values: Sequence[float], others: Sequence[float], *, better: Literal["lower", "higher"]
) -> Measurement:
    baseline = Baseline(statistics.median(others), middle_half(others))
    return replace(_row(name, unit, values), baseline=baseline, better=better)


def _row(name: str, unit: str, values: Sequence[float], bound: Bound | None = None) -> Measurement:
    return Measurement(name=name, value=statistics.median(values), unit=unit, bound=bound, spread=middle_half(values))


def add_parser(benchmarks: Any) -> None:
    """Add ``train`` to the subparsers of a command line."""
    defaults = TrainBenchmark()
    parser = benchmarks.add_parser(
        "train",
        help="packing, checkpoints, the cost of Ray Train, and that its engines learn the same",
        description="""Train a small model on random dialogues with the lengths of real ones, on the CPU: packed and
        padded; with checkpoints and without; by Ray Train with DeepSpeed and by the bare loop; with every ZeRO stage,
        by one worker and by two. What is compared takes turns.""",
    )
    parser.add_argument("--json", type=Path, required=True, help="file for the report")
    for name, help_text in (
        ("dialogues", "dialogues in the data"),
        ("repeats", "runs of each kind"),
        ("steps", "steps of a run"),
        ("curve", "steps whose losses are compared"),
        ("threads", "of torch, and CPUs of the one worker"),
    ):
        parser.add_argument(f"--{name}", type=int, default=getattr(defaults, name), help=f"{help_text} (%(default)s)")
    parser.set_defaults(run=measure_train)
