"""The frozen LLM that a smaller one of the same tokenizer learns from."""

from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from opens2s_core.checkpoint.bundle import OPENS2S, opens2s_directory
from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.files import read_json
from opens2s_core.checkpoint.opens2s import load_thinker, read_config
from opens2s_core.checkpoint.vocabulary import load_tokenizer, table_rows
from opens2s_core.storage import fetch_directory


def teacher_directory(model: str | Path) -> Path:
    """The directory with the weights of a teacher: ``model`` is a path or URL of a Qwen3, a bundle or an OpenS2S."""
    path = fetch_directory(model)
    return path if _is_qwen3(path) else opens2s_directory(path)


def read_teacher_config(model: str | Path) -> Qwen3Config:
    """The sizes of a teacher, of which only the configuration is read; ``model`` as for :func:`teacher_directory`."""
    path = fetch_directory(model, "config.json", f"{OPENS2S}/config.json")
    return Qwen3Config.from_pretrained(str(path)) if _is_qwen3(path) else read_config(opens2s_directory(path)).llm


def load_teacher(
    model: str | Path, tokenizer: PreTrainedTokenizerFast, dtype: torch.dtype | None = None
) -> Qwen3ForCausalLM:
    """The LLM of :func:`teacher_directory`, frozen, in ``dtype`` or that of its files.

    Raises :class:`CheckpointError` for missing weights, and for a tokenizer that gives an id of the student's
    ``tokenizer`` another meaning.
    """
    path = teacher_directory(model)
    if _is_qwen3(path):
        loaded: Any = Qwen3ForCausalLM.from_pretrained(
            str(path), dtype=dtype or "auto", local_files_only=True, output_loading_info=True
        )
        teacher, info = loaded
        if missing := sorted(info["missing_keys"]):
            raise CheckpointError(f"{path}: expected all weights of a Qwen3, missing are {missing}")
    else:
        teacher = load_thinker(path, dtype).llm_model
    _check_tokenizer(path, load_tokenizer(path).get_vocab(), tokenizer.get_vocab())
    rows, needed = teacher.config.vocab_size, table_rows(tokenizer)
    if rows < needed:
        raise CheckpointError(f"{path}: expected a row for each of the student's {needed} tokens, got {rows}")
    frozen: Qwen3ForCausalLM = teacher.eval().requires_grad_(False)
    return frozen


def _is_qwen3(path: Path) -> bool:
    config = path / "config.json"
    return config.is_file() and read_json(config).get("model_type") == "qwen3"


def _check_tokenizer(path: Path, teacher: dict[str, int], student: dict[str, int]) -> None:
    """A token that the teacher lacks is allowed: its row is one of the spare rows behind the known tokens."""
    of_id = {id: token for token, id in teacher.items()}
    for token, id in student.items():
        if of_id.get(id, token) != token or teacher.get(token, id) != id:
            raise CheckpointError(
                f"{path}: expected the student's tokenizer, in which token {id} is {token!r}, "
                f"got {of_id.get(id)!r} with that id"
            )
