"""Make a servable bundle of a training run: ``python -m ray_jobs.export --run RUN --model BUNDLE --output BUNDLE``.

The ZeRO checkpoint's weights take the place of the start model's, in the published layout; all else is copied.
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from opens2s_core.checkpoint import OPENS2S, load_state, save_opens2s
from ray_jobs.runs import latest_checkpoint


def export(run: str, model: str, output: str) -> int:
    """Write the bundle at the local path ``output``, whole or not at all; returns the step of its weights.

    Raises ``ValueError`` when the run has no checkpoint.
    """
    from ray_jobs.deepspeed_backend import load_zero_weights

    latest = latest_checkpoint(run)
    if latest is None:
        raise ValueError(f"{run}: expected a training run with a checkpoint (ray_jobs.train)")
    target = Path(output)
    unfinished = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(model, unfinished)
    with latest.checkpoint.as_directory() as directory:
        save_opens2s(load_state(unfinished / OPENS2S, load_zero_weights(Path(directory))), unfinished / OPENS2S)
    shutil.rmtree(target, ignore_errors=True)
    unfinished.rename(target)
    return int(latest.metrics["step"])


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m ray_jobs.export", description=__doc__)
    parser.add_argument("--run", required=True, help="directory or URL of a training run (ray_jobs.train)")
    parser.add_argument("--model", required=True, help="bundle directory that the run started from")
    parser.add_argument("--output", required=True, help="local or shared directory of the new bundle")
    args = parser.parse_args(argv)
    step = export(args.run, args.model, args.output)
    print(f"the weights of step {step} are at {args.output}")


if __name__ == "__main__":
    main()
