"""Turn a corpus into training samples: ``python -m ray_jobs.prepare_data --corpus librispeech --root DIR --recipe asr
--model BUNDLE --output DIR``.

A job that was killed goes on where it was when it is started again; a finished one changes nothing.
"""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import yaml
from ray.exceptions import RayTaskError

from data_pipeline.corpora import CORPORA, CorpusError, CorpusReader
from data_pipeline.dataset import DatasetError
from data_pipeline.preparation.config import PrepareConfig
from data_pipeline.preparation.generators import GeneratorConfig
from data_pipeline.preparation.job import PreparationError, prepare_dataset
from data_pipeline.preparation.shard import TooManyRejects
from data_pipeline.preparation.vllm_engine import VLLMGeneratorConfig
from data_pipeline.report import Report, render_report
from data_pipeline.steps.openai_generator import OpenAIGeneratorConfig
from data_pipeline.steps.transformers_generator import TransformersGeneratorConfig
from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.config import parse_config
from opens2s_core.storage import StorageError
from ray_jobs.cluster import connect
from ray_jobs.data_recipes import DATA_RECIPES
from ray_jobs.progress import show_progress
from ray_jobs.recipes import RECIPES

_VLLM = "vllm:"
_FAILURES = (CheckpointError, CorpusError, DatasetError, OSError, PreparationError, StorageError, TooManyRejects)
"""Errors that say in a line what is wrong."""


def prepare_data(
    config: PrepareConfig,
    reader: CorpusReader,
    root: str,
    model: str,
    output: str,
    generator: GeneratorConfig | None = None,
    *,
    recipe: str = "",
) -> Report:
    """Publish samples of the corpus at ``root`` as the data set ``output``, by the tokenizers of the bundle ``model``.
    ``recipe`` is the name of ``config``, for the card. A line shows the progress."""
    return prepare_dataset(
        config, reader, root, model, output, generator=generator, recipe=recipe, progress=show_progress
    )


def read_corpus_settings(name: str, file: Path | None) -> CorpusReader:
    """The reader of a corpus, with the settings in a YAML ``file``, if one is given."""
    settings = {} if file is None else yaml.safe_load(file.read_text(encoding="utf-8"))
    return parse_config(CORPORA[name], settings, where=str(file or name))


def parse_generator(text: str | None, model: str | None, *, gpu: bool = False) -> GeneratorConfig | None:
    """``http…`` is an endpoint that serves ``model``, ``vllm:MODEL`` runs in vLLM, anything else in transformers.

    Raises ``ValueError`` for an endpoint without a model."""
    if text is None:
        return None
    if text.startswith(("http://", "https://")):
        if model is None:
            raise ValueError(f"--generator {text}: expected the name of its model in --generator-model")
        return OpenAIGeneratorConfig(base_url=text, model=model)
    if text.startswith(_VLLM):
        return VLLMGeneratorConfig(model=text.removeprefix(_VLLM))
    if gpu:
        return TransformersGeneratorConfig(model=text, device="cuda", dtype="bfloat16")
    return TransformersGeneratorConfig(model=text)


def with_gpus(config: PrepareConfig, gpus: int) -> PrepareConfig:
    """``config`` with up to ``gpus`` actors for each model, and a GPU for each of them."""
    pools = {name: getattr(config, name) for name in ("generator", "speech_tokenizer", "speaker_encoder")}
    return dataclasses.replace(
        config,
        **{name: dataclasses.replace(pool, max_actors=gpus, cpus=1, gpus=1) for name, pool in pools.items()},
    )


def named_failure(error: BaseException | None) -> BaseException | None:
    """The error that says in a line what is wrong, among those around it that Ray adds in its tasks."""
    while error is not None and not isinstance(error, _FAILURES):
        error = error.cause if isinstance(error, RayTaskError) else error.__cause__
    return error


def main(argv: Sequence[str] | None = None) -> None:
    recipes = {name: make() for name, make in DATA_RECIPES.items()}
    recipes |= {name: make().prepare for name, make in RECIPES.items()}
    parser = argparse.ArgumentParser(prog="python -m ray_jobs.prepare_data", description=__doc__)
    parser.add_argument("--corpus", required=True, choices=sorted(CORPORA), help="layout of what is read")
    parser.add_argument("--root", required=True, help="directory or URL of the corpus")
    parser.add_argument("--recipe", required=True, choices=sorted(recipes), help="named configuration of the run")
    parser.add_argument("--model", required=True, help="directory or URL of the bundle whose tokenizers are used")
    parser.add_argument("--output", required=True, help="directory or URL (s3://bucket/path) of the samples")
    parser.add_argument(
        "--corpus-settings", type=Path, metavar="FILE", help="YAML with settings of the corpus's reader"
    )
    parser.add_argument(
        "--generator",
        metavar="MODEL",
        help="language model that writes continuations (recipes asr and ser): a directory or name for transformers, "
        "vllm:NAME, or the URL of an OpenAI-compatible endpoint (key in OPENAI_API_KEY)",
    )
    parser.add_argument("--generator-model", metavar="NAME", help="name of the model at that endpoint")
    parser.add_argument(
        "--gpus",
        type=int,
        default=0,
        help="GPUs for models: as many actors, with one each (default: CPUs)",
    )
    parser.add_argument("--max-reject-share", type=float, help="share of the rows that may be unusable")
    args = parser.parse_args(argv)
    config = recipes[args.recipe]
    try:
        if args.max_reject_share is not None:
            config = dataclasses.replace(config, max_reject_share=args.max_reject_share)
        if args.gpus:
            config = with_gpus(config, args.gpus)
        reader = read_corpus_settings(args.corpus, args.corpus_settings)
        generator = parse_generator(args.generator, args.generator_model, gpu=args.gpus > 0)
    except (OSError, ValueError, yaml.YAMLError) as error:
        parser.error(str(error))
    connect()
    try:
        report = prepare_data(config, reader, args.root, args.model, args.output, generator, recipe=args.recipe)
    except Exception as error:
        if (named := named_failure(error)) is None:
            raise
        raise SystemExit(f"error: {named}") from error
    print(render_report(report))
    if not report.rows_out:
        raise SystemExit(f"no samples: all {report.rows_in} rows were rejected")


if __name__ == "__main__":
    main()
