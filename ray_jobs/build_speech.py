"""Build a speech corpus to train a voice on: ``python -m ray_jobs.build_speech --recipe voice-tiny --output DIR``.

Started again after a kill it resumes and makes the same files. A finished corpus stays as it is.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from data_pipeline.dataset import DatasetError
from data_pipeline.report import Report, render_report
from data_pipeline.runner import run_shards
from data_pipeline.speech_corpus.config import SpeechCorpusConfig
from data_pipeline.speech_corpus.directory import (
    describe_corpus,
    finished_report,
    publish_corpus,
    remove_shards,
    shards_writer,
)
from data_pipeline.speech_corpus.planning import plan_corpus
from data_pipeline.speech_corpus.speaking import speak_embedded
from data_pipeline.synthesis.speakers.embedded import require_voices
from data_pipeline.synthesis.speakers.flite import FliteMissing
from opens2s_core.config import config_to_dict
from opens2s_core.storage import is_url
from opens2s_core.training.voice.corpus import read_manifest
from ray_jobs.cluster import connect
from ray_jobs.progress import show_progress
from ray_jobs.speech_recipes import CORPORA


def build_speech(config: SpeechCorpusConfig, output: str) -> Report:
    """Publish the corpus in the directory ``output``, which every worker must reach under the same name.

    Where a voice's program or package is not installed, raises
    :class:`~data_pipeline.synthesis.speakers.flite.FliteMissing` or ImportError before anything is made;
    :class:`~data_pipeline.dataset.DatasetError` where ``output`` is something else.
    """
    if is_url(output):
        raise DatasetError(f"{output}: expected a directory, since training reads plain files")
    directory, plan = Path(output).resolve(), plan_corpus(config)
    report = finished_report(directory, plan)
    if report is None:
        require_voices(config.voices)
        connect()
        report = run_shards(plan, speak_embedded, shards_writer(directory), show_progress)
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
    except (FliteMissing, ImportError, DatasetError) as error:
        raise SystemExit(f"error: {error}") from error
    print(render_report(report))
    print(describe_corpus(read_manifest(args.output)))


if __name__ == "__main__":
    main()
