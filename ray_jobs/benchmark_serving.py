"""Measure a served bundle: see ``python -m ray_jobs.benchmark serve``."""

import argparse
import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import torch

from opens2s_core.benchmark.report import Measurement, current_commit, make_report, render_table, write_report
from opens2s_core.storage import absolute_directory
from ray_jobs import benchmark_server
from ray_jobs.cluster import end_on_signals
from serve_app.benchmark.clients import ClientProcesses
from serve_app.benchmark.comparison import Comparison, ServeBenchmark
from serve_app.benchmark.groups import GROUPS
from serve_app.benchmark.server import ServerSettings
from serve_app.benchmark.workload import Workload, greedy_bundle, untrained_bundle

_HERE = Path(__file__).resolve().parent.parent
_EXAMPLES = "examples"


def measure_serving(args: argparse.Namespace) -> None:
    benchmark = ServeBenchmark(
        repeats=args.repeats, steady=args.steady, churn=args.churn, clients=args.clients, streams=args.streams
    )
    torch.set_num_threads(1)  # as each stage has
    end_on_signals()  # with the servers, which have sessions of their own
    with tempfile.TemporaryDirectory() as temporary:
        bundle = absolute_directory(args.bundle) if args.bundle else untrained_bundle(Path(temporary) / "bundle")
        dialogues = args.dialogues or _examples_of(bundle)
        greedy = greedy_bundle(bundle, Path(temporary) / "greedy")
        checkouts = [_HERE, *([args.baseline.resolve()] if args.baseline else [])]
        settings = [
            ServerSettings(
                launcher=Path(benchmark_server.__file__).resolve(),
                checkout=checkout,
                bundle=bundle,
                greedy_bundle=greedy,
                port=args.port + number,
                recipe=args.recipe,
            )
            for number, checkout in enumerate(checkouts)
        ]
        with ClientProcesses() as clients:
            comparison = Comparison(benchmark, settings, Workload.load("opens2s", dialogues), clients)
            described: dict[str, Any] = {
                **dataclasses.asdict(benchmark),
                "bundle": "trained" if args.bundle else "untrained, as large as the demo's",
                "dialogues": dialogues is not None,
                "recipe": args.recipe,
                "units": "greedy",
                "baseline": current_commit(checkouts[1]) if args.baseline else None,
            }
            rows: list[Measurement] = []
            for group in args.rows:
                rows += GROUPS[group](comparison)
                report = make_report(described, rows, ("ray",))
                write_report(report, args.json)  # what is measured so far
    print(render_table(report))


def _examples_of(bundle: str) -> Path | None:
    """The questions of a demo's workspace, whose model the bundle is."""
    examples = Path(bundle).parent / _EXAMPLES
    return examples if (examples / "examples.tsv").is_file() else None


def add_parser(benchmarks: Any) -> None:
    """Add ``serve`` to the subparsers of a command line."""
    defaults = ServeBenchmark()
    serving = benchmarks.add_parser(
        "serve",
        help="latency, throughput, overload, changing load and failures of a served bundle",
        description="""Serve a bundle and measure it over HTTP, in turns with the baseline if one is given. Each group
        of rows starts servers of its own. Text and speech units are the likeliest ones on all sides, so that their
        replies are equally long.""",
    )
    serving.add_argument("--json", type=Path, required=True, help="file for the report")
    serving.add_argument("--bundle", help="what to serve (default: an untrained one as large as the demo's)")
    serving.add_argument(
        "--dialogues",
        type=Path,
        help="directory with examples.tsv and the questions that it names (default: examples/ next to the bundle, if "
        "it is there; else requests have noise)",
    )
    serving.add_argument("--baseline", type=Path, metavar="DIR", help="another checkout to measure in the same run")
    serving.add_argument(
        "--rows", nargs="+", choices=list(GROUPS), default=list(GROUPS), help="groups to measure (default: all)"
    )
    serving.add_argument("--recipe", default="small", help="named sizes of the servers (%(default)s)")
    serving.add_argument("--port", type=int, default=8000, help="first of two on the loopback (%(default)s)")
    serving.add_argument(
        "--repeats", type=int, default=defaults.repeats, help="single replies to measure (%(default)s)"
    )
    serving.add_argument(
        "--streams", type=int, default=defaults.streams, help="replies at once for the throughput (%(default)s)"
    )
    serving.add_argument("--steady", type=float, default=defaults.steady, help="seconds of even load (%(default)s)")
    serving.add_argument("--churn", type=float, default=defaults.churn, help="seconds of churn (%(default)s)")
    serving.add_argument("--clients", type=int, default=defaults.clients, help="clients of the churn (%(default)s)")
    serving.set_defaults(run=measure_serving)
