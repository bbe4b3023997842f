"""Build a corpus of spoken dialogues: ``python -m ray_jobs.build_dialogues --recipe demo --output DIR``."""

import argparse
import dataclasses
from collections.abc import Sequence
from functools import partial

from data_pipeline.dataset import DatasetWriter, absolute_url
from data_pipeline.report import Report, render_report
from data_pipeline.runner import run_shards
from data_pipeline.synthesis.dialogues import DialogueConfig, make_dialogues, plan_dialogues
from data_pipeline.synthesis.flite import EmbeddedSpeaker
from data_pipeline.synthesis.writers import ClosedDomainWriter
from ray_jobs.cluster import connect
from ray_jobs.progress import show_progress
from ray_jobs.recipes import RECIPES


def build_dialogues(config: DialogueConfig, output: str) -> Report:
    """Publish the corpus as Parquet shards of schema DIALOGUE at ``output`` (a directory or URL)."""
    make = partial(make_dialogues, speaker=EmbeddedSpeaker())
    return run_shards(
        plan_dialogues(config, ClosedDomainWriter()), make, DatasetWriter(absolute_url(output)), show_progress
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m ray_jobs.build_dialogues", description=__doc__)
    parser.add_argument("--recipe", required=True, choices=sorted(RECIPES), help="named configuration of the run")
    parser.add_argument("--output", required=True, help="directory or URL (s3://bucket/path) of the dataset")
    parser.add_argument("--turns", type=int, help="exchanges to make, instead of the recipe's number")
    args = parser.parse_args(argv)
    config = RECIPES[args.recipe]().dialogues
    if args.turns is not None:
        config = dataclasses.replace(config, turns=args.turns)
    connect()
    report = build_dialogues(config, args.output)
    print(render_report(report))
    if not report.rows_out:
        raise SystemExit(f"no dialogues: all {report.rows_in} turns were rejected")


if __name__ == "__main__":
    main()
