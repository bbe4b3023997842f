import dataclasses
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.files import write_json
from opens2s_core.checkpoint.token2wav import (
    load_token2wav,
    read_token2wav_config,
    save_published_token2wav,
    save_token2wav,
)
from opens2s_core.config import (
    ConfigError,
    EstimatorConfig,
    F0PredictorConfig,
    FlowConfig,
    FlowDecoderConfig,
    FlowEncoderConfig,
    Token2WavConfig,
    VocoderConfig,
    config_to_dict,
)
from opens2s_core.models.flow import Flow
from opens2s_core.models.vocoder import Vocoder
from tests.opens2s_core.checkpoint.full_scale import full_scale
from tests.opens2s_core.parity import Golden

SMALL = Token2WavConfig(
    flow=FlowConfig(
        input_size=16,
        vocab_size=8,
        encoder=FlowEncoderConfig(input_size=16, output_size=16, attention_heads=2, linear_units=16, num_blocks=1),
        decoder=FlowDecoderConfig(
            estimator=EstimatorConfig(channels=(8, 8), n_blocks=1, num_mid_blocks=1, num_heads=2, attention_head_dim=4)
        ),
    ),
    hift=VocoderConfig(base_channels=8, f0_predictor=F0PredictorConfig(cond_channels=4)),
)

PUBLISHED = """\
    __set_seed1: !apply:random.seed [1986]
    __set_seed2: !apply:numpy.random.seed [1986]
    __set_seed3: !apply:torch.manual_seed [1986]
    __set_seed4: !apply:torch.cuda.manual_seed_all [1986]

    sample_rate: 22050
    text_encoder_input_size: 512
    llm_input_size: 1024
    spk_embed_dim: 192

    llm: !new:cosyvoice.llm.llm.TransformerLM
        llm_input_size: !ref <llm_input_size>
        dropout: !ref <undefined> * 2
        text_encoder: !new:cosyvoice.transformer.encoder.ConformerEncoder
            input_size: !ref <text_encoder_input_size>

    flow: !new:cosyvoice.flow.flow.MaskedDiffWithXvec
        input_size: 512
        output_size: 80
        spk_embed_dim: !ref <spk_embed_dim>
        output_type: 'mel'
        vocab_size: 16384
        input_frame_rate: 12.5
        only_mask_loss: True
        encoder: !new:cosyvoice.transformer.encoder.BlockConformerEncoder
            output_size: 512
            attention_heads: 8
            linear_units: 2048
            num_blocks: 6
            dropout_rate: 0.1
            positional_dropout_rate: 0.1
            attention_dropout_rate: 0.1
            normalize_before: True
            input_layer: 'linear'
            pos_enc_layer_type: 'rel_pos_espnet'
            selfattention_layer_type: 'block_rel_selfattn'
            block_size: 10
            input_size: 512
            use_cnn_module: False
            macaron_style: False
        length_regulator: !new:cosyvoice.flow.length_regulator.InterpolateRegulator
            channels: 80
            sampling_ratios: [1, 1, 1, 1]
        decoder: !new:cosyvoice.flow.flow_matching.ConditionalCFM
            in_channels: 240
            n_spks: 1
            spk_emb_dim: 80
            cfm_params: !new:omegaconf.DictConfig
                content:
                    sigma_min: 1e-06
                    solver: 'euler'
                    t_scheduler: 'cosine'
                    training_cfg_rate: 0.2
                    inference_cfg_rate: 0.7
                    reg_loss_type: 'l1'
            estimator: !new:cosyvoice.flow.decoder.ConditionalDecoder
                in_channels: 320
                out_channels: 80
                channels: [256, 256]
                dropout: 0
                attention_head_dim: 64
                n_blocks: 4
                num_mid_blocks: 12
                num_heads: 8
                act_fn: 'gelu'

    hift: !new:cosyvoice.hifigan.generator.HiFTGenerator
        in_channels: 80
        base_channels: 512
        nb_harmonics: 8
        sampling_rate: !ref <sample_rate>
        nsf_alpha: 0.1
        nsf_sigma: 0.003
        nsf_voiced_threshold: 10
        upsample_rates: [8, 8]
        upsample_kernel_sizes: [16, 16]
        istft_params:
            n_fft: 16
            hop_len: 4
        resblock_kernel_sizes: [3, 7, 11]
        resblock_dilation_sizes: [[1, 3, 5], [1, 3, 5], [1, 3, 5]]
        source_resblock_kernel_sizes: [7, 11]
        source_resblock_dilation_sizes: [[1, 3, 5], [1, 3, 5]]
        lrelu_slope: 0.1
        audio_limit: 0.99
        f0_predictor: !new:cosyvoice.hifigan.f0_predictor.ConvRNNF0Predictor
            num_class: 1
            in_channels: 80
            cond_channels: 512
"""


def same(left: nn.Module, right: nn.Module) -> bool:
    a, b = left.state_dict(), right.state_dict()
    return a.keys() == b.keys() and all(a[name].dtype == b[name].dtype and torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def models() -> tuple[Flow, Vocoder]:
    torch.manual_seed(0)
    return Flow(SMALL.flow), Vocoder(SMALL.hift)


@pytest.fixture
def published(models: tuple[Flow, Vocoder], tmp_path: Path) -> Path:
    save_published_token2wav(*models, SMALL, tmp_path)
    return tmp_path


def change(directory: Path, place: str, value: Any) -> None:
    """Set one value of a plain config, e.g. ``flow.encoder.block_size``."""
    values = inner = config_to_dict(SMALL)
    *parents, last = place.split(".")
    for key in parents:
        inner = inner[key]
    inner[last] = value
    (directory / "config.yaml").write_text(yaml.safe_dump(values))


def classes(text: str) -> dict[str, str]:
    """What the flow and the vocoder of a configuration are tagged with, by place."""

    def of(place: str, node: yaml.Node) -> dict[str, str]:
        found = {place: node.tag} if node.tag.startswith("!new:") else {}
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                found |= of(f"{place}.{key.value}", value)
        return found

    tags = of("", yaml.compose(text, yaml.SafeLoader))
    return {place: tag for place, tag in tags.items() if place.startswith((".flow", ".hift"))}


def test_the_published_configuration_is_read_as_data(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(textwrap.dedent(PUBLISHED))
    assert read_token2wav_config(tmp_path) == Token2WavConfig()


def test_plain_json_of_the_same_nesting_is_read_too(tmp_path: Path) -> None:
    values = full_scale("glm4_voice_real_config")["decoder"]
    write_json(tmp_path / "config.json", values | {"llm": {"anything": 1}})
    assert read_token2wav_config(tmp_path) == Token2WavConfig()


def test_what_is_written_for_published_code_is_tagged_as_it_expects(published: Path) -> None:
    text = (published / "config.yaml").read_text()
    assert classes(text) == classes(textwrap.dedent(PUBLISHED))
    assert read_token2wav_config(published) == SMALL


def test_golden_directories_load_as_they_are() -> None:
    golden = Golden("token2wav_tiny")
    flow, vocoder = load_token2wav(golden.path)
    settings = config_to_dict(flow.config)
    assert settings["decoder"]["cfm_params"].pop("temperature") == 1.0  # which published files do not name
    assert settings == golden.values("config")["flow"]
    weights = golden.tensors("hift")
    g, v = weights["conv_pre.weight_g"], weights["conv_pre.weight_v"]
    torch.testing.assert_close(vocoder.conv_pre.weight, torch._weight_norm(v, g, 0))
    assert not vocoder.training
    assert not flow.training


def test_saving_and_loading_is_bit_exact(models: tuple[Flow, Vocoder], tmp_path: Path) -> None:
    flow, vocoder = models[0].bfloat16(), models[1]
    untrained = dataclasses.replace(SMALL, trained=False)
    save_token2wav(flow, vocoder, untrained, tmp_path)
    again = load_token2wav(tmp_path)
    assert same(again[0], flow)
    assert same(again[1], vocoder)
    assert read_token2wav_config(tmp_path) == untrained


def test_published_files_give_back_the_very_same_weights(models: tuple[Flow, Vocoder], published: Path) -> None:
    assert {path.name for path in published.iterdir()} == {"config.yaml", "flow.pt", "hift.pt"}
    flow, vocoder = load_token2wav(published)
    assert same(flow, models[0])
    assert same(vocoder, models[1])
    save_published_token2wav(flow, vocoder, SMALL, published / "again")
    for name in ("flow.pt", "hift.pt"):
        first, second = (torch.load(place / name, weights_only=True) for place in (published, published / "again"))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)


def test_published_vocoders_are_weight_normalised(models: tuple[Flow, Vocoder], published: Path) -> None:
    state = torch.load(published / "hift.pt", weights_only=True)
    weight = models[1].ups[0].weight
    assert torch.equal(state["ups.0.weight_v"], weight)
    torch.testing.assert_close(state["ups.0.weight_g"], weight.flatten(1).norm(dim=1)[:, None, None])
    assert "source_downs.0.weight" in state


def test_a_filter_of_zeros_survives_weight_normalisation(models: tuple[Flow, Vocoder], tmp_path: Path) -> None:
    flow, vocoder = models
    with torch.no_grad():
        vocoder.conv_pre.weight[0] = 0
    save_published_token2wav(flow, vocoder, SMALL, tmp_path)
    assert same(load_token2wav(tmp_path)[1], vocoder)


def test_an_untrained_voice_stays_known_as_one(models: tuple[Flow, Vocoder], tmp_path: Path) -> None:
    save_published_token2wav(*models, dataclasses.replace(SMALL, trained=False), tmp_path)
    assert not read_token2wav_config(tmp_path).trained


def test_missing_unknown_and_misshaped_tensors_are_listed(models: tuple[Flow, Vocoder], tmp_path: Path) -> None:
    save_token2wav(*models, SMALL, tmp_path)

    def alter(stem: str, **changes: Tensor | None) -> None:
        state: dict[str, Tensor | None] = {**load_file(tmp_path / f"{stem}.safetensors"), **changes}
        kept = {name: tensor.clone() for name, tensor in state.items() if tensor is not None}
        save_file(kept, tmp_path / f"{stem}.safetensors")

    alter("hift", **{"conv_pre.bias": None, "surprise": torch.ones(1), "conv_post.bias": torch.ones(2)})
    with pytest.raises(
        CheckpointError, match=r"hift: missing conv_pre.bias; unknown surprise; conv_post.bias has shape"
    ):
        load_token2wav(tmp_path)
    alter("flow", **{"encoder_proj.bias": None})
    with pytest.raises(CheckpointError, match=r"flow: missing encoder_proj\.bias"):
        load_token2wav(tmp_path)


def test_half_a_weight_norm_is_refused(models: tuple[Flow, Vocoder], tmp_path: Path) -> None:
    save_published_token2wav(*models, SMALL, tmp_path)
    state = torch.load(tmp_path / "hift.pt", weights_only=True)
    for part in ("g", "v"):
        torch.save(
            {key: value for key, value in state.items() if key != f"conv_pre.weight_{part}"}, tmp_path / "hift.pt"
        )
        with pytest.raises(CheckpointError, match=r"missing conv_pre\.weight; unknown conv_pre\.weight_"):
            load_token2wav(tmp_path)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("flow.surprise", 1, r"flow: unknown keys \['surprise'\]"),
        (
            "flow.decoder.cfm_params.solver",
            "midpoint",
            r"cfm_params\.solver: expected one of \['euler'\], got 'midpoint'",
        ),
        ("flow.decoder.n_spks", 2, r"n_spks: expected one of \[1\], got 2"),
        ("flow.length_regulator.out_channels", 40, "out_channels: expected channels, 80, got 40"),
        ("flow.encoder.macaron_style", True, "macaron_style"),
        ("hift.f0_predictor.num_class", 2, "num_class"),
        ("hift.istft_params", 16, "istft_params: expected a mapping"),
        ("flow", [1], r"expected sections of settings \['flow'\]"),
        ("hift", None, r"expected sections of settings \['hift'\]"),
    ],
)
def test_settings_of_another_model_are_named(tmp_path: Path, place: str, value: Any, message: str) -> None:
    change(tmp_path, place, value)
    with pytest.raises((ConfigError, CheckpointError), match=message):
        read_token2wav_config(tmp_path)


def test_settings_that_say_the_same_as_ours_are_accepted(tmp_path: Path) -> None:
    change(tmp_path, "flow.length_regulator.out_channels", 80)
    assert read_token2wav_config(tmp_path) == SMALL


def test_a_directory_without_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"expected config\.yaml or config\.json"):
        read_token2wav_config(tmp_path)
