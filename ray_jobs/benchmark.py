"""Measure the served platform on this machine; ``python -m opens2s_core.benchmark`` measures models without Ray.

python -m ray_jobs.benchmark serve --json out.json
"""

import argparse
import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

import ray
from ray import serve

from opens2s_core.benchmark.report import make_report, render_table, write_report
from ray_jobs.cluster import connect
from serve_app.benchmark.serving import ServeBenchmark, default_bundle, measure_serving
from serve_app.ray_settings import prefer_ray_settings


def main(argv: Sequence[str] | None = None) -> None:
    defaults = ServeBenchmark(bundle="")
    parser = argparse.ArgumentParser(
        prog="python -m ray_jobs.benchmark", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    benchmarks = parser.add_subparsers(required=True, metavar="NAME")
    serving = benchmarks.add_parser("serve", help="what serving adds, and how it bears load that changes")
    serving.add_argument("--json", type=Path, required=True, help="file for the report")
    serving.add_argument("--bundle", help="what to serve (default: an untrained one as large as the demo's)")
    serving.add_argument("--port", type=int, default=8000, help="on the loopback (%(default)s)")
    serving.add_argument("--repeats", type=int, default=defaults.repeats, help="of each measurement (%(default)s)")
    serving.add_argument("--steady", type=float, default=defaults.steady, help="seconds of even load (%(default)s)")
    serving.add_argument(
        "--churn", type=float, default=defaults.churn, help="seconds of callers who leave (%(default)s)"
    )
    serving.add_argument("--clients", type=int, default=defaults.clients, help="who come and go (%(default)s)")
    args = parser.parse_args(argv)

    prefer_ray_settings()
    connect(quiet=True)
    try:
        with tempfile.TemporaryDirectory() as temporary:
            benchmark = ServeBenchmark(
                bundle=args.bundle or default_bundle(Path(temporary) / "bundle"),
                repeats=args.repeats,
                steady=args.steady,
                churn=args.churn,
                clients=args.clients,
            )
            rows = measure_serving(benchmark, args.port)
        settings = dataclasses.asdict(benchmark) | {"bundle": args.bundle or "untrained, as large as the demo's"}
        report = make_report(settings, rows, ("ray",))
        print(render_table(report))
        write_report(report, args.json)
    finally:
        serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    main()
