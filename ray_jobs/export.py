"""Turn directories of weights into one another: ``python -m ray_jobs.export VERB --help``.

``import`` makes a bundle of published directories, ``publish`` makes published directories of a bundle, ``run`` puts
the weights of a training run in the place of those it started from, and ``assemble`` starts an OpenS2S model from a
Qwen2-Audio, a Qwen3 and a small Qwen3. Whatever is written appears whole or not at all.
"""

import argparse
import json
import typing
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from opens2s_core.checkpoint.codebooks import codebook_sizes
from opens2s_core.checkpoint.files import read_json, write_json
from opens2s_core.checkpoint.published import import_published, publish
from opens2s_core.models.audio_encoder import AudioPadding
from opens2s_core.models.opens2s_config import Interleave
from opens2s_core.prompt import PromptStyle
from opens2s_core.storage import fetch_directory, is_published, is_url, new_directory
from opens2s_core.training.assemble import AssembleConfig, assemble
from opens2s_core.training.folder import Folder
from opens2s_core.training.run import Run
from opens2s_core.training.trained import StageRun

_MADE_BY = "export.json"
"""In every output: the command that made it, so that the same command leaves it as it is."""


def export(run: str, model: str, output: str, *, transcription_prompt: str | None = None) -> int:
    """Write ``model``, a bundle or an OpenS2S directory, with the weights of ``run`` to ``output``; returns their step.
    ``transcription_prompt`` takes the place of the one that the run's data names.

    Raises ``ValueError`` when the run has no checkpoint, or is of other weights than ``model``.
    """
    trained = StageRun.read(run)
    if transcription_prompt is not None:
        trained = replace(trained, transcription_prompt=transcription_prompt)
    with new_directory(output) as target:
        trained.export(fetch_directory(model), target)
    return trained.run.checkpoints.steps()[-1]


def main(argv: Sequence[str] | None = None) -> None:
    args = _parser().parse_args(argv)
    try:
        made_by = _made_by(args)
        if _is_made(args.output, made_by):
            print(f"{args.output} is there already")
            return
        with new_directory(args.output) as target:
            message = args.make(args, target)
            write_json(target / _MADE_BY, made_by)
        print(message)
    except (ValueError, OSError) as error:  # what is wrong with the given directories
        raise SystemExit(f"python -m ray_jobs.export: {error}") from error


def _made_by(args: argparse.Namespace) -> dict[str, Any]:
    """The command in plain data, and the step that a run has come to."""
    command = {name: value for name, value in vars(args).items() if name not in ("make", "output")}
    steps = Run(Folder.at(args.run)).checkpoints.steps() if command.get("run") else []
    return json.loads(json.dumps(command | ({"step": steps[-1]} if steps else {})))


def _is_made(output: str, made_by: dict[str, Any]) -> bool:
    """Whether the output is there, made by the same command. Weights are too dear to be replaced unasked: any other
    that is there raises ``ValueError``; an empty directory may be filled."""
    if not is_published(output) or (not is_url(output) and Path(output).is_dir() and not any(Path(output).iterdir())):
        return False
    record = fetch_directory(output, _MADE_BY) / _MADE_BY
    if record.is_file() and read_json(record) == made_by:
        return True
    raise ValueError(f"{output} is there already, made in another way: remove it first, or name another --output")


def _import(args: argparse.Namespace, target: Path) -> str:
    if not (args.opens2s or args.speech_tokenizer or args.token2wav):
        raise ValueError("expected at least one of --opens2s, --speech-tokenizer and --token2wav")
    import_published(
        target,
        opens2s=args.opens2s,
        speech_tokenizer=args.speech_tokenizer,
        token2wav=args.token2wav,
        prompt_style=args.prompt_style,
        audio_padding=args.audio_padding,
        transcription_prompt=args.transcription_prompt,
    )
    sizes = codebook_sizes(target)
    if len(set(sizes.values())) > 1:
        print(f"warning: the parts know different numbers of speech units, and will not understand each other: {sizes}")
    return f"a bundle of the published weights is at {args.output}"


def _run(args: argparse.Namespace, target: Path) -> str:
    step = export(args.run, args.model, str(target), transcription_prompt=args.transcription_prompt)
    return f"the weights of step {step} are at {args.output}"


def _publish(args: argparse.Namespace, target: Path) -> str:
    publish(args.model, target)
    return f"the model in the published layout is at {args.output}"


def _assemble(args: argparse.Namespace, target: Path) -> str:
    config = AssembleConfig(
        units=args.units,
        interleave=Interleave.parse(args.interleave),
        adapter_kernel_sizes=tuple(args.adapter_kernels),
        adapter_inner_dim=args.adapter_inner_dim,
        audio_padding=args.audio_padding,
        prompt_style=args.prompt_style,
        seed=args.seed,
    )
    assemble(args.audio, args.llm, args.speech_decoder, target, config)
    return f"a model ready to train is at {args.output}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ray_jobs.export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB", dest="verb")

    verb = verbs.add_parser("import", help="published directories → bundle")
    verb.set_defaults(make=_import)
    verb.add_argument("--opens2s", help="published OpenS2S directory (config.json, safetensors, tts/, audio/)")
    verb.add_argument("--speech-tokenizer", help="published speech tokenizer directory")
    verb.add_argument("--token2wav", help="published decoder directory (config.yaml, flow.pt, hift.pt)")
    verb.add_argument("--prompt-style", choices=typing.get_args(PromptStyle), help=_KNOWN_HELP)
    verb.add_argument("--audio-padding", choices=typing.get_args(AudioPadding), help=_KNOWN_HELP)
    verb.add_argument("--transcription-prompt", metavar="TEXT", help=_TRANSCRIPTION_HELP)
    verb.add_argument("--output", required=True, help="directory or URL of the new bundle")

    verb = verbs.add_parser("run", help="weights of a training run → bundle")
    verb.set_defaults(make=_run)
    verb.add_argument("--run", required=True, help="directory or URL of a training run (ray_jobs.train)")
    verb.add_argument("--model", required=True, help="what the run started from: a bundle or an OpenS2S directory")
    verb.add_argument("--transcription-prompt", metavar="TEXT", help=_TRANSCRIPTION_HELP)
    verb.add_argument("--output", required=True, help="directory or URL of the new model")

    verb = verbs.add_parser("publish", help="bundle → published directories")
    verb.set_defaults(make=_publish)
    verb.add_argument("--model", required=True, help="directory or URL of a bundle or an OpenS2S directory")
    verb.add_argument("--output", required=True, help="directory or URL: opens2s/, speech_tokenizer/, token2wav/")

    defaults = AssembleConfig()
    verb = verbs.add_parser("assemble", help="Qwen2-Audio + Qwen3 + small Qwen3 → OpenS2S directory ready to train")
    verb.set_defaults(make=_assemble)
    verb.add_argument("--audio", required=True, help="Qwen2-Audio directory: its audio tower is taken")
    verb.add_argument("--llm", required=True, help="Qwen3 directory: thinks and writes")
    verb.add_argument("--speech-decoder", required=True, help="small Qwen3 directory: will speak")
    verb.add_argument("--output", required=True, help="directory or URL of the new OpenS2S directory")
    verb.add_argument("--units", type=int, default=defaults.units, help="speech units to add (%(default)s)")
    verb.add_argument("--interleave", default=str(defaults.interleave), help="hidden states : units (%(default)s)")
    kernels = defaults.adapter_kernel_sizes
    verb.add_argument("--adapter-kernels", type=int, nargs="+", default=kernels, help="one convolution each: 5 5")
    inner = defaults.adapter_inner_dim
    verb.add_argument("--adapter-inner-dim", type=int, default=inner, help="adapter's bottleneck (%(default)s)")
    verb.add_argument("--prompt-style", choices=typing.get_args(PromptStyle), default="training", help=_STYLE_HELP)
    verb.add_argument("--audio-padding", choices=typing.get_args(AudioPadding), default="full", help=_PADDING_HELP)
    verb.add_argument("--seed", type=int, default=defaults.seed, help="of all that is new")
    return parser


_KNOWN_HELP = "how the model was trained, where its config.json does not say it (then: chat, full)"
_TRANSCRIPTION_HELP = (
    "text before a clip that the model was trained to transcribe, where neither its config.json nor its training data "
    "names it"
)
_STYLE_HELP = "how assistant turns open, stored with the model (opens2s_core/prompt/writer.py); default %(default)s"
_PADDING_HELP = "what short clips are padded with, stored with the model (%(default)s)"


if __name__ == "__main__":
    main()
