"""Measure the harness of evaluations: see ``python -m ray_jobs.benchmark evaluate``."""

import argparse
import dataclasses
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from data_pipeline.progress import Passed
from evaluation.items import Item, Turn
from evaluation.models.in_process import PooledModel
from evaluation.models.model import ModelConfig
from evaluation.models.pipeline_model import PipelineModel
from evaluation.run import answer_items
from evaluation.store import AnswerStore
from opens2s_core.audio import SAMPLE_RATE, encode_audio
from opens2s_core.benchmark.engine_models import SIZES
from opens2s_core.benchmark.report import (
    Baseline,
    Bound,
    Measurement,
    make_report,
    middle_half,
    render_table,
    write_report,
)
from opens2s_core.training.from_scratch import create_bundle
from opens2s_core.voices import SLT
from ray_jobs.benchmark_data import local_cluster

_MIN_RATIO = 0.9
_CLIP_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateBenchmark:
    """``items`` with a clip of 3 s of noise are answered ``rounds`` times by each side in turn, in spoken replies of at
    most ``max_tokens`` of text. ``bundle`` is empty for random weights of the smallest size."""

    bundle: str = ""
    items: int = 64
    max_tokens: int = 24
    rounds: int = 4

    def __post_init__(self) -> None:
        if min(self.items - 1, self.max_tokens, self.rounds) < 1:
            raise ValueError(
                "expected items >= 2, max_tokens >= 1 and rounds >= 1, got "
                f"{self.items}, {self.max_tokens} and {self.rounds}"
            )


def measure_evaluate(args: argparse.Namespace) -> None:
    settings = {field.name: getattr(args, field.name) for field in dataclasses.fields(EvaluateBenchmark)}
    benchmark = EvaluateBenchmark(**settings)
    torch.set_num_threads(len(os.sched_getaffinity(0)))  # as many as the one actor has
    with tempfile.TemporaryDirectory() as temporary, local_cluster(quiet=True):
        rows = list(_rows(benchmark, Path(temporary)))
    report = make_report(settings, rows, ("ray",))
    write_report(report, args.json)
    print(render_table(report))


def _rows(benchmark: EvaluateBenchmark, directory: Path) -> Iterator[Measurement]:
    bundle = benchmark.bundle
    if not bundle:
        bundle = str(directory / "bundle")
        create_bundle(SIZES["tiny"].models, ["What would you do now?"], SLT, Path(bundle))
    config = ModelConfig(spoken=True, max_tokens=benchmark.max_tokens)
    items, bare = _items(benchmark.items), PipelineModel(bundle, config)
    harness_speeds, bare_speeds = list[float](), list[float]()
    for number in tqdm(range(benchmark.rounds), desc="harness and bare loop", unit="round"):
        harness_speeds.append(_harness_speed(PooledModel(bundle, config), items, directory / f"run-{number}"))
        bare_speeds.append(_bare_speed(bare, items))
    yield Measurement(
        name="items an hour, harness with one actor to a bare loop",
        value=statistics.median(harness_speeds),
        unit="items/h",
        spread=middle_half(harness_speeds),
        baseline=Baseline(statistics.median(bare_speeds), middle_half(bare_speeds)),
        better="higher",
    )
    ratios = [harness / bare for harness, bare in zip(harness_speeds, bare_speeds, strict=True)]
    yield Measurement(
        name="ratio of speed, harness with one actor to a bare loop",
        value=statistics.median(ratios),
        unit="times",
        bound=Bound("at least", _MIN_RATIO),
        spread=middle_half(ratios),
    )


def _items(count: int) -> list[Item]:
    noise = np.random.default_rng(0).normal(0, 0.1, (count, int(_CLIP_SECONDS * SAMPLE_RATE))).astype(np.float32)
    clips = [encode_audio(samples, SAMPLE_RATE) for samples in noise]
    return [Item(id=str(number), turns=(Turn(audio=clip),)) for number, clip in enumerate(clips)]


def _harness_speed(model: PooledModel, items: Sequence[Item], directory: Path) -> float:
    times: list[float] = []

    @contextmanager
    def progress(rows: int, done: int, *, name: str) -> Iterator[Callable[[Passed], None]]:
        yield lambda passed: times.append(time.perf_counter())

    with AnswerStore(directory, items) as store:
        answer_items(model, items, store, progress)
    return _items_an_hour(times)


def _bare_speed(model: PipelineModel, items: Sequence[Item]) -> float:
    times = []
    for item in items:
        answer = model.answer(item)
        assert not answer.error, answer.error
        times.append(time.perf_counter())
    return _items_an_hour(times)


def _items_an_hour(times: Sequence[float]) -> float:
    """From the first answer to the last: loading is not measured."""
    return 3600 * (len(times) - 1) / (times[-1] - times[0])


def add_parser(benchmarks: Any) -> None:
    """Add ``evaluate`` to the subparsers of a command line."""
    defaults = EvaluateBenchmark()
    parser = benchmarks.add_parser(
        "evaluate",
        help="items an hour of the harness of evaluations against a bare loop of replies",
        description="""Answer the same spoken items by the harness, one actor of Ray Data whose answers are stored, and
        by a bare loop over the same pipeline in one process, in turns. Loading is not measured.""",
    )
    parser.add_argument("--json", type=Path, required=True, help="file for the report")
    parser.add_argument("--bundle", default=defaults.bundle, help="bundle (default: random weights, smallest size)")
    for name, help_text in (
        ("items", "items to answer"),
        ("max-tokens", "tokens of a reply's text at most"),
        ("rounds", "rounds of each side"),
    ):
        default = getattr(defaults, name.replace("-", "_"))
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{help_text} (%(default)s)")
    parser.set_defaults(run=measure_evaluate)
