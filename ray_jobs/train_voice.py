"""Make a voice: ``python -m ray_jobs.train_voice --recipe voice-tiny --corpus DIR --output RUN``.

Trains speech tokenizer, flow and vocoder, one after another. Killed and started again it goes on from its last
checkpoint; what is finished stays as it is. On a Ray cluster (``RAY_ADDRESS``, ``ray job submit``) one of its workers
trains, which must find both directories under the same names; without one this process does, and needs no Ray.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opens2s_core.training.voice.make import STAGES, VOICE, VoiceConfig, make_voice
from ray_jobs.voice_recipes import VOICES


def train_voice(
    config: VoiceConfig,
    corpus: str,
    output: str,
    *,
    start: str | None = None,
    stages: Sequence[str] = STAGES,
    cpus: float = 1,
    gpu: bool = False,
) -> Path | None:
    """The directory of the voice once it has all its parts, else None. ``cpus`` and ``gpu`` are a cluster's."""
    corpus, output, start = os.path.abspath(corpus), os.path.abspath(output), start and os.path.abspath(start)
    if "RAY_ADDRESS" not in os.environ:
        return make_voice(config, corpus, output, start=start, stages=stages)
    job = {"config": config, "corpus": corpus, "output": output, "start": start, "stages": tuple(stages)}
    _train_on_cluster(job, cpus, gpu)
    voice = Path(output) / VOICE
    return voice if voice.exists() else None


def _train_on_cluster(job: dict[str, Any], cpus: float, gpu: bool) -> None:
    import ray.train
    from ray.train.torch import TorchTrainer

    from ray_jobs.cluster import connect

    connect()
    TorchTrainer(
        _train_worker,
        train_loop_config=job,
        scaling_config=ray.train.ScalingConfig(
            num_workers=1, use_gpu=gpu, resources_per_worker={"CPU": cpus, "GPU": float(gpu)}
        ),
        run_config=ray.train.RunConfig(
            name="ray", storage_path=job["output"], failure_config=ray.train.FailureConfig(max_failures=3)
        ),
    ).fit()


def _train_worker(job: dict[str, Any]) -> None:
    from ray.experimental import tqdm_ray

    make_voice(**job, bar=tqdm_ray.tqdm)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m ray_jobs.train_voice", description=__doc__)
    parser.add_argument("--recipe", required=True, choices=sorted(VOICES), help="named configuration of the voice")
    parser.add_argument("--corpus", required=True, help="directory of a spoken corpus (ray_jobs.build_speech)")
    parser.add_argument("--output", required=True, help="directory of the run and of the voice")
    parser.add_argument("--speaker", help="the corpus's voice to speak with (default: the recipe's)")
    parser.add_argument("--start", help="directory of a voice to re-tune (its sizes then replace the recipe's)")
    parser.add_argument("--stage", choices=STAGES, help="train this one alone")
    parser.add_argument("--cpus", type=float, default=1, help="cores to ask of a cluster")
    parser.add_argument("--gpu", action="store_true", help="ask a cluster for a GPU")
    args = parser.parse_args(argv)
    stages = STAGES if args.stage is None else (args.stage,)
    config = VOICES[args.recipe]()
    if args.speaker is not None:
        config = config.with_voice(args.speaker)
    try:
        voice = train_voice(
            config, args.corpus, args.output, start=args.start, stages=stages, cpus=args.cpus, gpu=args.gpu
        )
    except ValueError as error:  # what is wrong with the given directories
        raise SystemExit(f"error: {error}") from error
    if voice is None:
        print(f"finished {', '.join(stages)}; a voice needs {', '.join(STAGES)}")
    else:
        print(f"a trained voice is at {voice}")


if __name__ == "__main__":
    main()
