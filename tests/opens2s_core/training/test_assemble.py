import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2AudioConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    WhisperConfig,
    WhisperFeatureExtractor,
)

from opens2s_core.audio import SAMPLE_RATE, Waveform
from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.files import open_tensors, write_tensors
from opens2s_core.checkpoint.opens2s import load_opens2s, load_thinker, read_config
from opens2s_core.checkpoint.vocabulary import read_vocabulary
from opens2s_core.config import ConfigError
from opens2s_core.models.opens2s_config import Interleave
from opens2s_core.prompt import SPEECH_TOKENS, PromptBuilder
from opens2s_core.storage import StorageError
from opens2s_core.training import assemble as assembling
from opens2s_core.training.assemble import AssembleConfig, assemble
from opens2s_core.training.batch import collate
from opens2s_core.training.from_scratch import train_text_tokenizer
from opens2s_core.training.language_model import read_language_model, with_end_token
from opens2s_core.training.objective import Objective
from opens2s_core.training.stages import JOINT
from opens2s_core.training.tokens import add_tokens, add_unit_tokens
from tests.opens2s_core.training.samples import kinds_of_samples

CONFIG = AssembleConfig(units=48, adapter_inner_dim=24)
SPARE_ROWS = 9
MEL_BINS = 80
Edit = Callable[[Path], object]


@dataclass(frozen=True, slots=True)
class Parts:
    audio: Path
    llm: Path
    speech_decoder: Path

    def assemble(self, output: Path, config: AssembleConfig = CONFIG) -> Path:
        assemble(self.audio, self.llm, self.speech_decoder, output, config)
        return output


def tokenizer(*tokens: str) -> PreTrainedTokenizerFast:
    made = train_text_tokenizer(["the weather is lovely today"] * 5, 300)
    add_tokens(made, tokens, special=True)
    return made


def save_language_model(
    path: Path, words: PreTrainedTokenizerFast, *, width: int, tied: bool, dtype: torch.dtype, shard: str = "5GB"
) -> Path:
    """A random Qwen3 with spare rows, as published ones have them."""
    config = Qwen3Config(
        vocab_size=len(words) + SPARE_ROWS,
        hidden_size=width,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        tie_word_embeddings=tied,
        initializer_range=0.05,
        pad_token_id=words.pad_token_id,
    )
    model = Qwen3ForCausalLM(config)
    model.generation_config.eos_token_id = [words.eos_token_id, words.pad_token_id]
    model.generation_config.pad_token_id = words.pad_token_id
    model.generation_config.update(do_sample=True, top_k=20)
    model.to(dtype).save_pretrained(path, max_shard_size=shard)
    words.save_pretrained(path)
    return path


def save_audio(path: Path) -> Path:
    config = Qwen2AudioConfig(
        audio_config={
            "d_model": 32,
            "encoder_layers": 2,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 64,
            "num_mel_bins": MEL_BINS,
        },
        text_config={
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 16,
            "vocab_size": 32,
        },
    )
    Qwen2AudioForConditionalGeneration(config).save_pretrained(path)
    WhisperFeatureExtractor(feature_size=MEL_BINS, return_attention_mask=True).save_pretrained(path)
    return path


@pytest.fixture(scope="module", params=["untied, one file each, fp32", "tied, many shards, bf16"])
def parts(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Parts:
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("parts")
    tied, dtype, shard = (True, torch.bfloat16, "20KB") if "bf16" in request.param else (False, torch.float32, "5GB")
    return Parts(
        save_audio(root / "audio"),
        save_language_model(root / "llm", tokenizer(), width=40, tied=tied, dtype=dtype, shard=shard),
        save_language_model(root / "speech", tokenizer(), width=24, tied=tied, dtype=dtype, shard=shard),
    )


@pytest.fixture(scope="module")
def assembled(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return parts.assemble(tmp_path_factory.mktemp("made") / "opens2s")


@pytest.fixture
def own(parts: Parts, tmp_path: Path) -> Parts:
    """Parts that a test may change."""
    return Parts(
        *(shutil.copytree(path, tmp_path / path.name) for path in (parts.audio, parts.llm, parts.speech_decoder))
    )


def tensors(path: Path) -> dict[str, Tensor]:
    return {name: tensor.read() for name, tensor in open_tensors(path).items()}


def test_every_part_is_in_the_output_in_the_dtype_of_the_llm(parts: Parts, assembled: Path) -> None:
    made, llm, speech = tensors(assembled), tensors(parts.llm), tensors(parts.speech_decoder)
    audio = {name: value for name, value in tensors(parts.audio).items() if name.startswith("audio_tower.")}
    prefixes = (("llm_model.", llm), ("tts_lm_model.", speech))
    wanted = {f"{prefix}{name}": value for prefix, part in prefixes for name, value in part.items()}
    wanted |= {name.replace("audio_tower", "audio_encoder_model"): value for name, value in audio.items()}
    known, dtype = len(tokenizer()), llm["model.embed_tokens.weight"].dtype
    assert {value.dtype for value in made.values()} == {dtype}
    for name, value in wanted.items():
        rows = known if name.endswith(("embed_tokens.weight", "lm_head.weight")) else len(value)
        assert torch.equal(made[name][:rows], value[:rows].to(dtype)), name
    new = {name.split(".")[0] for name in made.keys() - wanted.keys()}
    assert new == {"audio_adapter", "llm2tts", "llm_ln", "tts_lm_model"}


def test_tables_have_a_row_for_every_token_and_no_more(assembled: Path) -> None:
    config, vocabulary, files = read_config(assembled), read_vocabulary(assembled), open_tensors(assembled)
    words = len(tokenizer())
    assert config.llm.vocab_size == len(vocabulary.tokenizer) == words + len(SPEECH_TOKENS)
    assert vocabulary.tokenizer.convert_tokens_to_ids(list(SPEECH_TOKENS)) == list(range(words, words + 4))
    assert (vocabulary.units.offset, vocabulary.units.size) == (words, CONFIG.units)
    assert config.speech_decoder.vocab_size == words + CONFIG.units
    for prefix, rows in (("llm_model.", words + 4), ("tts_lm_model.", words + CONFIG.units)):
        tables = [
            files[name] for name in files if name.startswith(prefix) and name.endswith(("tokens.weight", "head.weight"))
        ]
        assert tables
        assert all(table.shape[0] == rows for table in tables)


def test_new_rows_lie_around_the_mean_of_the_known_ones(parts: Parts, assembled: Path) -> None:
    known = len(tokenizer())
    made = open_tensors(assembled)
    for name in (
        name for name in made if name.startswith("tts_lm_model.") and name.endswith(("tokens.weight", "head.weight"))
    ):
        table = made[name].read().float()
        away = table[known:] - table[:known].mean(0)
        assert abs(float(away.mean())) < 0.01
        assert 0.045 < float(away.std()) < 0.055  # the config's initializer_range
        assert len(torch.unique(away, dim=0)) == CONFIG.units


def test_the_encoder_is_qwen2_audios(parts: Parts, assembled: Path) -> None:
    stock = Qwen2AudioForConditionalGeneration.from_pretrained(parts.audio).model.audio_tower.eval()
    thinker = load_thinker(assembled)
    features = thinker.audio_features([noise(30)])
    dtype = thinker.llm_model.dtype
    with torch.no_grad():
        [ours] = thinker.audio_encoder_model.encode(features)
        theirs = stock.to(dtype)(features.segments.to(dtype)).last_hidden_state[0]
    torch.testing.assert_close(ours, theirs, **({"atol": 1e-6, "rtol": 1e-5} if dtype == torch.float32 else {}))


def noise(seconds: int) -> Waveform:
    return np.random.default_rng(0).normal(0, 0.1, seconds * SAMPLE_RATE).astype(np.float32)


def test_parts_of_several_types_compute_together(parts: Parts, tmp_path: Path) -> None:
    types = {"llm": torch.bfloat16, "speech_decoder": torch.float16}
    mixed = {
        part: save_language_model(tmp_path / part, tokenizer(), width=40, tied=False, dtype=dtype)
        for part, dtype in types.items()
    }
    assert {value.dtype for value in tensors(parts.audio).values()} == {torch.float32}
    model = load_opens2s(replace(parts, **mixed).assemble(tmp_path / "made"))
    with torch.no_grad():
        [audio] = model.thinker.embed_audio(model.thinker.audio_features([noise(1)]))
        hidden = model.thinker.llm_model.model(inputs_embeds=audio[None]).last_hidden_state[0]
        states = model.speech_decoder.embed_hidden_states(hidden)
    assert torch.isfinite(states).all()
    assert audio.dtype == states.dtype == torch.bfloat16


def test_text_is_predicted_as_by_the_llm(parts: Parts, assembled: Path) -> None:
    stock = Qwen3ForCausalLM.from_pretrained(parts.llm).eval()
    ours = load_thinker(assembled).llm_model
    ids = torch.tensor([tokenizer().encode("the weather is lovely today", add_special_tokens=False)])
    known = len(tokenizer())
    with torch.no_grad():
        torch.testing.assert_close(ours(ids).logits[..., :known], stock(ids).logits[..., :known], atol=1e-6, rtol=1e-6)


def test_a_training_step_runs(assembled: Path) -> None:
    model, vocabulary = load_opens2s(assembled).float(), read_vocabulary(assembled)
    samples = kinds_of_samples(PromptBuilder(vocabulary.tokenizer, read_config(assembled).prompt_style))
    sums = Objective(model.train(), JOINT, seed=0)(collate(list(samples.values()), model.config, vocabulary))
    loss = sums["text"] + sums["units"]
    loss.backward()
    assert torch.isfinite(loss)
    trained = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {
        name for name, gradient in trained.items() if gradient is None or not torch.isfinite(gradient).all()
    } == set()


def digests(directory: Path) -> dict[str, str]:
    files = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_same_seed_writes_the_same_bytes_and_leaves_the_parts_alone(
    parts: Parts, assembled: Path, tmp_path: Path
) -> None:
    before, state = digests(parts.llm.parent), torch.get_rng_state()
    torch.manual_seed(7)
    assert digests(parts.assemble(tmp_path / "again")) == digests(assembled)
    assert digests(parts.llm.parent) == before
    torch.set_rng_state(state)


def test_another_seed_gives_other_rows_and_modules(parts: Parts, assembled: Path, tmp_path: Path) -> None:
    one, other = tensors(assembled), tensors(parts.assemble(tmp_path / "other", replace(CONFIG, seed=1)))
    differ = {name for name in one if not torch.equal(one[name], other[name])}
    drawn = {
        "audio_adapter.fc1.weight",
        "llm2tts.weight",
        "tts_lm_model.spk2tts.weight",
        "llm_model.model.embed_tokens.weight",
    }
    assert drawn < differ
    assert not any("layers." in name and "audio_adapter" not in name for name in differ)


def test_settings_are_those_of_the_parts_and_of_the_configuration(
    parts: Parts, assembled: Path, tmp_path: Path
) -> None:
    config, llm = read_config(assembled), Qwen3Config.from_pretrained(parts.llm)
    assert (config.prompt_style, config.audio_padding, config.adapter_inner_dim) == ("training", "full", 24)
    assert (str(config.interleave), config.adapter_kernel_sizes) == ("4:8", (5, 5))
    assert (config.llm.rope_parameters, config.llm.num_hidden_layers) == (llm.rope_parameters, llm.num_hidden_layers)
    for made, part in ((assembled, parts.llm), (assembled / "tts", parts.speech_decoder)):
        read, given = (json.loads((path / "generation_config.json").read_text()) for path in (made, part))
        assert read == given
    extractor = json.loads((assembled / "audio" / "preprocessor_config.json").read_text())
    assert extractor == json.loads((parts.audio / "preprocessor_config.json").read_text())
    chosen = replace(CONFIG, interleave=Interleave(3, 5), adapter_kernel_sizes=(3,), audio_padding="masked")
    other = read_config(parts.assemble(tmp_path / "other", replace(chosen, prompt_style="plain")))
    assert (str(other.interleave), other.adapter_kernel_sizes) == ("3:5", (3,))
    assert (other.audio_padding, other.prompt_style) == ("masked", "plain")
    assert load_opens2s(tmp_path / "other")


def test_speaker_vectors_may_have_another_size(parts: Parts, tmp_path: Path) -> None:
    model = load_opens2s(parts.assemble(tmp_path / "other", replace(CONFIG, speaker_dim=192)))
    assert model.speech_decoder.tts_lm_model.spk2tts.in_features == model.config.speaker_dim == 192


@pytest.mark.parametrize("prefix", ["", "model.audio_tower."])
def test_an_encoder_is_found_alone_and_under_its_newer_name(
    own: Parts, assembled: Path, tmp_path: Path, prefix: str
) -> None:
    tower = Qwen2AudioForConditionalGeneration.from_pretrained(own.audio).model.audio_tower
    if prefix:
        state = {f"{prefix}{name}": value for name, value in tower.state_dict().items()}
        rewrite_tensors(own.audio, state)
    else:
        shutil.rmtree(own.audio)
        tower.save_pretrained(own.audio)  # without the feature extractor
    made = own.assemble(tmp_path / "made")
    assert digests(made)["model.safetensors"] == digests(assembled)["model.safetensors"]
    settings = json.loads((made / "audio" / "preprocessor_config.json").read_text())
    assert (settings["feature_size"], settings["return_attention_mask"]) == (MEL_BINS, True)


def test_a_speech_decoder_with_units_is_taken_as_it_is(parts: Parts, tmp_path: Path) -> None:
    words = tokenizer()
    add_unit_tokens(words, CONFIG.units)
    given = save_language_model(tmp_path / "given", words, width=24, tied=False, dtype=torch.float32)
    made = replace(parts, speech_decoder=given).assemble(tmp_path / "made")
    before, after = tensors(given), tensors(made)
    for name, value in before.items():
        copied = after[f"tts_lm_model.{name}"]
        assert torch.equal(copied, value.to(copied.dtype))
    assert load_opens2s(made).config.speech_decoder.vocab_size == len(words) + SPARE_ROWS
    assert read_vocabulary(made).units.size == CONFIG.units


def test_speech_tokens_of_an_llm_keep_their_rows(parts: Parts, tmp_path: Path) -> None:
    words = tokenizer(*SPEECH_TOKENS)
    given = save_language_model(tmp_path / "given", words, width=40, tied=False, dtype=torch.float32)
    made = tensors(replace(parts, llm=given).assemble(tmp_path / "made"))
    embeddings = tensors(given)["model.embed_tokens.weight"]
    assert torch.equal(made["llm_model.model.embed_tokens.weight"], embeddings[: len(words)])


def test_a_tied_head_that_is_in_the_file_is_left_out(parts: Parts, tmp_path: Path) -> None:
    given = save_language_model(tmp_path / "given", tokenizer(), width=40, tied=True, dtype=torch.float32)
    without_head = replace(parts, llm=given).assemble(tmp_path / "without")
    state = tensors(given)
    rewrite_tensors(given, state | {"lm_head.weight": state["model.embed_tokens.weight"]})
    assert digests(replace(parts, llm=given).assemble(tmp_path / "with")) == digests(without_head)


def test_a_tied_head_with_nan_is_compared_by_its_bits(tmp_path: Path) -> None:
    given = save_language_model(tmp_path / "given", tokenizer(), width=40, tied=True, dtype=torch.float32)
    embeddings = tensors(given)["model.embed_tokens.weight"].clone()
    embeddings[0, 0] = torch.nan
    rewrite_tensors(given, tensors(given) | dict.fromkeys(("model.embed_tokens.weight", "lm_head.weight"), embeddings))
    model = read_language_model(given)
    assert model.config.tie_word_embeddings
    assert "lm_head.weight" not in model.tensors


def test_a_head_that_was_trained_apart_from_its_embeddings_is_kept(parts: Parts, tmp_path: Path) -> None:
    words = tokenizer()
    given = save_language_model(tmp_path / "given", words, width=40, tied=True, dtype=torch.float32)
    head = torch.randn(len(words) + SPARE_ROWS, 40)
    rewrite_tensors(given, tensors(given) | {"lm_head.weight": head})
    made = replace(parts, llm=given).assemble(tmp_path / "made")
    model = load_opens2s(made)
    assert not model.config.llm.tie_word_embeddings
    assert torch.equal(model.thinker.llm_model.lm_head.weight[: len(words)], head[: len(words)])


def test_a_base_model_gets_the_end_of_a_turn_as_an_end_token(own: Parts, tmp_path: Path) -> None:
    words = tokenizer()
    settings = own.llm / "generation_config.json"
    settings.write_text(json.dumps({"eos_token_id": words.pad_token_id}))
    (own.speech_decoder / "generation_config.json").unlink()
    made = own.assemble(tmp_path / "made")
    ends = [json.loads((path / "generation_config.json").read_text())["eos_token_id"] for path in (made, made / "tts")]
    assert ends == [[words.pad_token_id, words.eos_token_id], [words.eos_token_id]]
    vocabulary = read_vocabulary(made)
    assert vocabulary.text_end_ids == (words.pad_token_id, words.eos_token_id)
    assert vocabulary.pad_id == words.pad_token_id
    assert vocabulary.units.end_ids == (words.eos_token_id,)


def test_an_end_token_that_the_tokenizer_lacks_is_refused(parts: Parts) -> None:
    model = read_language_model(parts.llm)
    with pytest.raises(CheckpointError, match=rf"{parts.llm}: expected a tokenizer with the token '<\|nowhere\|>'"):
        with_end_token(model, "<|nowhere|>")


def rewrite_tensors(path: Path, state: dict[str, Tensor]) -> None:
    write_tensors({name: value.clone() for name, value in state.items()}, path)


def without(name: str) -> Edit:
    return lambda path: rewrite_tensors(path, {n: value for n, value in tensors(path).items() if n != name})


def with_extra(path: Path) -> None:
    rewrite_tensors(path, tensors(path) | {"surprise": torch.zeros(1)})


def with_narrow_norm(path: Path) -> None:
    rewrite_tensors(path, tensors(path) | {"model.norm.weight": torch.zeros(3)})


def as_qwen2(path: Path) -> None:
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
    Qwen2ForCausalLM(Qwen2Config(vocab_size=32, num_hidden_layers=1, **sizes)).save_pretrained(path)


def as_whisper(path: Path) -> None:
    WhisperConfig().save_pretrained(path)


def with_other_hop(path: Path) -> None:
    WhisperFeatureExtractor(feature_size=MEL_BINS, hop_length=200).save_pretrained(path)


def with_settings(**changes: object) -> Edit:
    def edit(path: Path) -> None:
        values = json.loads((path / "config.json").read_text())
        values.get("audio_config", values).update(changes)
        (path / "config.json").write_text(json.dumps(values))

    return edit


def with_many_tokens(path: Path) -> None:
    words = tokenizer(*(f"<|extra_{i}|>" for i in range(SPARE_ROWS + 1)))
    words.save_pretrained(path)


def without_think_tokens(path: Path) -> None:
    text = (path / "tokenizer.json").read_text()
    (path / "tokenizer.json").write_text(text.replace("think>", "thought>"))


def with_generation(**changes: object) -> Edit:
    def edit(path: Path) -> None:
        values = json.loads((path / "generation_config.json").read_text())
        (path / "generation_config.json").write_text(json.dumps(values | changes))

    return edit


def without_file(name: str) -> Edit:
    return lambda path: (path / name).unlink()


WRONG_PARTS: list[tuple[str, Edit, str]] = [
    ("llm", as_qwen2, r"llm.config\.json.*expected 'qwen3', got 'qwen2'"),
    ("speech", as_qwen2, r"speech.config\.json.*expected 'qwen3', got 'qwen2'"),
    ("audio", as_whisper, r"audio.config\.json.*expected 'qwen2_audio_encoder', got 'whisper'"),
    ("llm", without("model.norm.weight"), r"llm: missing model\.norm\.weight"),
    ("speech", with_extra, "speech: unknown surprise"),
    ("speech", with_narrow_norm, r"model\.norm\.weight has shape \(3,\), expected \(24,\)"),
    ("audio", without("audio_tower.conv1.bias"), r"audio: missing conv1\.bias"),
    ("audio", with_other_hop, r"expected a feature extractor with .*'hop_length': 160.*got {'hop_length': 200}"),
    ("llm", without_file("tokenizer.json"), r"llm: expected a tokenizer\.json"),
    ("speech", without_file("tokenizer.json"), r"speech: expected a tokenizer\.json"),
    ("llm", without_file("config.json"), r"llm.config\.json"),
    ("llm", with_many_tokens, r"llm: expected a row for each of \d+ tokens, got \d+ rows"),
    ("audio", with_settings(encoder_attention_heads=5), r"audio.config\.json.*expected a multiple of .* 5, got 32"),
    ("llm", with_settings(num_key_value_heads=3), r"llm.config\.json.*expected a multiple of .* 3, got 4"),
    ("llm", with_settings(quantization_config={"bits": 4}), r"llm.config\.json.*not quantized, got {'bits': 4}"),
    ("llm", with_generation(eos_token_id=[0, 999]), r"llm: eos_token_id: expected .* from 0 to \d+, got \[0, 999\]"),
    ("speech", with_generation(eos_token_id="end"), r"speech: eos_token_id: expected .*, got 'end'"),
    ("llm", with_generation(pad_token_id=-1), r"llm: pad_token_id: expected .*, got -1"),
    ("llm", without_think_tokens, r"llm: prompt style 'training': .*<think>"),
]


@pytest.mark.parametrize(("part", "edit", "message"), WRONG_PARTS)
def test_a_part_with_an_error_is_named_and_nothing_is_written(
    own: Parts, tmp_path: Path, part: str, edit: Edit, message: str
) -> None:
    edit(tmp_path / part)
    with pytest.raises((CheckpointError, ConfigError), match=message):
        own.assemble(tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_an_llm_without_think_tokens_can_use_the_plain_style(own: Parts, tmp_path: Path) -> None:
    without_think_tokens(own.llm)
    assert read_config(own.assemble(tmp_path / "made", replace(CONFIG, prompt_style="plain"))).prompt_style == "plain"


@pytest.mark.parametrize("kernel_sizes", [(), (0,)])
def test_an_adapter_that_could_not_be_loaded_is_refused(
    parts: Parts, tmp_path: Path, kernel_sizes: tuple[int, ...]
) -> None:
    with pytest.raises(ConfigError, match="conv_kernel_sizes"):
        parts.assemble(tmp_path / "made", replace(CONFIG, adapter_kernel_sizes=kernel_sizes))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("place", [".", "llm", "llm/inside"])
def test_the_output_must_not_overlap_a_part(own: Parts, tmp_path: Path, place: str) -> None:
    before = digests(tmp_path)
    with pytest.raises(StorageError, match="expected a directory that neither contains nor lies in"):
        own.assemble(tmp_path / place)
    assert digests(tmp_path) == before


def test_an_interrupted_run_leaves_what_was_there(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "old").touch()

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(assembling, "write_opens2s", fail)
    with pytest.raises(OSError, match="no space left"):
        parts.assemble(tmp_path / "made")
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["old"]
