import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from opens2s_core.checkpoint.bundle import read_bundle_info
from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.files import read_json, write_json
from opens2s_core.checkpoint.voices import load_voices, save_voices
from opens2s_core.prompt import SPEAKER_DIM


def vector(seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 1, SPEAKER_DIM).astype(np.float32)


def test_voices_are_read_as_they_were_written(tmp_path: Path) -> None:
    save_voices({"zoe": vector(0), "Anna-2": vector(1)}, tmp_path)
    voices = load_voices(tmp_path)
    assert list(voices) == ["Anna-2", "zoe"]
    np.testing.assert_array_equal(voices["zoe"], vector(0))
    save_voices({"ben": vector(2)}, tmp_path)
    assert list(load_voices(tmp_path)) == ["ben"]


def test_the_vectors_have_the_size_that_the_model_reads(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    config = bundle / "opens2s" / "config.json"
    write_json(config, read_json(config) | {"speaker_dim": 192})
    with pytest.raises(CheckpointError, match=r"voice 'zoe': expected float32 of shape \(192,\), got .* \(512,\)"):
        save_voices({"zoe": vector()}, bundle)
    save_voices({"zoe": vector()[:192]}, bundle)
    assert load_voices(bundle)["zoe"].shape == (192,)
    write_json(config, read_json(config) | {"speaker_dim": 512})
    with pytest.raises(CheckpointError, match=r"expected float32 of shape \(512,\), got .* \(192,\)"):
        load_voices(bundle)


def test_a_bundle_without_the_file_has_no_named_voices(tmp_path: Path) -> None:
    assert load_voices(tmp_path) == {}


def test_a_bundle_lists_its_voices(tiny_bundle: Path, tmp_path: Path) -> None:
    assert read_bundle_info(tiny_bundle).voices == ()
    (tmp_path / "token2wav").symlink_to(tiny_bundle / "token2wav")
    save_voices({"zoe": vector(0), "anna": vector(1)}, tmp_path)
    assert read_bundle_info(tmp_path).voices == ("anna", "zoe")


@pytest.mark.parametrize("name", ["", "a b", "ä", "a/b", "x" * 65, "default"])
def test_a_name_that_is_not_valid_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match="expected a name of 1 to 64 letters"):
        save_voices({"good": vector(), name: vector()}, tmp_path)
    assert not list(tmp_path.iterdir())
    save_file({name: torch.zeros(SPEAKER_DIM)}, tmp_path / "voices.safetensors")
    with pytest.raises(CheckpointError, match=r"voices\.safetensors: voice .*: expected a name of 1 to 64 letters"):
        load_voices(tmp_path)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (torch.zeros(256), r"got torch\.float32 of \(256,\)"),
        (torch.zeros(1, SPEAKER_DIM), r"got torch\.float32 of \(1, 512\)"),
        (torch.zeros(SPEAKER_DIM, dtype=torch.float16), r"got torch\.float16 of \(512,\)"),
        (torch.full((SPEAKER_DIM,), torch.inf), "expected finite numbers, got inf"),
    ],
)
def test_a_vector_that_is_not_valid_is_refused(tmp_path: Path, values: torch.Tensor, expected: str) -> None:
    with pytest.raises(CheckpointError, match=f"voice 'zoe': .*{expected}"):
        save_voices({"zoe": values.numpy()}, tmp_path)
    save_file({"zoe": values}, tmp_path / "voices.safetensors")
    with pytest.raises(CheckpointError, match=f"voice 'zoe': .*{expected}"):
        load_voices(tmp_path)


def test_a_file_that_is_damaged_is_refused(tmp_path: Path) -> None:
    (tmp_path / "voices.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"voices\.safetensors: expected a safetensors file"):
        load_voices(tmp_path)
