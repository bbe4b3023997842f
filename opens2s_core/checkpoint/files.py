"""Files of a checkpoint directory: JSON, and tensors in one file or many shards.

Only plain tensors are unpickled, and no file outside the directory is opened.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import split_state_dict_into_shards_factory
from safetensors.torch import save_file
from torch import Tensor

from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.shards import LazyTensor, open_shard
from opens2s_core.storage import StorageError, inside

SHARD_BYTES = 5 * 10**9
"""Largest shard written, unless one tensor alone is larger."""

_FORMATS = (("", ".safetensors"), ("", ".pt"), ("", ".bin"), ("pytorch_", ".bin"))
"""Prefix and suffix of a file's name, around the stem."""


def read_json(path: str | Path) -> dict[str, Any]:
    """The object in a JSON file. Raises :class:`CheckpointError`."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: expected a JSON file: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: expected a JSON object, got {type(values).__name__}")
    return values


def write_json(path: str | Path, values: Mapping[str, Any]) -> None:
    Path(path).write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def open_tensors(directory: str | Path, stem: str = "model") -> dict[str, LazyTensor]:
    """The tensors of a directory by name, in file order, with shapes and types; their values are read later.

    They are stored in ``model.safetensors``, in ``model-00001-of-00002.safetensors`` and so on, with or without
    ``model.safetensors.index.json`` (with an index, only the tensors that it names are read, each from the file that it
    names), or in ``.pt`` or ``.bin`` files of the same names (or ``pytorch_model.bin``). Values may share the file's
    memory map, so do not write to the file. Raises :class:`CheckpointError` if there are no such files, or if one is
    missing, is outside the directory or holds anything but a flat mapping of names to tensors.
    """
    tensors: dict[str, LazyTensor] = {}
    for path, indexed in _shard_paths(Path(directory), stem).items():
        shard = open_shard(path)
        if indexed is not None:
            if missing := sorted(indexed - shard.keys()):
                raise CheckpointError(f"{path}: expected the tensors that the index names, missing are {missing}")
            shard = {name: tensor for name, tensor in shard.items() if name in indexed}
        if twice := sorted(shard.keys() & tensors.keys()):
            raise CheckpointError(f"{path}: expected tensors that no other shard holds, got {twice} again")
        tensors |= shard
    return tensors


def write_tensors(
    tensors: Mapping[str, Tensor | LazyTensor],
    directory: str | Path,
    stem: str = "model",
    max_bytes: int = SHARD_BYTES,
) -> None:
    """Write ``tensors`` as one safetensors file, or as shards of at most ``max_bytes`` with an index.

    Lazy tensors are read one shard at a time. Older files of that stem are replaced, even if ``tensors`` still maps
    them.
    """
    target = Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    split = split_state_dict_into_shards_factory(
        dict(tensors),
        get_storage_size=lambda tensor: tensor.nbytes,
        filename_pattern=f"{stem}{{suffix}}.safetensors",
        max_shard_size=max_bytes,
    )
    for filename, names in split.filename_to_tensors.items():
        _save_shard({name: value(tensors[name]).contiguous() for name in names}, target / f"{filename}.unfinished")
    for filename in split.filename_to_tensors:
        (target / f"{filename}.unfinished").rename(target / filename)
    for old in weight_files(target, stem):
        if old.name not in split.filename_to_tensors:
            old.unlink()
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        write_json(target / f"{stem}.safetensors.index.json", index)


def value(tensor: Tensor | LazyTensor, dtype: torch.dtype | None = None) -> Tensor:
    """The values of a tensor, converted to ``dtype`` if given."""
    values = tensor.read() if isinstance(tensor, LazyTensor) else tensor.detach()
    return values if dtype is None else values.to(dtype)


def _save_shard(tensors: dict[str, Tensor], path: Path) -> None:
    seen: set[int] = set()
    for name, tensor in tensors.items():  # safetensors refuses two names for one memory
        if (address := tensor.untyped_storage().data_ptr()) in seen and tensor.numel():
            tensors[name] = tensor.clone()
        seen.add(address)
    path.touch()  # with the permissions of any new file; safetensors creates one for its owner only
    mode = path.stat().st_mode
    save_file(tensors, path, {"format": "pt"})
    path.chmod(mode)


def _shard_paths(directory: Path, stem: str) -> Mapping[Path, set[str] | None]:
    """The files to read, each with the names of the tensors to read, or None for all (without an index)."""
    for prefix, suffix in _FORMATS:
        index = directory / f"{prefix}{stem}{suffix}.index.json"
        if index.exists():
            return _indexed(index)
        single, shards = directory / f"{prefix}{stem}{suffix}", _numbered(directory, prefix + stem, suffix)
        if single.exists() and shards:
            raise CheckpointError(f"{directory}: expected one file or many, got {single.name} beside {shards[0].name}")
        if single.exists() or shards:
            return dict.fromkeys(shards or [single])
    raise CheckpointError(f"{directory}: expected {stem}.safetensors, shards of that name, {stem}.pt or {stem}.bin")


def _indexed(index: Path) -> dict[Path, set[str]]:
    weight_map = read_json(index).get("weight_map")
    if not (weight_map and isinstance(weight_map, dict) and all(isinstance(file, str) for file in weight_map.values())):
        raise CheckpointError(f"{index}: expected a weight_map from names to files, got {weight_map!r:.100}")
    paths: dict[Path, set[str]] = {}
    for name, file in weight_map.items():
        try:
            paths.setdefault(inside(index.parent, file), set()).add(name)
        except StorageError as error:
            raise CheckpointError(f"{index}: {name}: {error}") from error
    return dict(sorted(paths.items()))


def _numbered(directory: Path, stem: str, suffix: str) -> list[Path]:
    """The shards of a complete set."""
    pattern = re.compile(rf"{re.escape(stem)}-(\d+)-of-(\d+){re.escape(suffix)}")
    found = {path: match for path in sorted(directory.glob("*")) if (match := pattern.fullmatch(path.name))}
    totals = {int(match[2]) for match in found.values()}
    numbers = sorted(int(match[1]) for match in found.values())
    if found and (len(totals) > 1 or numbers != list(range(1, max(totals) + 1))):
        raise CheckpointError(f"{directory}: expected all shards of one set, got {[path.name for path in found]}")
    return list(found)


def weight_files(directory: Path, stem: str = "model") -> list[Path]:
    """The files of a directory that may hold tensors of ``stem``, and their indexes."""
    names = "|".join(rf"{prefix}{re.escape(stem)}(-\d+-of-\d+)?{re.escape(suffix)}" for prefix, suffix in _FORMATS)
    pattern = re.compile(rf"({names})(\.index\.json)?")
    return [path for path in directory.iterdir() if pattern.fullmatch(path.name)]
