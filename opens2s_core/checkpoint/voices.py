"""Named voices of a bundle: speaker vectors, which are the first input of the speech decoder."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.files import write_tensors
from opens2s_core.checkpoint.shards import open_shard
from opens2s_core.prompt import SPEAKER_DIM
from opens2s_core.storage import fetch_directory

DEFAULT_VOICE = "default"
"""The name of the model's default voice. It has no vector, so no bundle stores one under this name."""
VOICES_FILE = "voices.safetensors"

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def load_voices(bundle: str | Path) -> dict[str, NDArray[np.float32]]:
    """The speaker vectors (512,) of a bundle, a directory or URL, by name in sorted order; empty if it has none.

    Raises :class:`CheckpointError` for a file that cannot be read and for invalid names or vectors.
    """
    path = fetch_directory(bundle, VOICES_FILE) / VOICES_FILE
    if not path.exists():
        return {}
    tensors = {name: tensor.read() for name, tensor in sorted(open_shard(path).items())}
    for name, tensor in tensors.items():
        _check(f"{path}: voice {name!r}", name, tensor)
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def save_voices(voices: Mapping[str, NDArray[np.float32]], bundle: str | Path) -> None:
    """Replace the speaker vectors (512,) of a bundle directory.

    Raises :class:`CheckpointError` for invalid names or vectors; then nothing is written.
    """
    tensors = {name: torch.from_numpy(np.ascontiguousarray(vector)) for name, vector in voices.items()}
    for name, tensor in tensors.items():
        _check(f"voice {name!r}", name, tensor)
    write_tensors(tensors, bundle, VOICES_FILE.removesuffix(".safetensors"))


def _check(where: str, name: str, vector: torch.Tensor) -> None:
    if not _NAME.fullmatch(name) or name == DEFAULT_VOICE:
        raise CheckpointError(
            f"{where}: expected a name of 1 to 64 letters, digits, '_' and '-' other than {DEFAULT_VOICE!r}"
        )
    if vector.dtype != torch.float32 or vector.shape != (SPEAKER_DIM,):
        raise CheckpointError(
            f"{where}: expected float32 of shape ({SPEAKER_DIM},), got {vector.dtype} of {tuple(vector.shape)}"
        )
    if not vector.isfinite().all():
        raise CheckpointError(f"{where}: expected finite numbers, got {vector[~vector.isfinite()][0]}")
