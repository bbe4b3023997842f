"""Build a corpus of spoken dialogues: ``python -m ray_jobs.build_dialogues --recipe demo --output DIR``."""

import argparse
import dataclasses
import json
from collections.abc import Sequence

from data_pipeline.pipeline import run_shards
from data_pipeline.report import Report, render_report
from data_pipeline.sinks import ShardContent, Sink, absolute_url
from data_pipeline.synthesis.dialogues import DialogueConfig, plan_dialogues, speak_dialogues
from data_pipeline.synthesis.voices import EspeakSpeaker
from data_pipeline.synthesis.writers import ClosedDomainWriter
from ray_jobs.cluster import connect


def build_dialogues(config: DialogueConfig, output: str) -> Report:
    """Publish the corpus as Parquet shards of schema DIALOGUE at ``output`` (a directory or URL)."""
    return run_shards(plan_dialogues(config, ClosedDomainWriter()), _make, Sink(absolute_url(output)))


def _make(inputs: str) -> ShardContent:
    return speak_dialogues(json.loads(inputs), EspeakSpeaker())


def main(argv: Sequence[str] | None = None) -> None:
    from ray_jobs.recipes import RECIPES

    parser = argparse.ArgumentParser(prog="python -m ray_jobs.build_dialogues", description=__doc__)
    parser.add_argument("--recipe", required=True, choices=sorted(RECIPES), help="named configuration of the run")
    parser.add_argument("--output", required=True, help="directory or URL (s3://bucket/path) of the dataset")
    parser.add_argument("--turns", type=int, help="exchanges to make, instead of the recipe's number")
    args = parser.parse_args(argv)
    config = RECIPES[args.recipe]().dialogues
    if args.turns is not None:
        config = dataclasses.replace(config, turns=args.turns)
    connect()
    print(render_report(build_dialogues(config, args.output)))


if __name__ == "__main__":
    main()
