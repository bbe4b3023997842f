"""Weight-normalised tensors of files as plain ones."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from opens2s_core.checkpoint.files import open_tensors
from opens2s_core.checkpoint.speech_tokenizer import load_speech_tokenizer
from opens2s_core.checkpoint.token2wav import load_token2wav
from opens2s_core.checkpoint.weight_norm import plain_weights
from tests.opens2s_core.parity import Golden

OLDER = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}


def newer_name(name: str) -> str:
    layer, _, part = name.rpartition(".")
    return f"{layer}.{OLDER[part]}" if part in OLDER else name


@pytest.mark.parametrize("normalise", [nn.utils.weight_norm, nn.utils.parametrizations.weight_norm])
@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
def test_both_names_of_a_pair_give_the_weight(normalise: object, tmp_path: Path) -> None:
    layer = nn.Sequential(normalise(nn.Conv1d(2, 3, 5)))
    save_file(dict(layer.state_dict()), tmp_path / "model.safetensors")
    plain = plain_weights(open_tensors(tmp_path))
    assert plain.keys() == {"0.bias", "0.weight"}
    assert plain["0.weight"].shape == (3, 2, 5)
    torch.testing.assert_close(plain["0.weight"].read(), layer[0].weight.detach())


def test_a_norm_over_another_axis_is_not_guessed(tmp_path: Path) -> None:
    layer = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv1d(2, 3, 5), dim=2))
    save_file(dict(layer.state_dict()), tmp_path / "model.safetensors")
    assert "0.weight" not in plain_weights(open_tensors(tmp_path))


def test_a_part_without_the_other_stays(tmp_path: Path) -> None:
    save_file({"a.weight_v": torch.ones(2, 2), "b.weight_g": torch.ones(2, 1)}, tmp_path / "model.safetensors")
    assert plain_weights(open_tensors(tmp_path)).keys() == {"a.weight_v", "b.weight_g"}


def test_a_vocoder_with_newer_names_is_the_same(tmp_path: Path) -> None:
    golden = Golden("token2wav_tiny")
    for stem in ("flow", "hift"):
        tensors = {newer_name(name): tensor for name, tensor in golden.tensors(stem).items()}
        save_file(tensors, tmp_path / f"{stem}.safetensors")
    (tmp_path / "config.json").write_bytes((golden.path / "config.json").read_bytes())
    expected, loaded = load_token2wav(golden.path)[1], load_token2wav(tmp_path)[1]
    for name, tensor in expected.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_a_speech_tokenizer_with_a_normalised_layer_loads(tmp_path: Path) -> None:
    golden = Golden("speech_tokenizer_tiny")
    state = golden.tensors("model")
    (name,) = [name for name in state if name.endswith("conv1.weight")]
    weight = state.pop(name)
    norm = torch.linalg.vector_norm(weight, dim=(1, 2), keepdim=True)
    save_file(state | {newer_name(f"{name}_g"): norm, newer_name(f"{name}_v"): weight}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes((golden.path / "config.json").read_bytes())
    loaded, expected = load_speech_tokenizer(tmp_path), load_speech_tokenizer(golden.path)
    torch.testing.assert_close(loaded.conv1.weight, expected.conv1.weight)
