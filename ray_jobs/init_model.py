"""Start a model from nothing: ``python -m ray_jobs.init_model --recipe demo --dialogues DIR --output BUNDLE``.

The text tokenizer is learned from the dialogues' words and all weights of the language models are random; the voice is
one that can speak already.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from data_pipeline.dataset import read_rows
from data_pipeline.schema import DIALOGUE
from opens2s_core.storage import fetch_directory, is_published, new_directory
from opens2s_core.training.from_scratch import ScratchConfig, create_bundle
from opens2s_core.voices import SLT
from ray_jobs.recipes import RECIPES


def init_model(config: ScratchConfig, dialogues: str, output: str, *, voice: str | Path = SLT) -> None:
    """Write a bundle at ``output``, whole or not at all; one that is there stays as it is.

    ``voice`` is a directory or URL with ``speech_tokenizer/`` and ``token2wav/``.
    """
    if is_published(output):
        print(f"{output} is there already")
        return
    texts = [text for row in read_rows(dialogues, DIALOGUE) for text in (row["user_text"], row["reply_text"])]
    with new_directory(output) as bundle:
        create_bundle(config, texts, fetch_directory(voice), bundle)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m ray_jobs.init_model", description=__doc__)
    parser.add_argument("--recipe", required=True, choices=sorted(RECIPES), help="named configuration of the run")
    parser.add_argument("--dialogues", required=True, help="directory or URL of dialogues (ray_jobs.build_dialogues)")
    parser.add_argument("--output", required=True, help="directory or URL of the new bundle")
    parser.add_argument("--voice", default=SLT, help="directory or URL of a voice (default: the one of this package)")
    args = parser.parse_args(argv)
    init_model(RECIPES[args.recipe]().scratch, args.dialogues, args.output, voice=args.voice)
    print(f"an untrained model is at {args.output}")


if __name__ == "__main__":
    main()
