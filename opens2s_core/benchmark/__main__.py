"""Benchmarks that need no cluster. The exit code is 0 even if a bound does not hold."""

import argparse
import dataclasses
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from opens2s_core.benchmark.recogniser import PocketSphinx
from opens2s_core.voices import HELD_OUT, SLT


def main(argv: Sequence[str] | None = None) -> None:
    args = _parser().parse_args(argv)
    try:
        args.benchmark(args)
    except ValueError as error:  # invalid directories or options
        raise SystemExit(f"python -m opens2s_core.benchmark: {error}") from error


def _voice(args: argparse.Namespace) -> None:
    # Imported here because the processes of the recogniser import this file and do not need torch.
    from opens2s_core.benchmark import report as reports
    from opens2s_core.benchmark.card import Provenance, write_card
    from opens2s_core.benchmark.voice import PACKAGES, VoiceBenchmark, measure_voice

    if args.card and not (args.made_by and args.training_data):
        raise ValueError("--card needs --made-by and --training-data")
    config = VoiceBenchmark(**{field.name: getattr(args, field.name) for field in dataclasses.fields(VoiceBenchmark)})
    recogniser = PocketSphinx(args.processes)
    measured = measure_voice(config, recogniser)
    settings = dataclasses.asdict(config) | {"speaker": measured.speaker, "recogniser": recogniser.name}
    report = reports.make_report(settings, measured.rows, PACKAGES)
    print(reports.render_table(report))
    reports.write_report(report, args.json)
    plots: list[Path] = []
    if args.plots:
        from opens2s_core.benchmark.plots import plot_sentences

        plots = plot_sentences(measured, args.plots)
        print(*plots, sep="\n")
    if args.card:
        options = ("corpus", "voice", "sentences", "seed", "json")
        arguments = [part for name in options for part in (f"--{name}", str(getattr(args, name)))]
        command = shlex.join(["python", "-m", "opens2s_core.benchmark", "voice", *arguments])
        provenance = Provenance(made_by=args.made_by, measured_by=command, training_data=args.training_data)
        write_card(args.card, measured, report, provenance, plots)


def _engines(args: argparse.Namespace) -> None:
    from opens2s_core.benchmark import report as reports
    from opens2s_core.benchmark.engines import EngineBenchmark, measure_engines
    from opens2s_core.benchmark.voice import PACKAGES

    config = EngineBenchmark(size=args.size, threads=args.threads, repeats=args.repeats, sentences=args.sentences)
    recogniser = PocketSphinx(args.processes)
    report = reports.make_report(dataclasses.asdict(config), measure_engines(config, recogniser), PACKAGES)
    print(reports.render_table(report))
    reports.write_report(report, args.json)


def _train(args: argparse.Namespace) -> None:
    from opens2s_core.benchmark import report as reports
    from opens2s_core.benchmark.training import TrainingBenchmark, measure_training

    config = TrainingBenchmark(size=args.size, stage=args.stage, steps=args.steps, threads=args.threads)
    report = reports.make_report(dataclasses.asdict(config), measure_training(config))
    print(reports.render_table(report))
    if args.json is not None:
        reports.write_report(report, args.json)


def _speech_length(args: argparse.Namespace) -> None:
    from opens2s_core.benchmark import report as reports
    from opens2s_core.benchmark.speech_length import PACKAGES, SpeechLengthBenchmark, measure_speech_length

    config = SpeechLengthBenchmark(
        bundle=args.bundle, examples=args.examples, recognised=args.recognised, seed=args.seed
    )
    recogniser = PocketSphinx(args.processes)
    rows = measure_speech_length(config, recogniser)
    settings = {"recognised": config.recognised, "seed": config.seed, "recogniser": recogniser.name}
    report = reports.make_report(settings, rows, PACKAGES)
    print(reports.render_table(report))
    reports.write_report(report, args.json)


def _distillation(args: argparse.Namespace) -> None:
    import torch

    from opens2s_core.benchmark import report as reports
    from opens2s_core.benchmark.distillation import DistillationBenchmark, measure_distillation

    config = DistillationBenchmark(
        corpus=args.corpus,
        held_out=args.held_out,
        seeds=args.seeds,
        first_steps=args.first_steps,
        steps=args.steps,
    )
    torch.set_num_threads(args.threads)
    report = reports.make_report(dataclasses.asdict(config), measure_distillation(config))
    print(reports.render_table(report))
    reports.write_report(report, args.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m opens2s_core.benchmark", description=__doc__)
    benchmarks = parser.add_subparsers(required=True, metavar="NAME")
    voice = benchmarks.add_parser("voice", help="intelligibility, similarity to the recordings and speed of a voice")
    voice.set_defaults(benchmark=_voice)
    voice.add_argument("--json", type=Path, required=True, help="file for the report")
    voice.add_argument("--corpus", default=str(HELD_OUT), help="speech corpus (default: the sentences of this package)")
    voice.add_argument("--voice", default=str(SLT), help="a voice or a bundle (default: the voice of this package)")
    voice.add_argument("--plots", type=Path, help="directory for spectrograms of some sentences")
    voice.add_argument("--card", type=Path, help="file for a model card in Markdown")
    voice.add_argument("--made-by", help="for the card: the command that made the voice")
    voice.add_argument("--training-data", help="for the card: the training data of the voice, and its licences")
    voice.add_argument("--speaker", help="voice of the held-out sentences (default: the one with the most)")
    voice.add_argument("--sentences", type=int, default=100, help="number of sentences (%(default)s)")
    voice.add_argument("--seed", type=int, default=0, help="of the voice's noise and of the intervals")
    cores = os.cpu_count() or 1
    voice.add_argument("--processes", type=int, default=cores, help="number of recogniser processes (%(default)s)")
    engines = benchmarks.add_parser("engines", help="latency and throughput of the engines")
    engines.set_defaults(benchmark=_engines)
    engines.add_argument("--json", type=Path, required=True, help="file for the report")
    engines.add_argument(
        "--size",
        choices=("bench", "full"),
        default="bench",
        help="of the untrained models: 34 M parameters, or the published size, for a GPU (default: %(default)s)",
    )
    engines.add_argument("--threads", type=int, default=cores, help="of torch (%(default)s)")
    engines.add_argument("--repeats", type=int, default=5, help="of each measurement (%(default)s)")
    engines.add_argument(
        "--sentences", type=int, default=100, help="number of held-out sentences to compare (%(default)s)"
    )
    engines.add_argument("--processes", type=int, default=cores, help="number of recogniser processes (%(default)s)")
    train = benchmarks.add_parser("train", help="speed and memory of a training step")
    train.set_defaults(benchmark=_train)
    train.add_argument("--json", type=Path, help="file for the report")
    train.add_argument(
        "--size",
        choices=("tiny", "full"),
        default="tiny",
        help="of the untrained models: 3 M parameters, or the published size, for a GPU (default: %(default)s)",
    )
    train.add_argument("--stage", choices=("stage1a", "stage2b", "lora"), required=True, help="what is trained")
    train.add_argument("--steps", type=int, default=8, help="that are measured (%(default)s)")
    train.add_argument("--threads", type=int, default=cores, help="of torch (%(default)s)")
    speech = benchmarks.add_parser(
        "speech-length", help="length of a bundle's speech relative to its text, and why it ends"
    )
    speech.set_defaults(benchmark=_speech_length)
    speech.add_argument("--bundle", required=True, help="directory or URL of a bundle")
    speech.add_argument("--examples", type=Path, required=True, help="directory with examples.tsv and audio files")
    speech.add_argument("--json", type=Path, required=True, help="file for the report")
    speech.add_argument("--recognised", type=int, default=16, help="replies whose words are recognised (%(default)s)")
    speech.add_argument("--seed", type=int, default=0, help="of the sampled units and of the audio's noise")
    speech.add_argument("--processes", type=int, default=cores, help="number of recogniser processes (%(default)s)")
    distillation = benchmarks.add_parser(
        "distillation", help="losses of semantic alignment: text, KL and RLKD on a small model from nothing"
    )
    distillation.set_defaults(benchmark=_distillation)
    distillation.add_argument("--corpus", required=True, help="speech corpus (ray_jobs.build_speech)")
    distillation.add_argument("--json", type=Path, required=True, help="file for the report")
    distillation.add_argument("--seeds", type=int, default=3, help="2 to 10 (%(default)s)")
    distillation.add_argument(
        "--held-out", type=int, default=100, help="sentences that are measured, not trained on (%(default)s)"
    )
    distillation.add_argument("--first-steps", type=int, default=600, help="of stage 0 (%(default)s)")
    distillation.add_argument("--steps", type=int, default=150, help="with each loss (%(default)s)")
    distillation.add_argument("--threads", type=int, default=cores, help="of torch (%(default)s)")
    return parser


if __name__ == "__main__":
    main()
