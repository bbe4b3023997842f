import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import WhisperFeatureExtractor

from opens2s_core.checkpoint.bundle import OPENS2S, SPEECH_TOKENIZER, TOKEN2WAV, has_chat_template
from opens2s_core.checkpoint.chat_template import chat_template
from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.files import read_json, write_json
from opens2s_core.checkpoint.opens2s import load_opens2s, read_config
from opens2s_core.checkpoint.published import import_published, publish
from opens2s_core.checkpoint.speech_tokenizer import load_speech_tokenizer
from opens2s_core.checkpoint.token2wav import load_token2wav, read_token2wav_config
from opens2s_core.checkpoint.vocabulary import read_vocabulary
from tests.opens2s_core.parity import Golden

EMBEDDING, HEAD = "tts_lm_model.model.embed_tokens.weight", "tts_lm_model.lm_head.weight"


@pytest.fixture(scope="module")
def published(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("published")
    publish(tiny_bundle, directory)
    return directory


def modules(bundle: Path) -> list[nn.Module]:
    opens2s, tokenizer = load_opens2s(bundle / OPENS2S), load_speech_tokenizer(bundle / SPEECH_TOKENIZER)
    return [opens2s, tokenizer, *load_token2wav(bundle / TOKEN2WAV)]


def same(left: nn.Module, right: nn.Module) -> bool:
    a, b = left.state_dict(), right.state_dict()
    return a.keys() == b.keys() and all(a[name].dtype == b[name].dtype and torch.equal(a[name], b[name]) for name in a)


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def bring(published: Path, output: Path) -> None:
    import_published(
        output,
        opens2s=published / OPENS2S,
        speech_tokenizer=published / SPEECH_TOKENIZER,
        token2wav=published / TOKEN2WAV,
        prompt_style="training",
        audio_padding="masked",
    )


def test_there_and_back_gives_the_same_models(tiny_bundle: Path, published: Path, tmp_path: Path) -> None:
    bring(published, tmp_path / "back")
    for ours, back in zip(modules(tiny_bundle), modules(tmp_path / "back"), strict=True):
        assert same(ours, back)
        assert ours.config == back.config
    assert read_token2wav_config(tmp_path / "back" / TOKEN2WAV) == read_token2wav_config(tiny_bundle / TOKEN2WAV)
    publish(tmp_path / "back", tmp_path / "again")
    first, second = files(published), files(tmp_path / "again")
    assert first.keys() == second.keys()
    assert [name for name in first if not name.endswith(".pt") and first[name] != second[name]] == []
    for name in ("flow.pt", "hift.pt"):
        left, right = (torch.load(p / TOKEN2WAV / name, weights_only=True) for p in (published, tmp_path / "again"))
        assert left.keys() == right.keys()
        assert all(torch.equal(left[key], right[key]) for key in left)


def test_published_golden_directories_come_in_and_out_again(tmp_path: Path) -> None:
    goldens = [Golden(f"{name}_tiny").path for name in (OPENS2S, SPEECH_TOKENIZER, TOKEN2WAV)]
    opens2s, tokenizer, token2wav = goldens
    import_published(tmp_path / "bundle", opens2s=opens2s, speech_tokenizer=tokenizer, token2wav=token2wav)
    publish(tmp_path / "bundle", tmp_path / "out")
    import_published(
        tmp_path / "again",
        opens2s=tmp_path / "out" / OPENS2S,
        speech_tokenizer=tmp_path / "out" / SPEECH_TOKENIZER,
        token2wav=tmp_path / "out" / TOKEN2WAV,
    )
    direct = [load_opens2s(opens2s), load_speech_tokenizer(tokenizer), *load_token2wav(token2wav)]
    for given, once, twice in zip(direct, modules(tmp_path / "bundle"), modules(tmp_path / "again"), strict=True):
        assert same(given, once)
        assert same(once, twice)
        assert given.config == once.config == twice.config
    weights = load_file(opens2s / "model.safetensors")
    written = load_file(tmp_path / "out" / OPENS2S / "model.safetensors")
    assert all(torch.equal(written[name], weights[name]) for name in weights)
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "tts/tokenizer.json"):
        assert (tmp_path / "bundle" / OPENS2S / name).read_bytes() == (opens2s / name).read_bytes()
    assert (tmp_path / "out" / OPENS2S / "audio" / "preprocessor_config.json").exists()


def test_tied_heads_are_written_out(tiny_bundle: Path, published: Path) -> None:
    assert HEAD not in load_file(tiny_bundle / OPENS2S / "model.safetensors")
    written = load_file(published / OPENS2S / "model.safetensors")
    assert torch.equal(written[HEAD], written[EMBEDDING])


def test_the_configuration_is_as_transformers_4_wrote_it(published: Path) -> None:
    config, golden = read_json(published / OPENS2S / "config.json"), Golden("opens2s_tiny").values("config")
    assert set(config) == set(golden) - {"transformers_version"} | {
        "audio_padding",
        "prompt_style",
        "transcription_prompt",
    }
    assert config["lora_config"] is None
    assert config["torch_dtype"] == "float32"
    for name in ("audio_encoder_config", "llm_config", "tts_lm_config"):
        assert set(golden[name]) - {"_attn_implementation_autoset", "num_hidden_layers"} <= set(config[name])
        assert not set(config[name]) & {"dtype", "rope_parameters", "layer_types", "transformers_version"}


def test_the_decoder_is_plain_pickles_under_published_names(published: Path) -> None:
    assert sorted(files(published / TOKEN2WAV)) == ["config.yaml", "flow.pt", "hift.pt"]
    names = Golden("token2wav_tiny").tensors("hift")
    state = torch.load(published / TOKEN2WAV / "hift.pt", weights_only=True)
    assert {name.rpartition(".")[2] for name in state} == {name.rpartition(".")[2] for name in names}


def test_the_speech_tokenizer_has_all_that_its_published_code_reads(published: Path) -> None:
    directory = published / SPEECH_TOKENIZER
    assert all(name.startswith("model.encoder.") for name in load_file(directory / "model.safetensors"))
    mel_bins = read_json(directory / "config.json")["num_mel_bins"]
    assert WhisperFeatureExtractor.from_pretrained(directory).feature_size == mel_bins


def test_tokenizers_are_as_transformers_4_reads_them(published: Path) -> None:
    for place in (published / OPENS2S, published / OPENS2S / "tts"):
        values = read_json(place / "tokenizer_config.json")
        assert values["tokenizer_class"] == "PreTrainedTokenizerFast"
        assert isinstance(values.get("extra_special_tokens", {}), dict)
    assert read_vocabulary(published / OPENS2S).units == read_vocabulary(published / OPENS2S).units


def test_the_directory_says_how_the_model_was_trained(tiny_bundle: Path, published: Path) -> None:
    ours, theirs = read_config(tiny_bundle / OPENS2S), read_config(published / OPENS2S)
    assert (ours.prompt_style, ours.audio_padding) == (theirs.prompt_style, theirs.audio_padding)
    assert ours.transcription_prompt == theirs.transcription_prompt != ""


def test_a_tokenizer_without_a_chat_template_gets_that_of_the_prompts(tiny_bundle: Path, published: Path) -> None:
    assert not has_chat_template(tiny_bundle / OPENS2S)
    assert read_json(published / OPENS2S / "tokenizer_config.json")["chat_template"] == chat_template("training")


def test_how_the_model_was_trained_is_stored(published: Path, tmp_path: Path) -> None:
    import_published(tmp_path, opens2s=published / OPENS2S, prompt_style="chat", audio_padding="full")
    config = read_config(tmp_path / OPENS2S)
    assert (config.prompt_style, config.audio_padding) == ("chat", "full")
    other = dataclasses.replace(config, prompt_style="training", audio_padding="masked")
    import_published(tmp_path, opens2s=published / OPENS2S, prompt_style="training", audio_padding="masked")
    assert read_config(tmp_path / OPENS2S) == other


def test_what_is_not_given_is_left_out(tiny_bundle: Path, published: Path, tmp_path: Path) -> None:
    import_published(tmp_path / "in", token2wav=published / TOKEN2WAV)
    assert [path.name for path in (tmp_path / "in").iterdir()] == [TOKEN2WAV]
    publish(tiny_bundle / OPENS2S, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [OPENS2S]


def test_the_source_stays_as_it_is(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    before = files(bundle)
    publish(bundle, tmp_path / "out")
    assert files(bundle) == before


def test_published_end_ids_are_lists_and_licences_go_along(tiny_bundle: Path, tmp_path: Path) -> None:
    source = shutil.copytree(tiny_bundle, tmp_path / "source")
    (source / OPENS2S / "LICENSE").write_text("free")
    shutil.rmtree(source / OPENS2S / "audio")
    for place in (".", "tts"):
        path = source / OPENS2S / place / "generation_config.json"
        write_json(path, read_json(path) | {"eos_token_id": 7})
    publish(source, tmp_path / "out")
    for place in (".", "tts"):
        assert read_json(tmp_path / "out" / OPENS2S / place / "generation_config.json")["eos_token_id"] == [7]
    assert (tmp_path / "out" / OPENS2S / "LICENSE").read_text() == "free"
    extractor = read_json(tmp_path / "out" / OPENS2S / "audio" / "preprocessor_config.json")
    assert extractor["feature_size"] == read_config(source / OPENS2S).audio_encoder.num_mel_bins


def test_a_directory_that_is_none_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "other.json", {})
    with pytest.raises(CheckpointError, match="expected a bundle"):
        publish(tmp_path, tmp_path / "out")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        import_published(tmp_path / "out", opens2s=tmp_path)
