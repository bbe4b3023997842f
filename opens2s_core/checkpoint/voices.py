"""Named voices of a bundle: speaker vectors, which are the first input of the speech decoder."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.files import read_json, write_tensors
from opens2s_core.checkpoint.shards import open_shard
from opens2s_core.prompt import SPEAKER_DIM
from opens2s_core.storage import fetch_directory

DEFAULT_VOICE = "default"
"""The name of the model's default voice. It has no vector, so no bundle stores one under this name."""
VOICES_FILE = "voices.safetensors"

_MODEL_CONFIG = "opens2s/config.json"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def load_voices(bundle: str | Path) -> dict[str, NDArray[np.float32]]:
    """The speaker vectors (speaker_dim,) of a bundle, a directory or URL, sorted by name; empty if it has none.

    Raises :class:`CheckpointError` for a file that cannot be read and for invalid names or vectors.
    """
    directory = fetch_directory(bundle, VOICES_FILE, _MODEL_CONFIG)
    path = directory / VOICES_FILE
    if not path.exists():
        return {}
    tensors = {name: tensor.read() for name, tensor in sorted(open_shard(path).items())}
    size = _speaker_dim(directory)
    for name, tensor in tensors.items():
        _check(f"{path}: voice {name!r}", name, tensor, size)
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def save_voices(voices: Mapping[str, NDArray[np.float32]], bundle: str | Path) -> None:
    """Replace the speaker vectors (speaker_dim,) of a bundle directory.

    Raises :class:`CheckpointError` for invalid names or vectors; then nothing is written.
    """
    tensors = {name: torch.from_numpy(np.ascontiguousarray(vector)) for name, vector in voices.items()}
    size = _speaker_dim(Path(bundle))
    for name, tensor in tensors.items():
        _check(f"voice {name!r}", name, tensor, size)
    write_tensors(tensors, bundle, VOICES_FILE.removesuffix(".safetensors"))


def _speaker_dim(bundle: Path) -> int:
    """The size of speaker vectors of the bundle's model; without one, that of the published weights."""
    path = bundle / _MODEL_CONFIG
    size: int = read_json(path).get("speaker_dim", SPEAKER_DIM) if path.exists() else SPEAKER_DIM
    return size


def _check(where: str, name: str, vector: torch.Tensor, size: int) -> None:
    if not _NAME.fullmatch(name) or name == DEFAULT_VOICE:
        raise CheckpointError(
            f"{where}: expected a name of 1 to 64 letters, digits, '_' and '-' other than {DEFAULT_VOICE!r}"
        )
    if vector.dtype != torch.float32 or vector.shape != (size,):
        raise CheckpointError(
            f"{where}: expected float32 of shape ({size},), got {vector.dtype} of {tuple(vector.shape)}"
        )
    if not vector.isfinite().all():
        raise CheckpointError(f"{where}: expected finite numbers, got {vector[~vector.isfinite()][0]}")
