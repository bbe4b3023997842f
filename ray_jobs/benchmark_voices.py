"""Measure the embedded voices: see ``python -m ray_jobs.benchmark voices``."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from data_pipeline.benchmark.voices import VoicesBenchmark, voice_rows
from data_pipeline.synthesis.quality.emotion import EmotionClassifier, EmotionEvaluation
from opens2s_core.benchmark.report import Measurement, make_report, render_table, write_report


def measure_voices(args: argparse.Namespace) -> None:
    settings = {field.name: getattr(args, field.name) for field in dataclasses.fields(VoicesBenchmark)}
    rows: list[Measurement] = []
    for found in voice_rows(VoicesBenchmark(**settings)):
        if isinstance(found, EmotionClassifier):
            if args.classifier is not None:
                found.save(args.classifier)
            continue
        if isinstance(found, EmotionEvaluation):
            print(f"{rows[-1].name}: {rows[-1].value:.0f} %\n{found.table()}\n")
            continue
        rows.append(found)
        packages = ("faster-whisper", "piper-tts", "praat-parselmouth", "espeakng-loader")
        report = make_report(settings, rows, packages)
        write_report(report, args.json)  # what is measured so far
    print(render_table(report))


def add_parser(benchmarks: Any) -> None:
    """Add ``voices`` to the subparsers of a command line."""
    defaults = VoicesBenchmark()
    parser = benchmarks.add_parser(
        "voices",
        help="how well the voices of dialogues are understood, and their emotions and tones recognised",
        description="""Speak replies in all tones and let a recogniser transcribe them; classify emotions of unseen
        voices, and tones of the reply voice, by prosody alone. Ten minutes on two cores.""",
    )
    parser.add_argument("--json", type=Path, required=True, help="file for the report")
    parser.add_argument("--classifier", type=Path, help="file for the classifier of emotions, for build_dialogues")
    for name, help_text in (
        ("replies", "replies in each tone"),
        ("clips", "clips of each emotion and voice"),
        ("trained", "voices to train on"),
        ("unseen", "other voices of espeak-ng to test on"),
        ("processes", "that speak and recognise"),
        ("seed", "of texts, voices and prosody"),
    ):
        parser.add_argument(f"--{name}", type=int, default=getattr(defaults, name), help=f"{help_text} (%(default)s)")
    parser.add_argument("--reply-voice", default=defaults.reply_voice, help="voice of the replies (%(default)s)")
    parser.set_defaults(run=measure_voices)
