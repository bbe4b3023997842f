"""The command line of ``ray_jobs.train``: which recipe, and what a user may change of it."""

import argparse
from dataclasses import replace

from opens2s_core.config import ConfigError
from opens2s_core.training.distillation import DistillationConfig
from opens2s_core.training.stages import StageConfig
from ray_jobs.mixtures import MIXTURES
from ray_jobs.recipes import RECIPES
from ray_jobs.train_recipes import SIZES, STAGES, TrainRecipe, train_recipe, with_lora
from ray_jobs.voice import VOICE_STAGES, VoiceRecipe, voice_recipe
from ray_jobs.voice_recipes import VOICES

LOSSES = ("kl", "reverse_kl", "js", "tvd", "rlkd")

_LORA = ("stage1b", "stage3", "finetune")
_DISTILL = ("stage1a", "stage1b", "stage3", "finetune")
_EMOTION = ("stage1b",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--recipe", required=True, choices=[*STAGES, *RECIPES, *VOICE_STAGES], help="training stage, or a recipe"
    )
    parser.add_argument(
        "--size",
        choices=list(dict.fromkeys([*SIZES, *VOICES])),
        default="tiny",
        help=f"of model and machines: {', '.join(SIZES)}; of a voice: {', '.join(VOICES)} (default: %(default)s)",
    )
    parser.add_argument(
        "--data",
        help="directory or URL of prepared samples (ray_jobs.prepare_data); of a voice, of its corpus "
        "(ray_jobs.build_speech); with the recipe finetune also a JSONL of your own conversations",
    )
    parser.add_argument(
        "--mixture", choices=MIXTURES, help="named mixture of data sets, each in a directory of its name below --data"
    )
    parser.add_argument(
        "--init",
        "--model",
        dest="model",
        metavar="DIR",
        help="directory or URL to start from: a bundle, an OpenS2S directory alone, or the export of a run; of a "
        "voice, one to re-tune, whose sizes then replace the recipe's (default: a new voice)",
    )
    parser.add_argument("--output", help="directory or URL of the run")
    parser.add_argument(
        "--plan",
        action="store_true",
        help="print memory, steps and GPU hours instead (without --init of the published model; without --data for "
        "full micro-batches)",
    )
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    parser.add_argument("--learning-rate", type=float, help="instead of the recipe's")
    parser.add_argument("--workers", type=int, help="instead of the recipe's")
    parser.add_argument("--zero-stage", type=int, choices=range(4), help="instead of the recipe's")
    parser.add_argument(
        "--lora",
        action="store_true",
        help=f"train the LLM by LoRA in place of its own weights ({_listed(_LORA)}; always with --size gpu)",
    )
    parser.add_argument(
        "--distill",
        choices=LOSSES,
        help="instead of the text of a reply learn the probabilities of its tokens, from the LLM that reads what the "
        f"user says as text ({_listed(_DISTILL)})",
    )
    parser.add_argument(
        "--teacher",
        metavar="DIR",
        help="with --distill: learn from this LLM of the same tokenizer, a directory or URL of a Qwen3 or of OpenS2S",
    )
    parser.add_argument(
        "--emotion-head",
        type=float,
        metavar="WEIGHT",
        help=f"recognise the speaker's emotion too, with this weight of its loss ({_listed(_EMOTION)})",
    )
    parser.add_argument(
        "--wandb", action="store_true", help="send the metrics to Weights & Biases too; workers need its package"
    )
    parser.add_argument("--speaker", help="the voice of the corpus to speak with (voice; default: the recipe's)")


def chosen_recipe(args: argparse.Namespace) -> TrainRecipe:
    """The recipe of a stage with the options. Raises :class:`ConfigError` for one that it cannot have."""
    _refuse(args, ("speaker",))
    if not args.plan:
        _require(args, data="data", init="model", output="output")
    if args.recipe in RECIPES:
        named = RECIPES[args.recipe]()
        return _with_options(TrainRecipe(train=named.train, workers=named.workers), args)
    if args.size not in SIZES:
        raise ConfigError(f"--size {args.size}: expected {_listed(SIZES)} for the recipe {args.recipe}")
    return _with_options(train_recipe(args.recipe, args.size), args)


def chosen_voice(args: argparse.Namespace) -> VoiceRecipe:
    """The recipe of a voice with the options. Raises :class:`ConfigError` for one that it cannot have."""
    _require(args, data="data", output="output")
    _refuse(args, ("plan", "mixture", "workers", "zero_stage", "lora", "distill", "teacher", "emotion_head", "wandb"))
    if args.size not in VOICES:
        raise ConfigError(f"--size {args.size}: expected {_listed(tuple(VOICES))} for the recipe {args.recipe}")
    recipe = voice_recipe(args.recipe, args.size)
    if args.speaker is not None:
        recipe = replace(recipe, voice=recipe.voice.with_voice(args.speaker))
    for name in ("steps", "learning_rate"):
        if getattr(args, name) is not None:
            recipe = recipe.with_settings(**{name: getattr(args, name)})
    return recipe


def _require(args: argparse.Namespace, **attributes: str) -> None:
    if missing := [f"--{option}" for option, name in attributes.items() if getattr(args, name) is None]:
        raise ConfigError(f"the following arguments are required: {', '.join(missing)}")


def _refuse(args: argparse.Namespace, options: tuple[str, ...]) -> None:
    for option in options:
        value = getattr(args, option)
        if value is not None and value is not False:  # 0 is a value
            raise ConfigError(f"--{option.replace('_', '-')}: expected no such option for the recipe {args.recipe}")


def _with_options(recipe: TrainRecipe, args: argparse.Namespace) -> TrainRecipe:
    config, workers = recipe.train, recipe.workers
    config = replace(config, stage=_stage(config.stage, args))
    if args.steps is not None:
        config = replace(config, run=replace(config.run, steps=args.steps))
    if args.learning_rate is not None:
        config = replace(config, learning_rate=args.learning_rate)
    if args.workers is not None:
        workers = replace(workers, count=args.workers, min_count=None)
    if args.zero_stage is not None:
        workers = replace(workers, zero_stage=args.zero_stage)
    return TrainRecipe(train=config, workers=workers)


def _stage(stage: StageConfig, args: argparse.Namespace) -> StageConfig:
    if args.teacher is not None and args.distill is None:
        raise ConfigError("--teacher: expected --distill with it")
    if args.lora:
        _expect(stage, "--lora", _LORA)
        stage = with_lora(stage)
    if args.distill is not None:
        _expect(stage, "--distill", _DISTILL)
        losses = {"distillation" if name == "text" else name: weight for name, weight in stage.losses.items()}
        stage = replace(
            stage,
            losses=losses,
            distillation=DistillationConfig(loss=args.distill),
            external_teacher=args.teacher is not None,
        )
    if args.emotion_head is not None:
        _expect(stage, "--emotion-head", _EMOTION)
        stage = replace(
            stage,
            rates={**stage.rates, "emotion_head": 1.0},
            losses={**stage.losses, "emotion": args.emotion_head},
        )
    return stage


def _expect(stage: StageConfig, option: str, stages: tuple[str, ...]) -> None:
    if stage.name not in stages:
        raise ConfigError(f"{option}: expected a recipe of {_listed(stages)}, got {stage.name}")


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names)
