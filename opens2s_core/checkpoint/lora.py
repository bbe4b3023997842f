"""LoRA in files: peft's format, and weights that were saved with LoRA attached."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.files import open_tensors, read_json, write_json, write_tensors
from opens2s_core.checkpoint.modules import check_tensors
from opens2s_core.checkpoint.shards import LazyTensor
from opens2s_core.models.lora import (
    attach_lora,
    lora_config,
    lora_parameters,
    lora_parts,
    merge_weight,
    plain_lora_config,
    unchanged_on_failure,
)
from opens2s_core.models.thinker import Thinker

ADAPTER_CONFIG = "adapter_config.json"
_ADAPTER_STEM = "adapter_model"


def save_lora(thinker: Thinker, directory: str | Path) -> None:
    """Write the LLM's LoRA as peft does (``adapter_config.json``, ``adapter_model.safetensors``)."""
    write_tensors(lora_parameters(thinker), directory, _ADAPTER_STEM)
    write_json(Path(directory) / ADAPTER_CONFIG, lora_config(thinker))


def load_lora(thinker: Thinker, directory: str | Path) -> None:
    """Put a LoRA that peft or :func:`save_lora` wrote into the LLM, as :func:`~opens2s_core.models.lora.add_lora` does.

    Raises :class:`CheckpointError` for missing, unknown or mis-shaped tensors, :class:`ConfigError` for anything
    beyond plain LoRA; the LLM then stays as it was.
    """
    path = Path(directory)
    config = read_lora_config(path)
    files = open_tensors(path, _ADAPTER_STEM)
    with unchanged_on_failure(thinker):
        attach_lora(thinker, config)
        own = lora_parameters(thinker)
        check_tensors(files, own, path)
        for name, parameter in own.items():
            parameter.data.copy_(files[name].read())


def read_lora_config(directory: str | Path) -> dict[str, Any]:
    """The settings of plain LoRA in a directory's ``adapter_config.json``."""
    path = Path(directory) / ADAPTER_CONFIG
    return plain_lora_config(read_json(path), str(path))


def merge_lora_tensors(tensors: Mapping[str, LazyTensor], config: object, where: str) -> dict[str, LazyTensor]:
    """The tensors of a model saved with LoRA attached, under plain names; LoRA is merged when they are read.

    ``config`` is ``lora_config`` of the directory's ``config.json``. Tensors without LoRA are not changed. Raises
    :class:`CheckpointError` if A or B is missing or does not fit the base weight.
    """
    parts = lora_parts(tensors)
    attached = {name: names for name, names in parts.items() if len(names) > 1}
    if not attached:
        return {name: tensors[part] for name, (part,) in parts.items()}
    if not isinstance(config, Mapping):
        raise CheckpointError(f"{where}: expected a lora_config for the LoRA of {sorted(attached)}, got {config!r}")
    plain = plain_lora_config(config, f"{where}: lora_config")
    if missing := sorted({part for names in attached.values() for part in names} - set(tensors)):
        raise CheckpointError(f"{where}: missing {missing}")
    if wrong := [name for name, names in attached.items() if not _fits(*(tensors[part].shape for part in names))]:
        raise CheckpointError(f"{where}: expected A (r, inputs) and B (outputs, r) for {wrong}")
    return {
        name: LazyTensor(tensors[names[0]].shape, tensors[names[0]].dtype, _reader(name, names, tensors, plain))
        for name, names in parts.items()
    }


def _reader(
    name: str, names: tuple[str, ...], tensors: Mapping[str, LazyTensor], config: Mapping[str, Any]
) -> Callable[[], Tensor]:
    return lambda: merge_weight(name, [tensors[part].read() for part in names], config)


def _fits(base: tuple[int, ...], a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return len(base) == len(a) == len(b) == 2 and a[0] == b[1] and base == (b[0], a[1])
