import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import Qwen2AudioEncoderConfig, Qwen3Config

from opens2s_core.config import ConfigError
from opens2s_core.models.opens2s_config import Interleave, OpenS2SConfig
from tests.opens2s_core.parity import Golden

GOLDEN = Golden("opens2s_tiny")
LMS = ("llm_config", "tts_lm_config")

counts = st.integers(0, 40)


@given(st.integers(1, 6), st.integers(1, 9), counts, counts)
def test_interleaving_alternates_until_one_side_is_used_up(m: int, n: int, hidden_states: int, units: int) -> None:
    expected = [0]
    h, u = list(range(1, 1 + hidden_states)), list(range(1 + hidden_states, 1 + hidden_states + units))
    while h or u:
        expected += h[:m] + u[:n]
        h, u = h[m:], u[n:]
    assert Interleave(m, n).order(hidden_states, units).tolist() == expected


@pytest.mark.parametrize("text", ["4", "4:", ":8", "0:8", "4:x", "-1:8", "²:3", ""])
def test_a_malformed_ratio_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="expected two positive integers"):
        Interleave.parse(text)


@pytest.fixture
def published() -> dict[str, Any]:
    """As transformers 4.51 wrote it."""
    values: dict[str, Any] = GOLDEN.values("config")
    return values


def as_version_5(published: dict[str, Any]) -> dict[str, Any]:
    values = copy.deepcopy(published)
    kinds = {"audio_encoder_config": Qwen2AudioEncoderConfig, **dict.fromkeys(LMS, Qwen3Config)}
    for name, kind in kinds.items():
        values[name] = kind(**values[name]).to_dict()
    values["dtype"] = values.pop("torch_dtype")
    return json.loads(json.dumps(values))


def test_both_formats_give_equal_configurations(published: dict[str, Any]) -> None:
    later = as_version_5(published)
    assert "rope_theta" in published["llm_config"]
    assert "rope_theta" not in later["llm_config"]
    assert OpenS2SConfig.from_dict(later) == OpenS2SConfig.from_dict(published)


def test_values_reach_their_places(published: dict[str, Any]) -> None:
    config = OpenS2SConfig.from_dict(published)
    for name, lm in zip(LMS, (config.llm, config.speech_decoder), strict=True):
        assert lm.rope_parameters == {"rope_type": "default", "rope_theta": published[name]["rope_theta"]}
        for key in ("vocab_size", "num_key_value_heads", "head_dim", "rms_norm_eps"):
            assert getattr(lm, key) == published[name][key]
    assert ",".join(map(str, config.adapter_kernel_sizes)) == published["conv_kernel_sizes"]
    assert (config.audio_padding, config.prompt_style) == ("full", "chat")


def test_a_written_configuration_reads_back_equal(published: dict[str, Any]) -> None:
    values = published | {"audio_padding": "masked", "prompt_style": "training"}
    values["llm_config"] |= {"rope_scaling": {"rope_type": "linear", "factor": 4.0}, "tie_word_embeddings": True}
    values["tts_lm_config"] |= {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}
    config = OpenS2SConfig.from_dict(values)
    assert config.llm.rope_parameters["factor"] == 4.0
    assert OpenS2SConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert config.to_dict()["llm_config"]["rope_scaling"] == {"rope_type": "linear", "factor": 4.0}
    assert set(config.to_dict()) - set(config.published()) == {"audio_padding", "prompt_style"}


def test_the_size_of_speaker_vectors_is_written_where_it_is_not_the_published_one(published: dict[str, Any]) -> None:
    config = OpenS2SConfig.from_dict(published)
    assert config.speaker_dim == 512
    assert "speaker_dim" not in config.to_dict()
    other = OpenS2SConfig.from_dict(published | {"speaker_dim": 192})
    assert OpenS2SConfig.from_dict(other.to_dict()) == other != config


def test_the_transcription_prompt_is_written_where_there_is_one(published: dict[str, Any]) -> None:
    config = OpenS2SConfig.from_dict(published)
    assert config.transcription_prompt == ""
    assert "transcription_prompt" not in config.to_dict()
    trained = OpenS2SConfig.from_dict(published | {"transcription_prompt": "Transcribe: "})
    assert trained.transcription_prompt == "Transcribe: "
    assert OpenS2SConfig.from_dict(trained.to_dict()) == trained != config
    assert "transcription_prompt" not in trained.published()


def test_the_given_values_are_not_changed(published: dict[str, Any]) -> None:
    published["llm_config"]["rope_scaling"] = {"type": "linear", "factor": 2.0}
    for values in (published, as_version_5(published)):
        before = copy.deepcopy(values)
        OpenS2SConfig.from_dict(values)
        assert values == before


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("surprise", 1, r"unknown keys \['surprise'\]"),
        ("interleave_strategy", None, "interleave_strategy None"),
        ("conv_kernel_sizes", "5,x", "conv_kernel_sizes: expected positive numbers .* got '5,x'"),
        ("conv_kernel_sizes", "", "conv_kernel_sizes"),
        ("speaker_dim", 0, "speaker_dim: expected a positive integer, got 0"),
        ("adapter_inner_dim", 0, "adapter_inner_dim: expected a positive integer, got 0"),
        ("audio_padding", "some", r"audio_padding: expected one of \['full', 'masked'\], got 'some'"),
        ("prompt_style", "loud", "prompt_style: expected one of .* got 'loud'"),
        ("transcription_prompt", None, "transcription_prompt: expected a text, got None"),
        ("llm_config", [], "llm_config: expected a mapping"),
        ("llm_config.model_type", "llama", r"llm_config\.model_type: expected 'qwen3', got 'llama'"),
        ("llm_config.hidden_size", "wide", "llm_config: .*hidden_size"),
        ("llm_config.hidden_size", 0, r"llm_config\.hidden_size: expected a positive number, got 0"),
        ("llm_config.num_key_value_heads", 0, r"llm_config\.num_key_value_heads: expected a positive number, got 0"),
        ("llm_config.num_key_value_heads", 997, r"expected a multiple of num_key_value_heads 997, got"),
        ("llm_config.hidden_act", "loud", r"llm_config\.hidden_act: expected one of .*'silu'.* got 'loud'"),
        ("llm_config.rope_scaling", {"rope_type": "curl"}, "llm_config: rope_type: expected one of .* got 'curl'"),
        ("llm_config.pad_token_id", 10**9, r"llm_config\.pad_token_id: expected an id below vocab_size"),
        ("llm_config.quantization_config", {"bits": 4}, r"llm_config\.quantization_config: expected .* not quantized"),
        ("audio_encoder_config.encoder_attention_heads", 997, "d_model: expected a multiple of encoder_att.* 997, got"),
        (
            "audio_encoder_config.model_type",
            "whisper",
            "audio_encoder_config.model_type: expected 'qwen2_audio_encoder'",
        ),
    ],
)
def test_invalid_values_are_named(published: dict[str, Any], place: str, value: Any, message: str) -> None:
    *parents, key = place.split(".")
    inner = published
    for parent in parents:
        inner = inner[parent]
    inner[key] = value
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        OpenS2SConfig.from_dict(published)


def test_weights_declared_as_not_quantized_are_accepted(published: dict[str, Any]) -> None:
    expected = OpenS2SConfig.from_dict(published)
    published["llm_config"]["quantization_config"] = None
    assert OpenS2SConfig.from_dict(published) == expected


@pytest.mark.parametrize("key", ["llm_config", "conv_kernel_sizes", "interleave_strategy", "adapter_inner_dim"])
def test_missing_settings_are_named(published: dict[str, Any], key: str) -> None:
    del published[key]
    with pytest.raises(ConfigError, match=rf"missing keys \['{key}'\]"):
        OpenS2SConfig.from_dict(published)
