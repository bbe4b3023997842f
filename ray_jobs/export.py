"""Turn directories of weights into one another: ``python -m ray_jobs.export VERB --help``.

``import`` makes a bundle of published directories, ``publish`` makes published directories of a bundle, ``run`` puts
the weights of a training run in the place of those it started from, and ``assemble`` starts an OpenS2S model from a
Qwen2-Audio, a Qwen3 and a small Qwen3. Whatever is written appears whole or not at all.
"""

import argparse
import shutil
import tempfile
import typing
from collections.abc import Sequence
from pathlib import Path

from opens2s_core.checkpoint import (
    codebook_sizes,
    import_published,
    load_state,
    opens2s_directory,
    publish,
    save_opens2s,
)
from opens2s_core.models.audio_encoder import AudioPadding
from opens2s_core.models.opens2s_config import Interleave
from opens2s_core.prompt import PromptStyle
from opens2s_core.storage import fetch_directory, is_published, is_url, new_directory
from opens2s_core.training.assemble import AssembleConfig, assemble
from ray_jobs.runs import latest_checkpoint


def export(run: str, model: str, output: str) -> int:
    """Write ``model``, a bundle or an OpenS2S directory, with the weights of ``run`` to ``output``; returns their step.

    Raises ``ValueError`` when the run has no checkpoint.
    """
    from ray_jobs.deepspeed_backend import load_zero_weights

    latest = latest_checkpoint(run)
    if latest is None:
        raise ValueError(f"{run}: expected a training run with a checkpoint (ray_jobs.train)")
    with new_directory(output) as target, latest.checkpoint.as_directory() as checkpoint:
        shutil.copytree(fetch_directory(model), target, dirs_exist_ok=True)
        opens2s = opens2s_directory(target)
        save_opens2s(load_state(opens2s, load_zero_weights(Path(checkpoint))), opens2s)
    return int(latest.metrics["step"])


def publish_model(model: str, output: str, run: str | None = None) -> None:
    """Write ``model`` in the published layout, with the weights of ``run`` where one is given."""
    with tempfile.TemporaryDirectory() as temporary, new_directory(output) as target:
        if run is not None:
            export(run, model, f"{temporary}/model")
        publish(Path(temporary, "model") if run is not None else fetch_directory(model), target)


def main(argv: Sequence[str] | None = None) -> None:
    args = _parser().parse_args(argv)
    try:
        _check_new(args.output)
        print(args.verb(args))
    except ValueError as error:  # what is wrong with the given directories
        raise SystemExit(f"python -m ray_jobs.export: {error}") from error


def _check_new(output: str) -> None:
    """Weights are too dear to be replaced unasked; an empty directory may be filled."""
    empty = not is_url(output) and Path(output).is_dir() and not any(Path(output).iterdir())
    if is_published(output) and not empty:
        raise ValueError(f"{output} is there already: remove it first, or name another --output")


def _import(args: argparse.Namespace) -> str:
    if not (args.opens2s or args.speech_tokenizer or args.token2wav):
        raise ValueError("expected at least one of --opens2s, --speech-tokenizer and --token2wav")
    with new_directory(args.output) as bundle:
        import_published(
            bundle,
            opens2s=args.opens2s,
            speech_tokenizer=args.speech_tokenizer,
            token2wav=args.token2wav,
            prompt_style=args.prompt_style,
            audio_padding=args.audio_padding,
        )
        sizes = codebook_sizes(bundle)
    if len(set(sizes.values())) > 1:
        print(f"warning: the parts know different numbers of speech units, and will not understand each other: {sizes}")
    return f"a bundle of the published weights is at {args.output}"


def _run(args: argparse.Namespace) -> str:
    step = export(args.run, args.model, args.output)
    return f"the weights of step {step} are at {args.output}"


def _publish(args: argparse.Namespace) -> str:
    publish_model(args.model, args.output, args.run)
    return f"the model in the published layout is at {args.output}"


def _assemble(args: argparse.Namespace) -> str:
    config = AssembleConfig(
        units=args.units,
        interleave=Interleave.parse(args.interleave),
        adapter_kernel_sizes=tuple(args.adapter_kernels),
        adapter_inner_dim=args.adapter_inner_dim,
        audio_padding=args.audio_padding,
        prompt_style=args.prompt_style,
        seed=args.seed,
    )
    assemble(args.audio, args.llm, args.speech_decoder, args.output, config)
    return f"a model ready to train is at {args.output}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ray_jobs.export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    verb = verbs.add_parser("import", help="published directories → bundle")
    verb.set_defaults(verb=_import)
    verb.add_argument("--opens2s", help="published OpenS2S directory (config.json, safetensors, tts/, audio/)")
    verb.add_argument("--speech-tokenizer", help="published speech tokenizer directory")
    verb.add_argument("--token2wav", help="published decoder directory (config.yaml, flow.pt, hift.pt)")
    verb.add_argument("--prompt-style", choices=typing.get_args(PromptStyle), default="chat", help=_STYLE_HELP)
    verb.add_argument("--audio-padding", choices=typing.get_args(AudioPadding), default="full", help=_PADDING_HELP)
    verb.add_argument("--output", required=True, help="directory or URL of the new bundle")

    verb = verbs.add_parser("run", help="weights of a training run → bundle")
    verb.set_defaults(verb=_run)
    verb.add_argument("--run", required=True, help="directory or URL of a training run (ray_jobs.train)")
    verb.add_argument("--model", required=True, help="what the run started from: a bundle or an OpenS2S directory")
    verb.add_argument("--output", required=True, help="directory or URL of the new model")

    verb = verbs.add_parser("publish", help="bundle, or a training run → published directories")
    verb.set_defaults(verb=_publish)
    verb.add_argument("--model", required=True, help="directory or URL of a bundle or an OpenS2S directory")
    verb.add_argument("--run", help="take the weights of this training run, which started from the model")
    verb.add_argument("--output", required=True, help="directory or URL: opens2s/, speech_tokenizer/, token2wav/")

    defaults = AssembleConfig()
    verb = verbs.add_parser("assemble", help="Qwen2-Audio + Qwen3 + small Qwen3 → OpenS2S directory ready to train")
    verb.set_defaults(verb=_assemble)
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


_STYLE_HELP = "how assistant turns open, stored with the model (opens2s_core/prompt.py); default %(default)s"
_PADDING_HELP = "what short clips are padded with, stored with the model (%(default)s)"


if __name__ == "__main__":
    main()
