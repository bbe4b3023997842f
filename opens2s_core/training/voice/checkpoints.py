"""Checkpoints of a stage, written atomically and verified by digests when read."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.files import open_tensors, read_json, write_json, write_tensors
from opens2s_core.checkpoint.modules import check_tensors
from opens2s_core.storage import digest, new_directory
from opens2s_core.training.voice.stage import Stage

KEPT = 2
_MANIFEST, _OPTIMIZERS = "checkpoint.json", "optimizers.pt"
_NAME = re.compile(r"step-(\d{8})")


def save_checkpoint(stage: Stage, averages: Mapping[str, nn.Module], done: int, directory: Path) -> None:
    """Save the state after ``done`` steps in ``directory`` and remove all but the last two checkpoints.

    Weights are in ``NAME.safetensors``, averages in ``averaged-NAME.safetensors``, optimizers in one pickle.
    """
    with new_directory(directory / f"step-{done:08d}") as target:
        for stem, module in _parts(stage, averages).items():
            write_tensors(module.state_dict(), target, stem)
        states = {name: optimizer.state_dict() for name, optimizer in stage.optimizers().items()}
        torch.save(states, target / _OPTIMIZERS)
        digests = {path.name: digest(path) for path in sorted(target.iterdir())}
        write_json(target / _MANIFEST, {"steps": done, "sha256": digests})
    for old in sorted(_complete(directory))[:-KEPT]:
        shutil.rmtree(_complete(directory)[old])


def load_latest(stage: Stage, averages: Mapping[str, nn.Module], directory: Path) -> int:
    """Load the latest checkpoint in ``directory`` into stage and averages; returns its steps, 0 without a checkpoint.

    Raises :class:`CheckpointError` for damaged files and for tensors of another model.
    """
    found = _complete(directory)
    if not found:
        return 0
    steps = max(found)
    _check_files(found[steps], steps)
    for stem, module in _parts(stage, averages).items():
        files = open_tensors(found[steps], stem)
        check_tensors(files, module.state_dict(), found[steps] / stem)
        module.load_state_dict({name: tensor.read() for name, tensor in files.items()})
    states = torch.load(found[steps] / _OPTIMIZERS, map_location="cpu", weights_only=True)
    for name, optimizer in stage.optimizers().items():
        optimizer.load_state_dict(states[name])
    return steps


def _parts(stage: Stage, averages: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    return {**stage.modules(), **{f"averaged-{name}": module for name, module in averages.items()}}


def _complete(directory: Path) -> dict[int, Path]:
    """Checkpoints by their number of steps."""
    named = {path: _NAME.fullmatch(path.name) for path in directory.glob("*")}
    return {int(match[1]): path for path, match in named.items() if match}


def _check_files(checkpoint: Path, steps: int) -> None:
    manifest = read_json(checkpoint / _MANIFEST)
    digests = manifest.get("sha256")
    if manifest.get("steps") != steps or not isinstance(digests, dict):
        raise CheckpointError(f"{checkpoint / _MANIFEST}: expected steps {steps} and sha256 of files, got {manifest}")
    found = {path.name: digest(path) for path in sorted(checkpoint.iterdir()) if path.name != _MANIFEST}
    if damaged := sorted(name for name in digests.keys() | found.keys() if digests.get(name) != found.get(name)):
        raise CheckpointError(f"{checkpoint}: damaged files: {damaged}")
