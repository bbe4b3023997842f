"""Build a spoken corpus to make a voice from: ``python -m ray_jobs.build_speech --recipe voice-tiny --output DIR``.

Killed and started again it finishes with the same files; a finished corpus stays as it is.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from data_pipeline.dataset import DatasetError
from data_pipeline.report import Report, render_report
from data_pipeline.runner import run_shards
from data_pipeline.spoken_corpus import (
    describe_corpus,
    finished_report,
    publish_corpus,
    remove_shards,
    shards_writer,
)
from data_pipeline.synthesis.flite import EmbeddedSpeaker, FliteMissing, require_flite
from data_pipeline.synthesis.speech import SpeechConfig, make_speech, plan_speech
from opens2s_core.config import config_to_dict
from opens2s_core.storage import is_url
from opens2s_core.training.voice.corpus import read_manifest
from ray_jobs.cluster import connect
from ray_jobs.progress import show_progress
from ray_jobs.speech_recipes import CORPORA


def build_speech(config: SpeechConfig, output: str) -> Report:
    """Publish the corpus in the directory ``output``, which every worker must reach under the same name.

    Raises :class:`~data_pipeline.synthesis.flite.FliteMissing` before anything is made, and
    :class:`~data_pipeline.dataset.DatasetError` where ``output`` holds something else.
    """
    if is_url(output):
        raise DatasetError(f"{output}: expected a directory, since training reads plain files")
    directory, plan = Path(output).resolve(), plan_speech(config)
    report = finished_report(directory, plan)
    if report is None:
        if config.needs_flite:
            require_flite()
        connect()
        report = run_shards(
            plan, partial(make_speech, speaker=EmbeddedSpeaker()), shards_writer(directory), show_progress
        )
        publish_corpus(directory, plan, report, config_to_dict(config))
    remove_shards(directory)
    return report


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m ray_jobs.build_speech", description=__doc__)
    parser.add_argument("--recipe", required=True, choices=sorted(CORPORA), help="named corpus")
    parser.add_argument("--output", required=True, help="directory of the corpus")
    args = parser.parse_args(argv)
    try:
        report = build_speech(CORPORA[args.recipe](), args.output)
    except (FliteMissing, DatasetError) as error:
        raise SystemExit(f"error: {error}") from error
    print(render_report(report))
    print(describe_corpus(read_manifest(args.output)))


if __name__ == "__main__":
    main()
