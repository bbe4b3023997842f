"""Tokenizers and end ids of an OpenS2S directory."""

import re
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.files import read_json
from opens2s_core.models.speech_decoder import UnitVocabulary

_UNIT_TOKEN = re.compile(r"<\|audio_(\d+)\|>")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The text tokenizer and special ids of an OpenS2S directory."""

    tokenizer: PreTrainedTokenizerFast
    text_end_ids: tuple[int, ...]
    pad_id: int
    units: UnitVocabulary


def read_vocabulary(directory: str | Path) -> Vocabulary:
    """Tokenizer, end ids and unit range of an OpenS2S directory. Raises :class:`CheckpointError`."""
    path = Path(directory)
    tokenizer, speech = load_tokenizer(path), load_tokenizer(path / "tts")
    units = {
        int(match[1]): token_id
        for token, token_id in speech.added_tokens_encoder.items()
        if (match := _UNIT_TOKEN.fullmatch(token))
    }
    offset = units.get(0, -1)
    if not units or units != {code: offset + code for code in range(len(units))}:
        raise CheckpointError(f"{path / 'tts'}: expected tokens <|audio_0|>, <|audio_1|>, … in a row, got {len(units)}")
    return Vocabulary(
        tokenizer=tokenizer,
        text_end_ids=_ids(path, "eos_token_id", tokenizer),
        pad_id=_ids(path, "pad_token_id", tokenizer)[0],
        units=UnitVocabulary(offset, len(units), _unit_end_ids(path / "tts", speech)),
    )


def load_tokenizer(directory: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a local directory; nothing is downloaded. Raises :class:`CheckpointError`."""
    if not (directory / "tokenizer.json").is_file():
        raise CheckpointError(f"{directory}: expected a tokenizer.json in it")
    return PreTrainedTokenizerFast.from_pretrained(str(directory), local_files_only=True)


def _unit_end_ids(directory: Path, tokenizer: PreTrainedTokenizerFast) -> tuple[int, ...]:
    """The tokenizer's end token comes first: the published training tool puts it after the units."""
    ids = _ids(directory, "eos_token_id", tokenizer)
    own = tokenizer.eos_token_id
    return ids if own is None else tuple(dict.fromkeys((own, *ids)))


def _ids(directory: Path, key: str, tokenizer: PreTrainedTokenizerFast) -> tuple[int, ...]:
    path = directory / "generation_config.json"
    return token_ids(read_json(path).get(key), tokenizer, f"{path}: {key}")


def token_ids(value: object, tokenizer: PreTrainedTokenizerFast, where: str) -> tuple[int, ...]:
    """An id or a list of ids, as generation settings hold both. Raises :class:`CheckpointError` for anything but ids
    of the tokenizer."""
    ids, rows = value if isinstance(value, list) else [value], table_rows(tokenizer)
    if not ids or not all(type(one) is int and 0 <= one < rows for one in ids):
        raise CheckpointError(f"{where}: expected an id or a list of ids from 0 to {rows - 1}, got {value!r}")
    return tuple(ids)


def table_rows(tokenizer: PreTrainedTokenizerFast) -> int:
    """Rows of the smallest embedding table that has one for every token."""
    return max(tokenizer.get_vocab().values()) + 1
