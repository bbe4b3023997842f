"""Frozen configurations of the models, with the names and nesting of the published checkpoints.

The defaults are the published values.
"""

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar

T = TypeVar("T")


class ConfigError(ValueError):
    """An invalid configuration; the message has the key, the value and what was expected."""


def parse_config(cls: type[T], values: object, where: str = "") -> T:
    """Build the frozen dataclass ``cls`` from plain data, as parsed from JSON or YAML.

    Nested dataclasses and tuples are built recursively. A missing required key, an unknown key or a value of another
    type raises :class:`ConfigError` with its path, e.g. ``flow.decoder.n_spks``.
    """
    where = where or cls.__name__
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: expected a mapping of settings, got {values!r}")
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    if unknown := sorted(set(values) - set(fields)):
        raise ConfigError(f"{where}: unknown keys {unknown}; known are {sorted(fields)}")
    required = {
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    if missing := sorted(required - set(values)):
        raise ConfigError(f"{where}: missing keys {missing}")
    return cls(**{key: _convert(hints[key], value, f"{where}.{key}") for key, value in values.items()})


def _convert(kind: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return parse_config(typing.cast(type, kind), value, where)
    if origin is Literal:
        if value not in args:
            raise ConfigError(f"{where}: expected one of {list(args)}, got {value!r}")
        return value
    if origin in (UnionType, typing.Union):
        if value is None and NoneType in args:
            return None
        return _convert(next(arg for arg in args if arg is not NoneType), value, where)
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: expected a mapping, got {value!r}")
        return {key: _convert(args[1], item, f"{where}.{key}") for key, item in value.items()}
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where}: expected a list, got {value!r}")
        item_kinds = [args[0]] * len(value) if args[-1] is Ellipsis else list(args)
        if len(item_kinds) != len(value):
            raise ConfigError(f"{where}: expected {len(item_kinds)} items, got {value!r}")
        pairs = enumerate(zip(item_kinds, value, strict=True))
        return tuple(_convert(item_kind, item, f"{where}[{i}]") for i, (item_kind, item) in pairs)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ConfigError(f"{where}: expected {kind.__name__}, got {value!r}")
    return value


def config_to_dict(config: object) -> dict[str, Any]:
    """Plain data from which :func:`parse_config` builds an equal configuration (tuples become lists)."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value):
            return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        if isinstance(value, Mapping):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, tuple) else value

    return typing.cast(dict[str, Any], plain(config))


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowEncoderConfig:
    """Block-causal relative-position transformer over units."""

    input_size: int = 512
    output_size: int = 512
    attention_heads: int = 8
    linear_units: int = 2048
    num_blocks: int = 6
    dropout_rate: float = 0.1
    positional_dropout_rate: float = 0.1
    attention_dropout_rate: float = 0.1
    normalize_before: Literal[True] = True
    input_layer: Literal["linear"] = "linear"
    pos_enc_layer_type: Literal["rel_pos_espnet"] = "rel_pos_espnet"
    selfattention_layer_type: Literal["block_rel_selfattn"] = "block_rel_selfattn"
    block_size: int = 10
    use_cnn_module: Literal[False] = False
    macaron_style: Literal[False] = False


@dataclass(frozen=True, kw_only=True, slots=True)
class LengthRegulatorConfig:
    channels: int = 80
    sampling_ratios: tuple[int, ...] = (1, 1, 1, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowMatchingConfig:
    """``temperature`` scales the initial noise of sampling: 1 as published; a smaller value reduces the variance of a
    small model."""

    sigma_min: float = 1e-6
    solver: Literal["euler"] = "euler"
    t_scheduler: Literal["cosine"] = "cosine"
    training_cfg_rate: float = 0.2
    inference_cfg_rate: float = 0.7
    temperature: float = 1.0
    reg_loss_type: str = "l1"


@dataclass(frozen=True, kw_only=True, slots=True)
class EstimatorConfig:
    """U-Net of the conditional flow matching decoder."""

    in_channels: int = 320
    out_channels: int = 80
    channels: tuple[int, ...] = (256, 256)
    dropout: float = 0.0
    attention_head_dim: int = 64
    n_blocks: int = 4
    num_mid_blocks: int = 12
    num_heads: int = 8
    act_fn: Literal["gelu"] = "gelu"


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowDecoderConfig:
    in_channels: int = 240
    n_spks: Literal[1] = 1
    spk_emb_dim: int = 80
    cfm_params: FlowMatchingConfig = FlowMatchingConfig()
    estimator: EstimatorConfig = EstimatorConfig()


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowConfig:
    """Units → log-mel by conditional flow matching (GLM-4-Voice decoder)."""

    input_size: int = 512
    output_size: int = 80
    spk_embed_dim: int = 192
    output_type: Literal["mel"] = "mel"
    vocab_size: int = 16384
    input_frame_rate: float = 12.5
    only_mask_loss: bool = True
    encoder: FlowEncoderConfig = FlowEncoderConfig()
    length_regulator: LengthRegulatorConfig = LengthRegulatorConfig()
    decoder: FlowDecoderConfig = FlowDecoderConfig()


@dataclass(frozen=True, kw_only=True, slots=True)
class IstftConfig:
    n_fft: int = 16
    hop_len: int = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class F0PredictorConfig:
    num_class: Literal[1] = 1
    in_channels: int = 80
    cond_channels: int = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class VocoderConfig:
    """HiFT: neural source filter plus inverse STFT, log-mel → waveform (GLM-4-Voice decoder)."""

    in_channels: int = 80
    base_channels: int = 512
    nb_harmonics: int = 8
    sampling_rate: int = 22050
    nsf_alpha: float = 0.1
    nsf_sigma: float = 0.003
    nsf_voiced_threshold: float = 10.0
    upsample_rates: tuple[int, ...] = (8, 8)
    upsample_kernel_sizes: tuple[int, ...] = (16, 16)
    istft_params: IstftConfig = IstftConfig()
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    source_resblock_kernel_sizes: tuple[int, ...] = (7, 11)
    source_resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5))
    lrelu_slope: float = 0.1
    audio_limit: float = 0.99
    f0_predictor: F0PredictorConfig = F0PredictorConfig()


@dataclass(frozen=True, kw_only=True, slots=True)
class Token2WavConfig:
    """A decoder directory: flow and vocoder, and whether both are trained."""

    flow: FlowConfig = FlowConfig()
    hift: VocoderConfig = VocoderConfig()
    trained: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeechTokenizerConfig:
    """Whisper encoder with average pooling and vector quantisation (GLM-4-Voice speech tokenizer)."""

    d_model: int = 1280
    encoder_attention_heads: int = 20
    encoder_ffn_dim: int = 5120
    num_mel_bins: int = 128
    max_source_positions: int = 1500
    encoder_causal_convolution: bool = True
    quantize_causal_block_size: int = 200
    quantize_position: int = 16
    pooling_position: int = 16
    pooling_kernel_size: int = 4
    quantize_vocab_size: int = 16384
    quantize_ema_decay: float | None = 0.99
