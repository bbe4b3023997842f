"""Make a servable bundle of a training run: ``python -m ray_jobs.export --run RUN --model BUNDLE --output BUNDLE``.

The ZeRO checkpoint's weights take the place of the start model's, in the published layout; all else is copied.
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from opens2s_core.checkpoint import OPENS2S, load_state, save_opens2s
from opens2s_core.storage import fetch_directory, new_directory
from ray_jobs.runs import latest_checkpoint


def export(run: str, model: str, output: str) -> int:
    """Write the bundle at ``output``, whole or not at all; returns the step of its weights.

    Raises ``ValueError`` when the run has no checkpoint.
    """
    from ray_jobs.deepspeed_backend import load_zero_weights

    latest = latest_checkpoint(run)
    if latest is None:
        raise ValueError(f"{run}: expected a training run with a checkpoint (ray_jobs.train)")
    with new_directory(output) as bundle, latest.checkpoint.as_directory() as checkpoint:
        shutil.copytree(fetch_directory(model), bundle, dirs_exist_ok=True)
        save_opens2s(load_state(bundle / OPENS2S, load_zero_weights(Path(checkpoint))), bundle / OPENS2S)
    return int(latest.metrics["step"])


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m ray_jobs.export", description=__doc__)
    parser.add_argument("--run", required=True, help="directory or URL of a training run (ray_jobs.train)")
    parser.add_argument("--model", required=True, help="directory or URL of the bundle that the run started from")
    parser.add_argument("--output", required=True, help="directory or URL of the new bundle")
    args = parser.parse_args(argv)
    step = export(args.run, args.model, args.output)
    print(f"the weights of step {step} are at {args.output}")


if __name__ == "__main__":
    main()
