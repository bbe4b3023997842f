import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from opens2s_core.checkpoint import (
    OPENS2S,
    SPEECH_TOKENIZER,
    TOKEN2WAV,
    CheckpointError,
    load_opens2s,
    load_speech_decoder,
    load_speech_tokenizer,
    load_thinker,
    load_token2wav,
    read_bundle_info,
    read_vocabulary,
    save_opens2s,
)
from opens2s_core.config import ConfigError


@pytest.fixture
def opens2s(tiny_bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_bundle / OPENS2S, tmp_path / OPENS2S)


def test_saving_and_loading_is_bit_exact(tiny_bundle: Path, tmp_path: Path) -> None:
    save_opens2s(load_opens2s(tiny_bundle / OPENS2S), tmp_path)
    before = load_file(tiny_bundle / OPENS2S / "model.safetensors")
    after = load_file(tmp_path / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_tied_heads_are_not_saved_and_are_tied_again(opens2s: Path) -> None:
    saved = load_file(opens2s / "model.safetensors")
    assert "llm_model.lm_head.weight" not in saved
    lm = load_thinker(opens2s).llm_model
    assert torch.equal(lm.lm_head.weight, saved["llm_model.model.embed_tokens.weight"])


def test_each_stage_reads_its_part_of_the_whole(opens2s: Path) -> None:
    whole = load_opens2s(opens2s)
    for part, alone in ((whole.thinker, load_thinker(opens2s)), (whole.speech_decoder, load_speech_decoder(opens2s))):
        assert all(torch.equal(value, alone.state_dict()[key]) for key, value in part.state_dict().items())


def test_many_shards_load_as_one(opens2s: Path) -> None:
    whole = load_file(opens2s / "model.safetensors")
    keys = sorted(whole)
    save_file({key: whole[key] for key in keys[::2]}, opens2s / "model-00001-of-00002.safetensors")
    save_file({key: whole[key] for key in keys[1::2]}, opens2s / "model-00002-of-00002.safetensors")
    (opens2s / "model.safetensors").unlink()
    model = load_opens2s(opens2s)
    assert torch.equal(model.speech_decoder.llm2tts.weight, whole["llm2tts.weight"])


def test_missing_unknown_and_misshaped_tensors_are_listed(opens2s: Path) -> None:
    state = load_file(opens2s / "model.safetensors")
    del state["llm2tts.weight"]
    state["llm_ln.bias"] = torch.zeros(3)
    save_file(state, opens2s / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"missing llm2tts.weight; llm_ln.bias has shape \(3,\), expected"):
        load_speech_decoder(opens2s)
    save_file(state | {"surprise": torch.zeros(1)}, opens2s / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"unknown surprise"):
        load_opens2s(opens2s)


def test_unknown_and_missing_settings_are_named(opens2s: Path) -> None:
    config = json.loads((opens2s / "config.json").read_text())
    (opens2s / "config.json").write_text(json.dumps(config | {"surprise": 1}))
    with pytest.raises(ConfigError, match=r"unknown keys .*surprise"):
        load_thinker(opens2s)
    del config["llm_config"]
    (opens2s / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=r"missing keys \['llm_config'\]"):
        load_thinker(opens2s)


def test_an_empty_directory_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_thinker(tmp_path)


def test_units_lie_behind_the_words_of_the_speech_decoder(tiny_bundle: Path) -> None:
    vocabulary = read_vocabulary(tiny_bundle / OPENS2S)
    config = load_speech_decoder(tiny_bundle / OPENS2S).config
    assert vocabulary.units.offset + vocabulary.units.size == config.speech_decoder.vocab_size
    assert len(vocabulary.text_end_ids) == 2


def test_a_bundle_holds_everything_a_reply_needs(tiny_bundle: Path) -> None:
    load_speech_tokenizer(tiny_bundle / SPEECH_TOKENIZER)
    load_token2wav(tiny_bundle / TOKEN2WAV)
    info = read_bundle_info(tiny_bundle)
    assert info.sample_rate == 22050
    assert not info.voice_trained
