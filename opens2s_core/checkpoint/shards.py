"""One file of tensors: safetensors, or a pickle of nothing but tensors."""

import pickle
import struct
import zipfile
from collections.abc import Iterator, Mapping
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
"""What torch raises for damaged files, and for files of more than tensors."""


class Shard(Mapping[str, tuple[torch.Size, torch.dtype]]):
    """Names, shapes and types of the tensors of one file."""

    def __init__(self, tensors: dict[str, tuple[torch.Size, torch.dtype]]) -> None:
        self._tensors = tensors

    def __getitem__(self, name: str) -> tuple[torch.Size, torch.dtype]:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def read(self, name: str) -> Tensor:
        raise NotImplementedError


class _Safetensors(Shard):
    def __init__(self, path: Path) -> None:
        try:
            self._file = safe_open(path, framework="pt")
            slices = {name: self._file.get_slice(name) for name in self._file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{path}: expected a safetensors file: {error}") from error
        kinds = {name: part.get_dtype() for name, part in slices.items()}
        if unknown := sorted(set(kinds.values()) - set(_DTYPES)):
            raise CheckpointError(f"{path}: expected tensors of types {sorted(_DTYPES)}, got {unknown}")
        super().__init__({n: (torch.Size(part.get_shape()), _DTYPES[kinds[n]]) for n, part in slices.items()})

    def read(self, name: str) -> Tensor:
        return self._file.get_tensor(name)


class _Pickle(Shard):
    def __init__(self, path: Path) -> None:
        self._values = _flat_tensors(path, _unpickle(path))
        super().__init__({name: (value.shape, value.dtype) for name, value in self._values.items()})

    def read(self, name: str) -> Tensor:
        return self._values[name].detach()


def open_shard(path: Path) -> Shard:
    """The tensors of a file. Raises :class:`CheckpointError` for anything but a flat mapping of names to tensors."""
    return _Safetensors(path) if path.suffix == ".safetensors" else _Pickle(path)


def _unpickle(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except _UNREADABLE as error:
        raise CheckpointError(f"{path}: expected a file of nothing but tensors: {error}") from error


def _flat_tensors(path: Path, values: Any) -> dict[str, Tensor]:
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: expected a flat mapping of names to tensors, got {type(values).__name__}")
    for name, value in values.items():
        if not isinstance(name, str):
            raise CheckpointError(f"{path}: expected names of tensors, got {name!r}")
        if type(value) not in (Tensor, nn.Parameter) or value.layout != torch.strided or value.is_quantized:
            raise CheckpointError(f"{path}: expected a plain tensor under {name!r}, got {type(value).__name__}")
    return values
