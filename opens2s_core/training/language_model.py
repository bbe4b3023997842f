"""Reads a Qwen3 directory lazily and resizes its vocabulary."""

import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.files import open_tensors, read_json
from opens2s_core.checkpoint.modules import build_empty, check_tensors, same_bits
from opens2s_core.checkpoint.opens2s import EMBEDDINGS, HEAD
from opens2s_core.checkpoint.shards import LazyTensor
from opens2s_core.checkpoint.vocabulary import load_tokenizer, table_rows, token_ids
from opens2s_core.models.transformers_config import parse_transformers_config


@dataclass(frozen=True, slots=True)
class LanguageModel:
    source: Path
    config: Qwen3Config
    tensors: dict[str, LazyTensor]  # without a tied head
    tokenizer: PreTrainedTokenizerFast
    generation: dict[str, Any]  # generation_config.json, always with pad_token_id and a list of eos_token_id


def read_language_model(path: Path) -> LanguageModel:
    """Read a Qwen3 and its tokenizer. A head that the configuration ties to the embeddings but that differs from them
    is kept, and the configuration adapted. Raises :class:`CheckpointError` or :class:`ConfigError`."""
    where = path / "config.json"
    config = parse_transformers_config(Qwen3Config, read_json(where), str(where))
    tensors = open_tensors(path)
    expected = build_empty(lambda: Qwen3ForCausalLM(config)).state_dict()
    if config.tie_word_embeddings and HEAD not in tensors:
        del expected[HEAD]
    check_tensors(tensors, expected, path)
    if config.tie_word_embeddings and HEAD in tensors:
        if same_bits(tensors[HEAD].read(), tensors[EMBEDDINGS].read()):
            del tensors[HEAD]  # some files contain the tied head
        else:
            config = Qwen3Config(**config.to_dict() | {"tie_word_embeddings": False})
    tokenizer = load_tokenizer(path)
    if (rows := table_rows(tokenizer)) > config.vocab_size:
        raise CheckpointError(f"{path}: expected a row for each of {rows} tokens, got {config.vocab_size} rows")
    return LanguageModel(path, config, tensors, tokenizer, _generation_settings(path, tokenizer))


def _generation_settings(path: Path, tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """The generation settings, with missing end and padding tokens from the tokenizer."""
    file = path / "generation_config.json"
    settings = read_json(file) if file.exists() else {}
    given = _first_known(settings.get("eos_token_id"), tokenizer.eos_token_id)
    if given is None or given == []:
        raise CheckpointError(f"{path}: expected an eos_token_id in generation_config.json or an end token")
    ends = token_ids(given, tokenizer, f"{path}: eos_token_id")
    padding = _first_known(settings.get("pad_token_id"), tokenizer.pad_token_id, ends[0])
    # The published code reads end ids from a list only.
    return settings | {
        "eos_token_id": [*ends],
        "pad_token_id": token_ids(padding, tokenizer, f"{path}: pad_token_id")[0],
    }


def _first_known(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def with_end_token(model: LanguageModel, token: str) -> LanguageModel:
    """Add ``token`` to the end tokens, which base models lack. Raises :class:`CheckpointError` for a token that the
    tokenizer lacks."""
    ends, end = model.generation["eos_token_id"], model.tokenizer.get_vocab().get(token)
    if end is None:
        raise CheckpointError(f"{model.source}: expected a tokenizer with the token {token!r}")
    if end in ends:
        return model
    return replace(model, generation=model.generation | {"eos_token_id": [*ends, end]})


def resize_vocabulary(model: LanguageModel, known: int, seed: int) -> LanguageModel:
    """Resize the embeddings, and an untied head, to one row per token of ``model.tokenizer``.

    The first ``known`` rows are kept and spare rows after them dropped, as in the reference. New rows are sampled
    around the mean of the known ones.
    """
    rows, spread = table_rows(model.tokenizer), model.config.initializer_range
    tables = {
        name: _resized(model.tensors[name], known, rows, spread, seed + zlib.crc32(name.encode()))
        for name in (EMBEDDINGS, HEAD)
        if name in model.tensors
    }
    config = Qwen3Config(**model.config.to_dict() | {"vocab_size": rows})
    return replace(model, config=config, tensors=model.tensors | tables)


def _resized(table: LazyTensor, known: int, rows: int, spread: float, seed: int) -> LazyTensor:
    width = table.shape[1]

    def read() -> Tensor:
        kept = table.read()[:known]
        # In parts, to avoid a copy of the whole table in float64.
        mean = sum((part.sum(0, dtype=torch.float64) for part in kept.split(4096)), torch.zeros(width)) / known
        noise = torch.randn(rows - known, width, generator=torch.Generator().manual_seed(seed))
        return torch.cat([kept, (mean + spread * noise).to(table.dtype)])

    return LazyTensor(torch.Size((rows, width)), table.dtype, read)
