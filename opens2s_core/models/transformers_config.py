"""transformers' configurations as published files hold them: written by its version 4.51, or by a version 5."""

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from huggingface_hub.errors import StrictDataclassError
from transformers import PreTrainedConfig, Qwen2AudioEncoderConfig

from opens2s_core.config import ConfigError

C = TypeVar("C", bound=PreTrainedConfig)

_GENERIC = {field.name for field in dataclasses.fields(PreTrainedConfig)}
"""What every transformers configuration has and what says nothing about the architecture."""

_FORMER_NAMES = {"init_std": "initializer_range"}  # of the audio encoder


def parse_transformers_config(kind: type[C], values: object, where: str) -> C:
    """The configuration that ``values`` describe, whichever version wrote them; equal for equal architectures.

    What does not concern the architecture is left out (the types of weights, the versions of libraries). Raises
    :class:`ConfigError` for another kind of model or a value of the wrong type.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: expected a mapping of settings, got {values!r}")
    if values.get("model_type", kind.model_type) != kind.model_type:
        raise ConfigError(f"{where}.model_type: expected {kind.model_type!r}, got {values['model_type']!r}")
    names = kind.attribute_map | _FORMER_NAMES
    fields = {field.name for field in dataclasses.fields(kind)} - _GENERIC
    renamed = {names[key]: value for key, value in values.items() if names.get(key) in fields}
    own = renamed | {key: value for key, value in values.items() if key in fields}
    if "rope_parameters" in fields and values.get("rope_parameters") is None:
        own.pop("rope_parameters", None)
        own |= {key: values[key] for key in ("rope_theta", "rope_scaling") if values.get(key) is not None}
    try:
        return kind(**copy.deepcopy(own))
    except (StrictDataclassError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{where}: {error}") from error


def published_config(config: PreTrainedConfig) -> dict[str, Any]:
    """``config`` as version 4.51 wrote it, whose ``rope_theta`` and ``rope_scaling`` are settings of their own."""
    all_values = config.to_dict()
    fields = {field.name for field in dataclasses.fields(config)} - _GENERIC
    values = {"model_type": config.model_type} | {key: all_values[key] for key in sorted(fields)}
    if "rope_parameters" in values:
        rope = dict(values.pop("rope_parameters"))
        values["rope_theta"] = rope.pop("rope_theta")
        values["rope_scaling"] = None if rope == {"rope_type": "default"} else rope
    if set(values.get("layer_types") or ()) <= {"full_attention"}:
        values.pop("layer_types", None)  # a later invention; what is left out is full attention
    if isinstance(config, Qwen2AudioEncoderConfig):
        values |= {former: values.pop(name) for former, name in _FORMER_NAMES.items()}
    return values
