"""Our models at the published sizes, on the meta device: names and shapes are those of the published files."""

from typing import Any

import torch
from torch import Tensor
from transformers import Qwen2AudioEncoderConfig, Qwen3Config

from opens2s_core.checkpoint import opens2s, speech_tokenizer, token2wav
from opens2s_core.checkpoint.files import write_json
from opens2s_core.checkpoint.modules import build_empty
from opens2s_core.config import FlowConfig, SpeechTokenizerConfig, VocoderConfig, parse_config
from opens2s_core.models.flow import Flow
from opens2s_core.models.opens2s import OpenS2S
from opens2s_core.models.opens2s_config import OpenS2SConfig
from opens2s_core.models.speech_tokenizer import SpeechTokenizer
from opens2s_core.models.vocoder import Vocoder
from tests.opens2s_core.checkpoint.full_scale import full_scale

Shapes = dict[str, list[int]]


def shapes(state: dict[str, Tensor]) -> Shapes:
    return {name: list(tensor.shape) for name, tensor in state.items()}


def count(keys: Shapes, prefix: str) -> int:
    return len({name.removeprefix(prefix).split(".")[0] for name in keys if name.startswith(prefix)})


def qwen3(keys: Shapes, name: str, **values: Any) -> Qwen3Config:
    layer = f"{name}.model.layers.0"
    head_dim = keys[f"{layer}.self_attn.q_norm.weight"][0]
    vocabulary, width = keys[f"{name}.model.embed_tokens.weight"]
    return Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=keys[f"{layer}.mlp.up_proj.weight"][0],
        num_hidden_layers=count(keys, f"{name}.model.layers."),
        num_attention_heads=keys[f"{layer}.self_attn.q_proj.weight"][0] // head_dim,
        num_key_value_heads=keys[f"{layer}.self_attn.k_proj.weight"][0] // head_dim,
        head_dim=head_dim,
        **values,
    )


def test_opens2s() -> None:
    keys = full_scale("opens2s_full_keys")["keys"]
    encoder = "audio_encoder_model"
    width, mel_bins, _ = keys[f"{encoder}.conv1.weight"]
    convs = count(keys, "audio_adapter.subsampler.conv_layers.")
    config = OpenS2SConfig(
        audio_encoder=Qwen2AudioEncoderConfig(
            num_mel_bins=mel_bins,
            d_model=width,
            encoder_layers=count(keys, f"{encoder}.layers."),
            encoder_ffn_dim=keys[f"{encoder}.layers.0.fc1.weight"][0],
            max_source_positions=keys[f"{encoder}.embed_positions.weight"][0],
        ),
        llm=qwen3(keys, "llm_model"),
        speech_decoder=qwen3(keys, "tts_lm_model", tie_word_embeddings=True),
        adapter_inner_dim=keys["audio_adapter.fc1.weight"][0],
        adapter_kernel_sizes=tuple(keys[f"audio_adapter.subsampler.conv_layers.{i}.weight"][2] for i in range(convs)),
    )
    model = build_empty(lambda: OpenS2S(config))
    assert shapes(opens2s.published_state(model)) == keys
    assert set(keys) - set(opens2s.saved_state(model)) == {"tts_lm_model.lm_head.weight"}


def test_flow() -> None:
    values = full_scale("glm4_voice_real_config")["decoder"]["flow"]
    model = build_empty(lambda: Flow(parse_config(FlowConfig, values)))
    assert shapes(token2wav.published_flow(model)) == full_scale("flow_full_keys")


def test_vocoder() -> None:
    values = full_scale("glm4_voice_real_config")["decoder"]["hift"]
    model = build_empty(lambda: Vocoder(parse_config(VocoderConfig, values)))
    assert shapes(token2wav.published_vocoder(model)) == full_scale("hift_full_keys")


def test_speech_tokenizer(tmp_path: Any) -> None:
    write_json(tmp_path / "config.json", full_scale("glm4_voice_real_config")["speech_tokenizer"])
    config = speech_tokenizer.read_speech_tokenizer_config(tmp_path)
    assert config == SpeechTokenizerConfig()
    model = build_empty(lambda: SpeechTokenizer(config))
    assert shapes(speech_tokenizer.published_state(model)) == full_scale("speech_tokenizer_full_keys")
    assert all(tensor.device == torch.device("meta") for tensor in model.state_dict().values())
