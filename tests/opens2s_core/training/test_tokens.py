import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.vocabulary import load_tokenizer, table_rows
from opens2s_core.prompt import SPEECH_TOKENS
from opens2s_core.training.from_scratch import train_text_tokenizer
from opens2s_core.training.tokens import add_tokens, add_unit_tokens

TEXT = "hello <think> <|im_tts_start|>there<|im_tts_end|><|audio_3|>"


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A tokenizer whose settings list its added tokens, as published ones do."""
    path = tmp_path / "published"
    tokenizer = train_text_tokenizer(["hello there"] * 5, 280)
    tokenizer.save_pretrained(path)
    added = {
        str(token_id): {"content": token.content, "normalized": False, "special": token.special}
        for token_id, token in tokenizer.added_tokens_decoder.items()
    }
    settings = {
        "added_tokens_decoder": added,
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
        "chat_template": "{{ messages }}",
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "pad_token": "<|endoftext|>",
        "tokenizer_class": "Qwen2Tokenizer",
    }
    (path / "tokenizer_config.json").write_text(json.dumps(settings))
    return path


def test_tokens_are_added_behind_all_others_and_only_once(published: Path) -> None:
    tokenizer = load_tokenizer(published)
    known = table_rows(tokenizer)
    for _ in range(2):
        add_tokens(tokenizer, SPEECH_TOKENS, special=True)
        assert tokenizer.convert_tokens_to_ids(list(SPEECH_TOKENS)) == list(range(known, known + 4))
    assert table_rows(tokenizer) == len(tokenizer) == known + 4


def test_units_are_added_once(published: Path) -> None:
    tokenizer = load_tokenizer(published)
    known = table_rows(tokenizer)
    assert add_unit_tokens(tokenizer, 6)
    assert tokenizer.convert_tokens_to_ids([f"<|audio_{unit}|>" for unit in range(6)]) == list(range(known, known + 6))
    assert not add_unit_tokens(tokenizer, 6)
    with pytest.raises(CheckpointError, match=r"no unit tokens, or 7 consecutive ones from <\|audio_0\|> on, got 6"):
        add_unit_tokens(tokenizer, 7)


def test_units_out_of_order_are_refused(published: Path) -> None:
    tokenizer = load_tokenizer(published)
    add_tokens(tokenizer, ("<|audio_1|>", "<|audio_0|>"), special=True)
    with pytest.raises(CheckpointError, match=r"got 2 from <\|audio_1\|> on"):
        add_unit_tokens(tokenizer, 2)


def test_a_count_of_no_units_is_refused(published: Path) -> None:
    with pytest.raises(ValueError, match="expected one unit or more, got 0"):
        add_unit_tokens(load_tokenizer(published), 0)


@pytest.mark.parametrize("reader", [AutoTokenizer, PreTrainedTokenizerFast])
def test_every_reader_finds_the_tokens_of_a_saved_tokenizer(
    published: Path, tmp_path: Path, reader: type[AutoTokenizer] | type[PreTrainedTokenizerFast]
) -> None:
    tokenizer = load_tokenizer(published)
    add_tokens(tokenizer, SPEECH_TOKENS, special=True)
    add_unit_tokens(tokenizer, 6)
    tokenizer.save_pretrained(tmp_path / "saved")
    saved = reader.from_pretrained(str(tmp_path / "saved"))
    assert saved.encode(TEXT) == tokenizer.encode(TEXT)
    assert saved.added_tokens_encoder == tokenizer.added_tokens_encoder
    assert saved.decode(saved.encode(TEXT), skip_special_tokens=True) == "hello <think> there"
    assert saved.chat_template == tokenizer.chat_template == "{{ messages }}"
    assert (saved.eos_token, saved.pad_token) == ("<|im_end|>", "<|endoftext|>")


def test_a_directory_without_a_tokenizer_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"expected a tokenizer\.json"):
        load_tokenizer(tmp_path)
