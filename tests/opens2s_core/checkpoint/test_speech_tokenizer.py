from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.files import open_tensors, write_json, write_tensors
from opens2s_core.checkpoint.speech_tokenizer import (
    load_speech_tokenizer,
    published_config,
    published_state,
    read_speech_tokenizer_config,
    save_speech_tokenizer,
)
from opens2s_core.config import ConfigError, SpeechTokenizerConfig, config_to_dict
from opens2s_core.models.speech_tokenizer import SpeechTokenizer
from tests.opens2s_core.checkpoint.full_scale import full_scale
from tests.opens2s_core.parity import Golden

SMALL: dict[str, Any] = {
    "d_model": 8,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 8,
    "num_mel_bins": 8,
    "max_source_positions": 40,
    "quantize_position": 2,
    "pooling_position": 1,
    "quantize_vocab_size": 6,
}


@pytest.fixture
def model() -> SpeechTokenizer:
    torch.manual_seed(0)
    model = SpeechTokenizer(SpeechTokenizerConfig(**SMALL))
    model.ema_count.uniform_()
    model.ema_weight.normal_()
    return model.eval()


def write(directory: Path, state: dict[str, Tensor], **values: Any) -> None:
    write_tensors(state, directory)
    write_json(directory / "config.json", full_scale("glm4_voice_real_config")["speech_tokenizer"] | SMALL | values)


def same(left: SpeechTokenizer, right: SpeechTokenizer) -> bool:
    a, b = left.state_dict(), right.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_published_directory_loads_with_all_its_foreign_settings(model: SpeechTokenizer, tmp_path: Path) -> None:
    write(tmp_path, published_state(model), architectures=["Whisper"], is_encoder_decoder=True, use_cache=True)
    assert same(load_speech_tokenizer(tmp_path), model)


def test_the_golden_directory_loads_as_it_is() -> None:
    golden = Golden("speech_tokenizer_tiny")
    loaded, weights = load_speech_tokenizer(golden.path), golden.tensors("model")
    assert not loaded.training
    for name, tensor in loaded.state_dict().items():
        published = weights.get(f"model.encoder.{name}")
        assert published is not None or name in ("ema_count", "ema_weight")
        assert published is None or torch.equal(tensor, published)


def test_bare_names_and_more_layers_than_needed_are_accepted(model: SpeechTokenizer, tmp_path: Path) -> None:
    state = dict(model.state_dict())
    later = {name.replace("layers.1.", "layers.2."): tensor.clone() for name, tensor in state.items()}
    write(tmp_path, later | state | {"layer_norm.weight": torch.ones(8), "layer_norm.bias": torch.ones(8)})
    assert same(load_speech_tokenizer(tmp_path), model)
    both = {f"model.encoder.{name}": tensor.clone() for name, tensor in state.items()}
    write(tmp_path, both | state)
    with pytest.raises(CheckpointError, match="with or without"):
        load_speech_tokenizer(tmp_path)


def test_missing_unknown_and_misshaped_tensors_are_listed(model: SpeechTokenizer, tmp_path: Path) -> None:
    state = dict(model.state_dict()) | {"decoder.weight": torch.ones(1), "conv1.bias": torch.ones(3)}
    del state["codebook.weight"]
    write(tmp_path, state)
    with pytest.raises(
        CheckpointError, match=r"missing codebook\.weight; unknown decoder\.weight; conv1\.bias has shape \(3,\)"
    ):
        load_speech_tokenizer(tmp_path)


def test_running_averages_start_at_the_codes_where_a_file_has_none(model: SpeechTokenizer, tmp_path: Path) -> None:
    write(tmp_path, {name: value for name, value in model.state_dict().items() if not name.startswith("ema_")})
    loaded = load_speech_tokenizer(tmp_path)
    assert torch.equal(loaded.ema_weight / loaded.ema_count[:, None], loaded.codebook.weight)
    assert loaded.ema_weight.data_ptr() != loaded.codebook.weight.data_ptr()


def test_running_averages_may_be_left_out(model: SpeechTokenizer, tmp_path: Path) -> None:
    save_speech_tokenizer(model, model.config, tmp_path, averages=False)
    loaded = load_speech_tokenizer(tmp_path)
    assert torch.equal(loaded.codebook.weight, model.codebook.weight)
    assert torch.equal(loaded.ema_count, torch.ones_like(model.ema_count))
    assert loaded.config == model.config


def test_without_running_averages_there_are_no_buffers(tmp_path: Path) -> None:
    model = SpeechTokenizer(SpeechTokenizerConfig(**SMALL, quantize_ema_decay=None))
    assert not list(model.buffers())
    save_speech_tokenizer(model, model.config, tmp_path)
    assert same(load_speech_tokenizer(tmp_path), model)
    write_tensors(dict(model.state_dict()) | {"ema_count": torch.ones(6)}, tmp_path)
    with pytest.raises(CheckpointError, match="unknown ema_count"):
        load_speech_tokenizer(tmp_path)


def test_saving_and_loading_is_bit_exact(model: SpeechTokenizer, tmp_path: Path) -> None:
    model.codebook.bfloat16()
    save_speech_tokenizer(model, model.config, tmp_path)
    loaded = load_speech_tokenizer(tmp_path)
    assert same(loaded, model)
    assert loaded.codebook.weight.dtype == torch.bfloat16
    assert load_speech_tokenizer(tmp_path, torch.float32).codebook.weight.dtype == torch.float32
    assert loaded.config == model.config
    assert set(open_tensors(tmp_path)) == set(model.state_dict())


def test_our_settings_under_published_names_mean_the_same(tmp_path: Path) -> None:
    config = SpeechTokenizerConfig(**SMALL, encoder_causal_convolution=False)
    write_json(tmp_path / "config.json", published_config(config))
    assert read_speech_tokenizer_config(tmp_path) == config
    published = full_scale("glm4_voice_real_config")["speech_tokenizer"]
    assert {key for key in published_config(config) if key.startswith(("quantize_", "pooling_"))} <= set(published)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("encoder_causal_attention", True),
        ("quantize_causal_encoder", True),
        ("pooling_type", "max"),
        ("activation_function", "relu"),
        ("scale_embedding", True),
        ("quantize_surprise", 1),
        ("pooling_surprise", 1),
        ("encoder_surprise", 1),
        ("quantize_position", "2"),
        ("pooling_kernel_size", None),
    ],
)
def test_settings_of_another_encoder_are_named(tmp_path: Path, key: str, value: Any) -> None:
    write_json(tmp_path / "config.json", config_to_dict(SpeechTokenizerConfig(**SMALL)) | {key: value})
    with pytest.raises(ConfigError, match=key):
        read_speech_tokenizer_config(tmp_path)
