"""Measure the platform on this machine; ``python -m opens2s_core.benchmark`` measures models without Ray.

python -m ray_jobs.benchmark data --json out.json
python -m ray_jobs.benchmark train --json out.json
python -m ray_jobs.benchmark serve --json out.json
python -m ray_jobs.benchmark voices --json out.json
python -m ray_jobs.benchmark evaluate --json out.json
python -m ray_jobs.benchmark serve --json out.json --bundle runs/demo/run/export --baseline ../older-checkout
"""

import argparse
from collections.abc import Sequence

from ray_jobs import benchmark_data, benchmark_evaluate, benchmark_serving, benchmark_train, benchmark_voices


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m ray_jobs.benchmark", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    benchmarks = parser.add_subparsers(required=True, metavar="NAME")
    benchmark_data.add_parser(benchmarks)
    benchmark_train.add_parser(benchmarks)
    benchmark_serving.add_parser(benchmarks)
    benchmark_voices.add_parser(benchmarks)
    benchmark_evaluate.add_parser(benchmarks)
    args = parser.parse_args(argv)
    args.run(args)


if __name__ == "__main__":
    main()
