"""Build a corpus of spoken dialogues: ``python -m ray_jobs.build_dialogues --recipe tiny --output DIR``.

A writer invents what users say and what is answered, in which tone; speakers say both sides; what a recogniser and
other measures find faulty is left out. Without options all of it runs on this machine. With servers of a language model
and of a text-to-speech model that clones, and a table of seed clips, it is the method of OpenS2S (arXiv 2507.05177,
section 3.2).

DIR/train.jsonl is instruction JSONL, for ``prepare_data --corpus instructions --root DIR``; look at DIR/samples.html.
Killed and started again, a build finishes with the same files; a finished one changes nothing.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from data_pipeline.dataset import absolute_url
from data_pipeline.dialogues.build import build_corpus
from data_pipeline.dialogues.config import BuildConfig
from data_pipeline.dialogues.utterances import Voice
from data_pipeline.preparation.shard import TooManyRejects
from data_pipeline.report import Report, render_report
from opens2s_core.storage import absolute_directory
from ray_jobs.cluster import connect
from ray_jobs.dialogue_recipes import DIALOGUES
from ray_jobs.progress import show_progress


def build_dialogues(config: BuildConfig, output: str) -> Report:
    """Publish the corpus at ``output``, see :func:`~data_pipeline.dialogues.build.build_corpus`."""
    return build_corpus(config, output, lambda stage: partial(show_progress, name=stage.replace("_", " ")))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m ray_jobs.build_dialogues",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--recipe", required=True, choices=sorted(DIALOGUES), help="named corpus")
    parser.add_argument("--output", required=True, help="directory or URL (s3://bucket/path) of the corpus")
    for name in ("empathetic", "general", "tools"):
        parser.add_argument(f"--{name}", type=int, metavar="N", help=f"{name} dialogues, instead of the recipe's")
    parser.add_argument("--language", choices=["en", "zh"], help="instead of the recipe's")
    parser.add_argument(
        "--instructions",
        metavar="FILE",
        help="text instructions (JSON Lines with the key text) that the language model rewrites for general dialogues",
    )
    parser.add_argument("--writer", help="embedded, or openai:URL#MODEL: any endpoint of chat completions")
    parser.add_argument("--seeds", metavar="TABLE", help="CSV or Parquet of the clips that the user speaker clones")
    speaker = "embedded, cosyvoice2:URL, cosyvoice3:URL"
    parser.add_argument("--user-speaker", metavar="SPEAKER", help=f"of users: {speaker}")
    parser.add_argument("--reply-speaker", metavar="SPEAKER", help=f"of replies: {speaker} or openai:URL#MODEL")
    parser.add_argument(
        "--reply-voice", metavar="VOICE", help="voice of that speaker (piper:joe), or a reference clip as FILE=TEXT"
    )
    parser.add_argument("--recogniser", help="whisper, whisper:DIR, pocketsphinx or openai:URL#MODEL")
    parser.add_argument("--emotions", metavar="FILE", help="classifier that checks users' emotions (benchmark voices)")
    parser.add_argument("--share", type=float, help="share of the clips that recogniser and DNSMOS measure")
    parser.add_argument("--model", metavar="BUNDLE", help="make the units of replies with its speech tokenizer, too")
    args = parser.parse_args(argv)
    try:
        config = _with_options(DIALOGUES[args.recipe](), args)
        connect(quiet=True)
        report = build_dialogues(config, args.output)
    except (ValueError, OSError, ImportError, TooManyRejects) as error:
        raise SystemExit(f"python -m ray_jobs.build_dialogues: {error}") from error
    print(render_report(report))


def _with_options(config: BuildConfig, args: argparse.Namespace) -> BuildConfig:
    def given(*names: str) -> dict[str, Any]:
        return {name: getattr(args, name) for name in names if getattr(args, name) is not None}

    voices = given("user_speaker", "reply_speaker", "seeds")
    if args.reply_voice is not None:
        voices["reply_voice"] = _voice(args.reply_voice)
    own = given("writer")
    if args.model is not None:
        own["model"] = absolute_directory(args.model)
    return replace(
        config,
        texts=replace(config.texts, **given("empathetic", "general", "tools", "language", "instructions")),
        voices=replace(config.voices, **voices),
        quality=replace(config.quality, **given("recogniser", "share", "emotions")),
        **own,
    )


def _voice(text: str) -> Voice:
    clip, separator, spoken = text.partition("=")
    return Voice(clip=absolute_url(clip), clip_text=spoken) if separator else Voice(name=text)


if __name__ == "__main__":
    main()
