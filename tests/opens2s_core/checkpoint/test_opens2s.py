import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import Qwen2AudioEncoderConfig, Qwen3Config

from opens2s_core.checkpoint.bundle import (
    OPENS2S,
    SPEECH_TOKENIZER,
    TOKEN2WAV,
    UNITS_PER_TOKEN,
    opens2s_directory,
    read_bundle_info,
)
from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.files import read_json, write_json, write_tensors
from opens2s_core.checkpoint.opens2s import (
    load_opens2s,
    load_speech_decoder,
    load_state,
    load_thinker,
    read_config,
    save_opens2s,
)
from opens2s_core.checkpoint.speech_tokenizer import load_speech_tokenizer
from opens2s_core.checkpoint.token2wav import load_token2wav
from opens2s_core.checkpoint.vocabulary import load_tokenizer, read_vocabulary, table_rows
from opens2s_core.config import ConfigError
from opens2s_core.models.lora import LoraSettings, add_lora, merge_lora
from opens2s_core.models.opens2s import OpenS2S
from opens2s_core.models.opens2s_config import OpenS2SConfig
from tests.opens2s_core.parity import Golden

HEADS = {
    "llm_model.lm_head.weight": "llm_model.model.embed_tokens.weight",
    "tts_lm_model.lm_head.weight": "tts_lm_model.model.embed_tokens.weight",
}


def small(*, llm_tied: bool = False, speech_tied: bool = False) -> OpenS2S:
    """One layer each, random everywhere."""

    def qwen3(tied: bool) -> Qwen3Config:
        sizes = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2, "num_key_value_heads": 1}
        return Qwen3Config(vocab_size=12, num_hidden_layers=1, head_dim=4, tie_word_embeddings=tied, **sizes)

    audio = Qwen2AudioEncoderConfig(
        d_model=8, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=8, num_mel_bins=8
    )
    config = OpenS2SConfig(
        audio_encoder=audio, llm=qwen3(llm_tied), speech_decoder=qwen3(speech_tied), adapter_inner_dim=4
    )
    model = OpenS2S(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model.eval()


def state_of(directory: Path) -> dict[str, Tensor]:
    files: dict[str, Tensor] = {}
    for path in directory.glob("model*.safetensors"):
        files |= load_file(path)
    return files


def same(left: OpenS2S, right: OpenS2S) -> bool:
    a, b = left.state_dict(), right.state_dict()
    return a.keys() == b.keys() and all(a[name].dtype == b[name].dtype and torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def opens2s(tiny_bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_bundle / OPENS2S, tmp_path / OPENS2S)


@pytest.mark.parametrize("llm_tied", [True, False])
@pytest.mark.parametrize("speech_tied", [True, False])
@pytest.mark.parametrize("max_bytes", [5 * 10**9, 600])
def test_saving_and_loading_is_bit_exact(tmp_path: Path, llm_tied: bool, speech_tied: bool, max_bytes: int) -> None:
    model = small(llm_tied=llm_tied, speech_tied=speech_tied).bfloat16()
    model.thinker.audio_adapter.float()
    save_opens2s(model, tmp_path / "first")
    first = state_of(tmp_path / "first")
    write_tensors(first, tmp_path / "first", max_bytes=max_bytes)
    assert (len(list((tmp_path / "first").glob("*.safetensors"))) > 1) == (max_bytes == 600)
    loaded = load_opens2s(tmp_path / "first")
    assert same(loaded, model)
    assert loaded.config == model.config
    save_opens2s(loaded, tmp_path / "second")
    second = state_of(tmp_path / "second")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert read_json(tmp_path / "first" / "config.json") == read_json(tmp_path / "second" / "config.json")


def test_the_golden_directory_loads_as_it_is() -> None:
    golden = Golden("opens2s_tiny")
    published, config = golden.tensors("model"), golden.values("config")
    model = load_opens2s(golden.path)
    assert not model.training
    for part in (model.thinker, model.speech_decoder):
        for name, tensor in part.state_dict().items():
            assert torch.equal(tensor, published[name if name in published else HEADS[name]])
    assert str(model.config.interleave) == config["interleave_strategy"]
    assert model.config.llm.rope_parameters["rope_theta"] == config["llm_config"]["rope_theta"]


def test_nothing_is_left_without_a_value(tmp_path: Path) -> None:
    made = small(speech_tied=True)
    save_opens2s(made, tmp_path)
    model = load_opens2s(tmp_path)
    assert not any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    buffers = dict(made.named_buffers())
    assert buffers
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in model.named_buffers())
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert frozen == [name for name, parameter in made.named_parameters() if not parameter.requires_grad]


def test_tied_heads_are_not_saved_and_are_tied_again(tmp_path: Path) -> None:
    save_opens2s(small(speech_tied=True), tmp_path)
    saved = state_of(tmp_path)
    assert "tts_lm_model.lm_head.weight" not in saved
    assert "llm_model.lm_head.weight" in saved
    lm = load_opens2s(tmp_path).speech_decoder.tts_lm_model
    assert lm.lm_head.weight is lm.model.embed_tokens.weight
    assert torch.equal(lm.lm_head.weight, saved["tts_lm_model.model.embed_tokens.weight"])


def test_a_tied_head_that_is_there_is_used(tmp_path: Path) -> None:
    save_opens2s(small(speech_tied=True), tmp_path)
    saved = state_of(tmp_path)
    embedding = saved["tts_lm_model.model.embed_tokens.weight"]
    write_tensors(saved | {"tts_lm_model.lm_head.weight": embedding.clone()}, tmp_path)
    lm = load_opens2s(tmp_path).speech_decoder.tts_lm_model
    assert lm.lm_head.weight is lm.model.embed_tokens.weight
    write_tensors(saved | {"tts_lm_model.lm_head.weight": embedding + 1}, tmp_path)
    model = load_opens2s(tmp_path)
    assert torch.equal(model.speech_decoder.tts_lm_model.lm_head.weight, embedding + 1)
    assert torch.equal(model.speech_decoder.tts_lm_model.model.embed_tokens.weight, embedding)
    save_opens2s(model, tmp_path / "again")
    assert same(load_opens2s(tmp_path / "again"), model)


def test_a_tied_head_with_nan_is_compared_by_its_bits(tmp_path: Path) -> None:
    save_opens2s(small(speech_tied=True), tmp_path)
    saved = state_of(tmp_path)
    embedding = saved["tts_lm_model.model.embed_tokens.weight"]
    embedding[0, 0] = torch.nan
    write_tensors(saved | {"tts_lm_model.lm_head.weight": embedding.clone()}, tmp_path)
    lm = load_opens2s(tmp_path).speech_decoder.tts_lm_model
    assert lm.lm_head.weight is lm.model.embed_tokens.weight
    write_tensors(saved | {"tts_lm_model.lm_head.weight": embedding.double()}, tmp_path)
    assert load_opens2s(tmp_path).speech_decoder.tts_lm_model.lm_head.weight.dtype == torch.float64


def test_an_absent_head_that_is_not_tied_is_missing(tmp_path: Path) -> None:
    save_opens2s(small(), tmp_path)
    saved = state_of(tmp_path)
    del saved["llm_model.lm_head.weight"]
    write_tensors(saved, tmp_path)
    with pytest.raises(CheckpointError, match=r"missing llm_model\.lm_head\.weight"):
        load_opens2s(tmp_path)


def test_weights_keep_their_types_unless_another_is_asked_for(tmp_path: Path) -> None:
    model = small(speech_tied=True).bfloat16()
    model.speech_decoder.llm2tts.half()
    save_opens2s(model, tmp_path)
    assert read_json(tmp_path / "config.json")["torch_dtype"] == "bfloat16"
    assert {p.dtype for p in load_thinker(tmp_path).parameters()} == {torch.bfloat16}
    assert {p.dtype for p in load_speech_decoder(tmp_path).parameters()} == {torch.bfloat16, torch.float16}
    whole = load_opens2s(tmp_path, dtype=torch.float32)
    assert {p.dtype for p in whole.parameters()} == {torch.float32}
    assert same(whole, load_opens2s(tmp_path).float())


def test_weights_are_neither_drawn_nor_copied(tmp_path: Path) -> None:
    save_opens2s(small(), tmp_path)
    config, rows = read_json(tmp_path / "config.json"), 2**19
    for name in ("llm_config", "tts_lm_config"):
        config[name]["vocab_size"] = rows
    write_json(tmp_path / "config.json", config)
    large = {name: torch.zeros(rows, 8) for pair in HEADS.items() for name in pair}
    write_tensors(state_of(tmp_path) | large, tmp_path)
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert size > sum(tensor.nbytes for tensor in large.values())
    before = own_memory()
    model = load_opens2s(tmp_path)
    assert own_memory() - before < size / 8  # all else lies in the file, to which the parameters are mapped
    assert not model.thinker.llm_model.lm_head.weight.any()


def own_memory() -> int:
    """Bytes of this process that no file holds."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"RssAnon:\s+(\d+) kB", status)[1])  # type: ignore[index]


def test_a_saved_model_may_replace_the_one_it_was_loaded_from(tmp_path: Path) -> None:
    save_opens2s(small(), tmp_path)
    model = load_opens2s(tmp_path)
    with torch.no_grad():
        model.thinker.audio_adapter.fc1.weight += 1
    save_opens2s(model, tmp_path)
    assert same(load_opens2s(tmp_path), model)


def test_weights_of_a_training_run_take_the_place_of_those_it_started_from(tmp_path: Path) -> None:
    save_opens2s(small(speech_tied=True), tmp_path)
    trained = small(speech_tied=True)
    model = load_state(tmp_path, trained.state_dict())
    assert same(model, trained)
    assert model.config == trained.config
    with pytest.raises(CheckpointError, match=r"missing audio_adapter.*; unknown step"):
        load_state(tmp_path, {"step": torch.ones(1)})


def test_each_stage_reads_its_part_of_the_whole(opens2s: Path) -> None:
    whole = load_opens2s(opens2s)
    for part, alone in ((whole.thinker, load_thinker(opens2s)), (whole.speech_decoder, load_speech_decoder(opens2s))):
        assert all(torch.equal(value, alone.state_dict()[key]) for key, value in part.state_dict().items())


def test_missing_unknown_and_misshaped_tensors_of_the_whole_directory_are_listed_together(opens2s: Path) -> None:
    state = load_file(opens2s / "model.safetensors")
    del state["llm2tts.weight"]
    del state["audio_adapter.ln.bias"]
    state |= {"llm_ln.bias": torch.zeros(3), "surprise": torch.zeros(1)}
    save_file(state, opens2s / "model.safetensors")
    expected = (
        r"missing audio_adapter\.ln\.bias; missing llm2tts\.weight; unknown surprise; llm_ln\.bias has shape \(3,\)"
    )
    loads: list[Any] = [load_opens2s, load_thinker, load_speech_decoder]
    for load in loads:
        with pytest.raises(CheckpointError, match=expected):
            load(opens2s)


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
    assert info.units_per_token == UNITS_PER_TOKEN
    assert not info.voice_trained


def test_a_bundle_carries_the_units_per_token_of_its_training_data(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    model = load_opens2s(bundle / OPENS2S)
    model.config = replace(model.config, units_per_token=2.25)
    save_opens2s(model, bundle / OPENS2S)
    assert load_opens2s(bundle / OPENS2S).config.units_per_token == 2.25
    assert read_bundle_info(bundle).units_per_token == 2.25
    assert "units_per_token" not in model.config.published()


def test_a_bundle_names_the_prompt_by_which_it_was_trained_to_transcribe(tiny_bundle: Path, tmp_path: Path) -> None:
    model = load_opens2s(tiny_bundle / OPENS2S)
    bundle = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    for prompt in ("Write what you hear: ", ""):
        model.config = replace(model.config, transcription_prompt=prompt)
        save_opens2s(model, bundle / OPENS2S)
        assert read_bundle_info(bundle).transcription_prompt == prompt


@pytest.mark.parametrize("value", [0, -1.5, "3", True, float("inf")])
def test_units_per_token_are_a_number_above_0(opens2s: Path, value: object) -> None:
    write_json(opens2s / "config.json", read_json(opens2s / "config.json") | {"units_per_token": value})
    with pytest.raises(ConfigError, match="units_per_token: expected a number above 0"):
        load_thinker(opens2s)


def test_the_model_of_a_bundle_is_found_in_it(opens2s: Path) -> None:
    assert opens2s_directory(opens2s) == opens2s
    assert opens2s_directory(opens2s.parent) == opens2s
    with pytest.raises(CheckpointError, match=r"expected a bundle with opens2s/config\.json"):
        opens2s_directory(opens2s / "tts" / "nowhere")


@pytest.mark.parametrize("ids", [None, [], "3", [1, None]])
def test_end_ids_must_be_numbers(opens2s: Path, ids: Any) -> None:
    path = opens2s / "tts" / "generation_config.json"
    write_json(path, read_json(path) | {"eos_token_id": ids})
    with pytest.raises(CheckpointError, match="eos_token_id: expected an id or a list of ids"):
        read_vocabulary(opens2s)


@pytest.mark.parametrize("place", [".", "tts"])
@pytest.mark.parametrize("outside", [-1, 2**40, "rows"])
def test_end_ids_must_be_ids_of_the_tokenizer(opens2s: Path, place: str, outside: Any) -> None:
    path = opens2s / place / "generation_config.json"
    rows = table_rows(load_tokenizer(opens2s / place))
    outside = rows if outside == "rows" else outside
    write_json(path, read_json(path) | {"eos_token_id": [rows - 1, outside]})
    with pytest.raises(CheckpointError, match=rf"eos_token_id: expected .* from 0 to {rows - 1}, got .*{outside}\]"):
        read_vocabulary(opens2s)


def test_one_end_id_is_as_good_as_a_list_of_one(opens2s: Path) -> None:
    path = opens2s / "generation_config.json"
    write_json(path, read_json(path) | {"eos_token_id": 5})
    assert read_vocabulary(opens2s).text_end_ids == (5,)


def test_the_end_token_of_the_unit_tokenizer_comes_first(opens2s: Path) -> None:
    path = opens2s / "tts" / "generation_config.json"
    own, other = read_vocabulary(opens2s).units.end_ids
    write_json(path, read_json(path) | {"eos_token_id": [other, own]})
    assert read_vocabulary(opens2s).units.end_ids == (own, other)


def test_a_model_with_lora_attached_is_merged_before_it_is_saved(opens2s: Path, tmp_path: Path) -> None:
    model = load_opens2s(opens2s)
    add_lora(model.thinker, LoraSettings(), seed=0)
    with pytest.raises(ValueError, match="merge it first"):
        save_opens2s(model, tmp_path / "new")
    merge_lora(model.thinker)
    save_opens2s(model, tmp_path / "new")
    assert load_file(tmp_path / "new" / "model.safetensors").keys() == load_file(opens2s / "model.safetensors").keys()


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
def test_quantised_weights_are_refused(opens2s: Path, dtype: torch.dtype) -> None:
    state = load_file(opens2s / "model.safetensors")
    save_file(state | {"llm2tts.weight": state["llm2tts.weight"].to(dtype)}, opens2s / "model.safetensors")
    with pytest.raises(CheckpointError, match=rf"llm2tts\.weight is {dtype}, expected one of"):
        load_opens2s(opens2s, torch.float32)


def test_what_was_trained_takes_the_types_of_what_it_began_with(opens2s: Path) -> None:
    state = load_file(opens2s / "model.safetensors")
    save_file(state | {"llm2tts.weight": state["llm2tts.weight"].bfloat16()}, opens2s / "model.safetensors")
    trained = {name: tensor + 1 for name, tensor in load_opens2s(opens2s, torch.float32).state_dict().items()}
    model = load_state(opens2s, trained)
    assert model.speech_decoder.llm2tts.weight.dtype == torch.bfloat16
    assert model.speech_decoder.llm_ln.weight.dtype == torch.float32
    assert torch.equal(model.speech_decoder.llm_ln.weight, trained["speech_decoder.llm_ln.weight"])


@pytest.mark.parametrize("place", [".", "tts"])
def test_a_tokenizer_is_looked_for_in_its_directory_alone(opens2s: Path, place: str) -> None:
    (opens2s / place / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"expected a tokenizer\.json in it"):
        read_vocabulary(opens2s)


def test_reading_the_configuration_alone_needs_no_weights(opens2s: Path) -> None:
    (opens2s / "model.safetensors").unlink()
    assert read_config(opens2s).prompt_style == "training"
    with pytest.raises(CheckpointError, match=r"expected model\.safetensors"):
        load_thinker(opens2s)
