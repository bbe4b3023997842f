"""Measure data preparation and the reading of what it made: see ``python -m ray_jobs.benchmark data``."""

import argparse
import dataclasses
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

from data_pipeline.benchmark.preparing import PreparingBenchmark, preparing_rows
from data_pipeline.benchmark.reading import ReadingBenchmark, reading_rows
from data_pipeline.benchmark.steps import step_rows
from data_pipeline.preparation.config import PrepareConfig
from opens2s_core.benchmark.engine_models import SIZES
from opens2s_core.benchmark.report import Measurement, make_report, render_table, write_report
from opens2s_core.training.from_scratch import create_bundle
from opens2s_core.voices import SLT
from ray_jobs.cluster import end_on_signals
from ray_jobs.data_recipes import DATA_RECIPES

_RECIPE = "transcripts"
_STEP_CLIPS = 1000


def measure_data(args: argparse.Namespace) -> None:
    preparing = PreparingBenchmark(clips=args.clips, repeats=args.repeats)
    reading = ReadingBenchmark()
    config = DATA_RECIPES[_RECIPE]()
    described: dict[str, Any] = {
        "recipe": _RECIPE,
        "preparing": dataclasses.asdict(preparing),
        "reading": dataclasses.asdict(reading),
    }
    rows: list[Measurement] = []
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        for row in _rows(preparing, reading, config, directory):
            rows.append(row)
            report = make_report(described, rows, ("ray", "pyarrow", "av", "soundfile", "torchaudio"))
            write_report(report, args.json)  # what is measured so far
    print(render_table(report))


def _rows(
    preparing: PreparingBenchmark, reading: ReadingBenchmark, config: PrepareConfig, directory: Path
) -> Iterator[Measurement]:
    bundle = str(directory / "bundle")
    create_bundle(SIZES["tiny"].models, ["What would you do now?"], SLT, Path(bundle))
    yield from preparing_rows(preparing, config, bundle, directory / "preparing", local_cluster)
    yield from step_rows(_STEP_CLIPS, config, bundle, directory / "steps")
    yield from reading_rows(reading, directory / "reading")


@contextmanager
def local_cluster(*, quiet: bool = False) -> Iterator[None]:
    """This process connected to a Ray of its own; ``quiet``: without the messages of other processes."""
    ray.init(address="local", logging_level=logging.WARNING, log_to_driver=not quiet)
    end_on_signals()  # large temporary files are removed
    try:
        yield
    finally:
        ray.shutdown()


def add_parser(benchmarks: Any) -> None:
    """Add ``data`` to the subparsers of a command line."""
    defaults = PreparingBenchmark()
    data = benchmarks.add_parser(
        "data",
        help="throughput of data preparation, its memory, and what reading its data sets costs",
        description="""Prepare clips that are made on the spot, on Ray Data and by a bare process pool in turns, which
        has to write the same files. Then measure the steps one by one, and the reading of data sets in shuffled order.
        Needs 5 GB of disk in the directory for temporary files.""",
    )
    data.add_argument("--json", type=Path, required=True, help="file for the report")
    data.add_argument(
        "--clips", type=int, default=defaults.clips, help="clips of the smaller of two corpora (%(default)s)"
    )
    data.add_argument("--repeats", type=int, default=defaults.repeats, help="runs of each kind (%(default)s)")
    data.set_defaults(run=measure_data)
