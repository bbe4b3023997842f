"""transformers' configurations in published files, written by version 4.51 or version 5."""

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from huggingface_hub.errors import StrictDataclassError
from transformers import PreTrainedConfig, Qwen2AudioEncoderConfig
from transformers.activations import ACT2FN
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from opens2s_core.config import ConfigError

C = TypeVar("C", bound=PreTrainedConfig)

_GENERIC = {field.name for field in dataclasses.fields(PreTrainedConfig)}
"""Keys of every transformers configuration that do not describe the architecture."""

_FORMER_NAMES = {"init_std": "initializer_range"}  # of the audio encoder

_AUDIO_SIZES = {"d_model", "encoder_attention_heads", "encoder_ffn_dim", "num_mel_bins", "max_source_positions"}
_LM_SIZES = {"vocab_size", "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim"}
_SIZES = _AUDIO_SIZES | _LM_SIZES
_MULTIPLES = {"d_model": "encoder_attention_heads", "num_attention_heads": "num_key_value_heads"}
_ACTIVATIONS = {"activation_function", "hidden_act"}


def parse_transformers_config(kind: type[C], values: object, where: str) -> C:
    """Parse a configuration written by either version; the results are equal for equal architectures.

    Values that do not describe the architecture (dtypes, library versions) are ignored. Raises :class:`ConfigError` for
    another model type, quantized weights, and values from which no model can be built.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: expected a mapping of settings, got {values!r}")
    if values.get("model_type", kind.model_type) != kind.model_type:
        raise ConfigError(f"{where}.model_type: expected {kind.model_type!r}, got {values['model_type']!r}")
    if (quantized := values.get("quantization_config")) is not None:
        raise ConfigError(f"{where}.quantization_config: expected weights that are not quantized, got {quantized!r}")
    names = kind.attribute_map | _FORMER_NAMES
    fields = {field.name for field in dataclasses.fields(kind)} - _GENERIC
    renamed = {names[key]: value for key, value in values.items() if names.get(key) in fields}
    own = renamed | {key: value for key, value in values.items() if key in fields}
    if "rope_parameters" in fields and values.get("rope_parameters") is None:
        own.pop("rope_parameters", None)
        own |= {key: values[key] for key in ("rope_theta", "rope_scaling") if values.get(key) is not None}
    try:
        config = kind(**copy.deepcopy(own))
    except (StrictDataclassError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{where}: {error}") from error
    _check_buildable(config, where)
    return config


def _check_buildable(config: PreTrainedConfig, where: str) -> None:
    """Refuse values with which building or running the model would fail without the name of the key."""
    values = vars(config)
    for size in sorted(_SIZES & values.keys()):
        if values[size] < 1:
            raise ConfigError(f"{where}.{size}: expected a positive number, got {values[size]}")
    for whole, part in _MULTIPLES.items():
        if {whole, part} <= values.keys() and values[whole] % values[part]:
            raise ConfigError(f"{where}.{whole}: expected a multiple of {part} {values[part]}, got {values[whole]}")
    for activation in sorted(_ACTIVATIONS & values.keys()):
        if values[activation] not in ACT2FN:
            raise ConfigError(f"{where}.{activation}: expected one of {sorted(ACT2FN)}, got {values[activation]!r}")
    rope = (values.get("rope_parameters") or {}).get("rope_type", "default")
    if rope not in (known := sorted({"default", *ROPE_INIT_FUNCTIONS})):
        raise ConfigError(f"{where}: rope_type: expected one of {known}, got {rope!r}")
    pad, rows = values.get("pad_token_id"), values.get("vocab_size")
    if pad is not None and rows is not None and pad >= rows:
        raise ConfigError(f"{where}.pad_token_id: expected an id below vocab_size {rows}, got {pad}")


def published_config(config: PreTrainedConfig) -> dict[str, Any]:
    """``config`` in the format of version 4.51, which has ``rope_theta`` and ``rope_scaling`` as separate keys."""
    all_values = config.to_dict()
    fields = {field.name for field in dataclasses.fields(config)} - _GENERIC
    values = {"model_type": config.model_type} | {key: all_values[key] for key in sorted(fields)}
    if "rope_parameters" in values:
        rope = dict(values.pop("rope_parameters"))
        values["rope_theta"] = rope.pop("rope_theta")
        values["rope_scaling"] = None if rope == {"rope_type": "default"} else rope
    if set(values.get("layer_types") or ()) <= {"full_attention"}:
        values.pop("layer_types", None)  # unknown to version 4.51; the default is full attention
    if isinstance(config, Qwen2AudioEncoderConfig):
        values |= {former: values.pop(name) for former, name in _FORMER_NAMES.items()}
    return values
