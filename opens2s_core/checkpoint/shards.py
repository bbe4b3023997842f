"""One file of tensors: safetensors, or a pickle of tensors only."""

import pickle
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from opens2s_core.checkpoint.errors import CheckpointError

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


_UNREADABLE = (
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
)
"""Raised by torch for damaged files and for files with anything but tensors."""


@dataclass(frozen=True, slots=True)
class LazyTensor:
    """A tensor of known shape and type, whose values are read on demand."""

    shape: torch.Size
    dtype: torch.dtype
    read: Callable[[], Tensor]

    @property
    def nbytes(self) -> int:
        return self.shape.numel() * self.dtype.itemsize


def open_shard(path: Path) -> dict[str, LazyTensor]:
    """The tensors of a file. Raises :class:`CheckpointError` for anything but a flat mapping of names to tensors."""
    if path.suffix == ".safetensors":
        return _open_safetensors(path)
    values = _flat_tensors(path, _unpickle(path))
    return {name: LazyTensor(value.shape, value.dtype, value.detach) for name, value in values.items()}


def _open_safetensors(path: Path) -> dict[str, LazyTensor]:
    try:
        file = safe_open(path, framework="pt")
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: expected a safetensors file: {error}") from error
    kinds = {name: part.get_dtype() for name, part in slices.items()}
    if unknown := sorted(set(kinds.values()) - set(_DTYPES)):
        raise CheckpointError(f"{path}: expected tensors of types {sorted(_DTYPES)}, got {unknown}")
    return {
        name: LazyTensor(torch.Size(part.get_shape()), _DTYPES[kinds[name]], partial(file.get_tensor, name))
        for name, part in slices.items()
    }


def _unpickle(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except _UNREADABLE as error:
        raise CheckpointError(f"{path}: expected a file of tensors only: {error}") from error


def _flat_tensors(path: Path, values: Any) -> dict[str, Tensor]:
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: expected a flat mapping of names to tensors, got {type(values).__name__}")
    for name, value in values.items():
        if not isinstance(name, str):
            raise CheckpointError(f"{path}: expected names of tensors, got {name!r}")
        if type(value) not in (Tensor, nn.Parameter) or value.layout != torch.strided or value.is_quantized:
            raise CheckpointError(f"{path}: expected a plain tensor under {name!r}, got {type(value).__name__}")
    return values
