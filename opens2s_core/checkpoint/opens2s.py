"""OpenS2S directories: ``config.json``, safetensors in one file or many, tokenizers, ``tts/`` and ``audio/``.

A head that the configuration ties to its embeddings may be absent and is tied when it is loaded. The reference omits
such heads when it saves, but does not tie them when it loads.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from transformers import Qwen3ForCausalLM
from transformers.models.qwen3.modeling_qwen3 import Qwen3RotaryEmbedding

from opens2s_core.checkpoint.files import open_tensors, read_json, value, write_json, write_tensors
from opens2s_core.checkpoint.lora import merge_lora_tensors
from opens2s_core.checkpoint.modules import assign, build_empty, check_tensors, same_bits
from opens2s_core.checkpoint.shards import LazyTensor
from opens2s_core.checkpoint.vocabulary import read_vocabulary
from opens2s_core.checkpoint.weight_norm import plain_weights
from opens2s_core.config import ConfigError
from opens2s_core.models.lora import has_lora
from opens2s_core.models.opens2s import OpenS2S
from opens2s_core.models.opens2s_config import OpenS2SConfig
from opens2s_core.models.speech_decoder import SpeechDecoder
from opens2s_core.models.thinker import Thinker
from opens2s_core.prompt import PromptBuilder

P = TypeVar("P", Thinker, SpeechDecoder)

EMBEDDINGS, HEAD = "model.embed_tokens.weight", "lm_head.weight"
"""Names of a language model's tables."""

_CONFIG = "config.json"
_PARTS = ("thinker.", "speech_decoder.")


def read_config(directory: str | Path) -> OpenS2SConfig:
    """Raises :class:`CheckpointError` or :class:`ConfigError`."""
    path = Path(directory) / _CONFIG
    return _parse_config(read_json(path), path)


def load_prompt_builder(directory: str | Path) -> PromptBuilder:
    return PromptBuilder(read_vocabulary(directory).tokenizer, read_config(directory).prompt_style)


def load_thinker(directory: str | Path, dtype: torch.dtype | None = None) -> Thinker:
    """As :func:`load_opens2s`; only audio encoder, adapter and LLM are read."""
    model, tensors = _open(Path(directory))
    return _fill(model.thinker, tensors, dtype)


def load_speech_decoder(directory: str | Path, dtype: torch.dtype | None = None) -> SpeechDecoder:
    """As :func:`load_opens2s`; only the speech decoder is read."""
    model, tensors = _open(Path(directory))
    return _fill(model.speech_decoder, tensors, dtype)


def load_opens2s(directory: str | Path, dtype: torch.dtype | None = None) -> OpenS2S:
    """The whole model in eval mode, each parameter in the type it was saved in, or all in ``dtype``.

    Raises :class:`CheckpointError` that lists all missing, unknown and mis-shaped tensors of the directory.
    """
    model, tensors = _open(Path(directory))
    _fill(model.thinker, tensors, dtype)
    _fill(model.speech_decoder, tensors, dtype)
    return model.eval()


def load_state(directory: str | Path, state: Mapping[str, Tensor]) -> OpenS2S:
    """The model that ``directory`` describes with the weights of a training run, in the names of :class:`OpenS2S`.

    Weights are converted to the types of those in ``directory``, since a run trains in full precision.
    """
    path = Path(directory)
    model, stored = _open(path)
    tensors = {_published_name(name): tensor for name, tensor in state.items()}
    check_tensors(tensors, published_state(model), path, _tied_heads(model.config))
    dtypes = {name: stored.get(name, stored.get(_embedding(name))) for name in tensors}
    tensors = {name: value(tensor, like.dtype if (like := dtypes[name]) else None) for name, tensor in tensors.items()}
    _fill(model.thinker, tensors, None)
    _fill(model.speech_decoder, tensors, None)
    return model.eval()


def save_opens2s(model: OpenS2S, directory: str | Path) -> None:
    """Weights and ``config.json`` in the published layout; without the tokenizers.

    ``ValueError`` for a model with LoRA attached, which has other tensors.
    """
    if has_lora(model.thinker):
        raise ValueError(f"{directory}: expected a model without LoRA attached: merge it first (merge_lora)")
    write_opens2s(saved_state(model), model.config.to_dict(), directory)


def write_opens2s(
    state: Mapping[str, Tensor | LazyTensor], config: Mapping[str, object], directory: str | Path
) -> None:
    """``state`` and ``config``, to which the type of the LLM's weights is added."""
    write_tensors(state, directory)
    dtype = state[f"llm_model.{EMBEDDINGS}"].dtype
    write_json(Path(directory) / _CONFIG, {**config, "torch_dtype": str(dtype).removeprefix("torch.")})


def published_state(model: OpenS2S) -> dict[str, Tensor]:
    """The tensors of ``model`` under their published names; a tied head is the same object as its embeddings."""
    state: dict[str, Tensor] = dict(model.state_dict(keep_vars=True))
    return {_published_name(name): tensor for name, tensor in state.items()}


def saved_state(model: OpenS2S) -> dict[str, Tensor]:
    """As :func:`published_state`, without tied heads, which are tied again when they are loaded."""
    shared = shared_heads(model)
    return {name: tensor for name, tensor in published_state(model).items() if name not in shared}


def shared_heads(model: OpenS2S) -> set[str]:
    """Published names of the heads that are tied to their embeddings, as the configuration says."""
    state = published_state(model)
    return {head for head in _tied_heads(model.config) if state[head] is state[_embedding(head)]}


def _parse_config(values: Mapping[str, Any], where: Path) -> OpenS2SConfig:
    try:
        return OpenS2SConfig.from_dict(values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _open(path: Path) -> tuple[OpenS2S, Mapping[str, LazyTensor]]:
    """The model without values, and its tensors, which have been checked for completeness."""
    values = read_json(path / _CONFIG)
    config = _parse_config(values, path / _CONFIG)
    model = build_empty(lambda: OpenS2S(config))
    tensors = merge_lora_tensors(plain_weights(open_tensors(path)), values.get("lora_config"), str(path))
    check_tensors(tensors, published_state(model), path, _tied_heads(config))
    return model, tensors


def _fill(part: P, tensors: Mapping[str, Tensor | LazyTensor], dtype: torch.dtype | None) -> P:
    """Load the values of ``part``. A head that should be tied but is stored with other values stays separate."""
    own = [name for name in part.state_dict() if name in tensors]
    assign(part, {name: value(tensors[name], dtype) for name in own})
    for lm in (module for module in part.modules() if isinstance(module, Qwen3ForCausalLM)):
        lm.model.rotary_emb = Qwen3RotaryEmbedding(lm.config)  # computed, so in no file
        embedding, head = lm.model.embed_tokens.weight, lm.lm_head.weight
        if lm.config.tie_word_embeddings and (head.is_meta or same_bits(head, embedding)):
            lm.lm_head.weight = embedding
    return part


def _tied_heads(config: OpenS2SConfig) -> set[str]:
    lms = {"llm_model": config.llm, "tts_lm_model": config.speech_decoder}
    return {f"{name}.{HEAD}" for name, lm in lms.items() if lm.tie_word_embeddings}


def _embedding(head: str) -> str:
    return head.removesuffix(HEAD) + EMBEDDINGS


def _published_name(name: str) -> str:
    for part in _PARTS:
        name = name.removeprefix(part)
    return name
