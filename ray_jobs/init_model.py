"""Start a model from nothing: ``python -m ray_jobs.init_model --recipe demo --dialogues DIR --output BUNDLE``.

The text tokenizer is learned from the dialogues' words, the speech codebook is drawn from their replies, and all
weights are random.
"""

import argparse
from collections.abc import Sequence

from data_pipeline.schema import DIALOGUE
from data_pipeline.sinks import read_rows
from opens2s_core.storage import is_published, new_directory
from opens2s_core.training.batch import load_clip
from opens2s_core.training.from_scratch import ScratchConfig, create_bundle
from ray_jobs.recipes import RECIPES


def init_model(config: ScratchConfig, dialogues: str, output: str) -> None:
    """Write a bundle at ``output``, whole or not at all; one that is there stays as it is."""
    if is_published(output):
        print(f"{output} is there already")
        return
    texts, recordings = [], []
    for row in read_rows(dialogues, DIALOGUE):
        texts += [row["user_text"], row["reply_text"]]
        recordings.append(load_clip(row["reply_audio"]))
    with new_directory(output) as bundle:
        create_bundle(config, texts, recordings, bundle)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m ray_jobs.init_model", description=__doc__)
    parser.add_argument("--recipe", required=True, choices=sorted(RECIPES), help="named configuration of the run")
    parser.add_argument("--dialogues", required=True, help="directory or URL of dialogues (ray_jobs.build_dialogues)")
    parser.add_argument("--output", required=True, help="directory or URL of the new bundle")
    args = parser.parse_args(argv)
    init_model(RECIPES[args.recipe]().scratch, args.dialogues, args.output)
    print(f"an untrained model is at {args.output}")


if __name__ == "__main__":
    main()
