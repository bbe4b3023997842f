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
        text_end_ids=_ids(path, "eos_token_id"),
        pad_id=_ids(path, "pad_token_id")[0],
        units=UnitVocabulary(offset, len(units), _unit_end_ids(path / "tts", speech)),
    )


def load_tokenizer(directory: Path) -> PreTrainedTokenizerFast:
    """Of a directory of this machine, and of nothing else. Raises :class:`CheckpointError`."""
    if not (directory / "tokenizer.json").is_file():
        raise CheckpointError(f"{directory}: expected a tokenizer.json in it")
    return PreTrainedTokenizerFast.from_pretrained(str(directory), local_files_only=True)


def _unit_end_ids(directory: Path, tokenizer: PreTrainedTokenizerFast) -> tuple[int, ...]:
    """The tokenizer's own end token first: it is the one that the published training tool puts after the units."""
    ids = _ids(directory, "eos_token_id")
    own = tokenizer.eos_token_id
    return ids if own is None else tuple(dict.fromkeys((own, *ids)))


def _ids(directory: Path, key: str) -> tuple[int, ...]:
    """One id or a list of them, as generation settings hold both."""
    path = directory / "generation_config.json"
    value = read_json(path).get(key)
    ids = value if isinstance(value, list) else [value]
    if not ids or not all(type(one) is int for one in ids):
        raise CheckpointError(f"{path}: {key}: expected an id or a list of ids, got {value!r}")
    return tuple(ids)
