"""Turn dialogues into training samples: ``python -m ray_jobs.prepare_data --recipe demo --input DIR --model BUNDLE
--output DIR``."""

import argparse
from collections.abc import Sequence
from functools import partial

from data_pipeline.pipeline import PrepareConfig, bundle_fingerprint, make_samples, plan_samples

from data_pipeline.dataset import DatasetWriter, absolute_url
from data_pipeline.report import Report, render_report
from data_pipeline.runner import run_shards
from opens2s_core.storage import absolute_directory
from ray_jobs.cluster import connect
from ray_jobs.recipes import RECIPES


def prepare_data(config: PrepareConfig, dialogues: str, model: str, output: str) -> Report:
    """Publish samples (schema SAMPLE) of the ``dialogues`` dataset at ``output``, by the bundle directory ``model``."""
    source, bundle = absolute_url(dialogues), absolute_directory(model)
    make = partial(make_samples, config=config, dialogues=source, bundle=bundle, fingerprint=bundle_fingerprint(bundle))
    return run_shards(plan_samples(config, source, bundle), make, DatasetWriter(absolute_url(output)))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m ray_jobs.prepare_data", description=__doc__)
    parser.add_argument("--recipe", required=True, choices=sorted(RECIPES), help="named configuration of the run")
    parser.add_argument("--input", required=True, help="directory or URL of dialogues (ray_jobs.build_dialogues)")
    parser.add_argument("--model", required=True, help="directory or URL of the bundle whose tokenizers are used")
    parser.add_argument("--output", required=True, help="directory or URL (s3://bucket/path) of the samples")
    args = parser.parse_args(argv)
    connect()
    report = prepare_data(RECIPES[args.recipe]().prepare, args.input, args.model, args.output)
    print(render_report(report))
    if not report.rows_out:
        raise SystemExit(f"no samples: all {report.rows_in} rows were rejected")


if __name__ == "__main__":
    main()
