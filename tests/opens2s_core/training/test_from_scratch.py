from dataclasses import replace
from pathlib import Path

import pytest
import torch

from opens2s_core.checkpoint.bundle import OPENS2S, SPEECH_TOKENIZER, TOKEN2WAV
from opens2s_core.checkpoint.codebooks import codebook_sizes
from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.opens2s import load_opens2s
from opens2s_core.checkpoint.published import publish
from opens2s_core.training.from_scratch import create_bundle, train_text_tokenizer
from tests.conftest import CODES, TINY


def test_the_tokenizer_spells_any_text_and_compresses_what_it_learned() -> None:
    tokenizer = train_text_tokenizer(["the weather is lovely"] * 20, 300)
    for text in ("the weather is lovely", "你好! 🙂 é", "  two  spaces\n\n"):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text
    assert len(tokenizer.encode("the weather is lovely", add_special_tokens=False)) <= 6


def test_the_same_configuration_makes_the_same_bundle(untrained_voice: Path, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    for name in ("a", "b"):
        create_bundle(TINY, ["some words"], untrained_voice, tmp_path / name)
    assert torch.equal(before, torch.get_rng_state())
    files = [path.relative_to(tmp_path / "a") for path in sorted((tmp_path / "a").rglob("*")) if path.is_file()]
    assert Path(OPENS2S, "model.safetensors") in files
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_speaker_vectors_may_have_another_size(untrained_voice: Path, tmp_path: Path) -> None:
    create_bundle(replace(TINY, speaker_dim=192), ["Hello there."], untrained_voice, tmp_path)
    model = load_opens2s(tmp_path / OPENS2S)
    assert model.config.speaker_dim == 192
    assert model.speech_decoder.embed_speaker(torch.zeros(2, 192)).shape == model.speech_decoder.no_speaker(2).shape
    with pytest.raises(CheckpointError, match="vectors of 192 numbers: the published code expects 512"):
        publish(tmp_path, tmp_path / "published")


def test_the_voice_is_the_one_that_was_given(untrained_voice: Path, tiny_bundle: Path) -> None:
    files = [path.relative_to(untrained_voice) for path in untrained_voice.rglob("*") if path.is_file()]
    assert len(files) == 5
    for file in files:
        assert (tiny_bundle / file).read_bytes() == (untrained_voice / file).read_bytes(), file
    sizes = codebook_sizes(tiny_bundle)
    assert sizes == dict.fromkeys((OPENS2S, SPEECH_TOKENIZER, TOKEN2WAV), CODES)
