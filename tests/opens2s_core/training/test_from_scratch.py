from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from opens2s_core.checkpoint import OPENS2S, SPEECH_TOKENIZER, load_speech_tokenizer
from opens2s_core.training.from_scratch import create_bundle, train_text_tokenizer
from tests.conftest import TINY

NOISE = [np.random.default_rng(0).normal(0, 0.1, 160_000).astype(np.float32)]


def test_the_tokenizer_spells_any_text_and_compresses_what_it_learned() -> None:
    tokenizer = train_text_tokenizer(["the weather is lovely"] * 20, 300)
    for text in ("the weather is lovely", "你好! 🙂 é", "  two  spaces\n\n"):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text
    assert len(tokenizer.encode("the weather is lovely", add_special_tokens=False)) <= 6


def test_the_same_configuration_makes_the_same_bundle(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    for name in ("a", "b"):
        create_bundle(TINY, ["some words"], NOISE, tmp_path / name)
    assert torch.equal(before, torch.get_rng_state())
    files = [path.relative_to(tmp_path / "a") for path in sorted((tmp_path / "a").rglob("*")) if path.is_file()]
    assert Path(OPENS2S, "model.safetensors") in files
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_the_codebook_is_drawn_from_the_recordings(tiny_bundle: Path) -> None:
    tokenizer = load_speech_tokenizer(tiny_bundle / SPEECH_TOKENIZER)
    [units] = tokenizer.encode(NOISE)
    assert len(set(units)) > len(tokenizer.codebook.weight) / 2


def test_too_little_speech_for_the_codebook_is_said(tmp_path: Path) -> None:
    config = replace(TINY, seed=1)
    with pytest.raises(ValueError, match="13 units of recorded speech cannot fill a codebook of 64"):
        create_bundle(config, ["some words"], [NOISE[0][:16_000]], tmp_path)
