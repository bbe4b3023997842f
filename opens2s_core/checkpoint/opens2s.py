"""Directories of weights, in the published layouts.

An OpenS2S directory holds ``config.json``, safetensors shards, the text tokenizer and generation settings, the speech
decoder's tokenizer and settings in ``tts/``, and the feature extractor's settings in ``audio/``. A *bundle* is what a
reply needs, side by side: ``opens2s/``, ``speech_tokenizer/`` and ``token2wav/``.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.config import (
    ConfigError,
    SpeechTokenizerConfig,
    Token2WavConfig,
    config_to_dict,
    parse_config,
)
from opens2s_core.models.flow import Flow
from opens2s_core.models.opens2s import OpenS2S
from opens2s_core.models.opens2s_config import OpenS2SConfig
from opens2s_core.models.speech_decoder import SpeechDecoder, UnitVocabulary
from opens2s_core.models.speech_tokenizer import SpeechTokenizer
from opens2s_core.models.thinker import Thinker
from opens2s_core.models.vocoder import Vocoder
from opens2s_core.prompt import PromptBuilder
from opens2s_core.storage import fetch_directory

M = TypeVar("M", bound=nn.Module)

OPENS2S, SPEECH_TOKENIZER, TOKEN2WAV = "opens2s", "speech_tokenizer", "token2wav"

_UNIT_TOKEN = re.compile(r"<\|audio_(\d+)\|>")
_TIED_HEADS = {
    "llm_model.lm_head.weight": "llm_model.model.embed_tokens.weight",
    "tts_lm_model.lm_head.weight": "tts_lm_model.model.embed_tokens.weight",
}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What the two tokenizers of an OpenS2S directory say."""

    tokenizer: PreTrainedTokenizerFast
    text_end_ids: tuple[int, ...]
    pad_id: int
    units: UnitVocabulary


@dataclass(frozen=True, slots=True)
class BundleInfo:
    """What a client should know of a bundle."""

    sample_rate: int  # Hz, of the sound that comes out
    voice_trained: bool


def read_config(directory: str | Path) -> OpenS2SConfig:
    return OpenS2SConfig.from_dict(_read_json(Path(directory) / "config.json"))


def read_vocabulary(directory: str | Path) -> Vocabulary:
    """Tokenizer, end ids and unit range of an OpenS2S directory."""
    path = Path(directory)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(path))
    speech = PreTrainedTokenizerFast.from_pretrained(str(path / "tts"))
    units = {
        int(match[1]): token_id
        for token, token_id in speech.added_tokens_encoder.items()
        if (match := _UNIT_TOKEN.fullmatch(token))
    }
    offset = units.get(0, -1)
    if not units or units != {code: offset + code for code in range(len(units))}:
        raise CheckpointError(f"{path / 'tts'}: expected tokens <|audio_0|>, <|audio_1|>, … in a row, got {len(units)}")
    generation = _read_json(path / "generation_config.json")
    return Vocabulary(
        tokenizer=tokenizer,
        text_end_ids=_ids(generation["eos_token_id"]),
        pad_id=_ids(generation["pad_token_id"])[0],
        units=UnitVocabulary(
            offset, len(units), _ids(_read_json(path / "tts" / "generation_config.json")["eos_token_id"])
        ),
    )


def load_prompt_builder(directory: str | Path) -> PromptBuilder:
    return PromptBuilder(read_vocabulary(directory).tokenizer, read_config(directory).prompt_style)


def load_thinker(directory: str | Path) -> Thinker:
    """Audio encoder, adapter and LLM of an OpenS2S directory, in eval mode; the rest of it is not read."""
    return _load_part(Thinker(read_config(directory)), Path(directory))


def load_speech_decoder(directory: str | Path) -> SpeechDecoder:
    """Speech decoder of an OpenS2S directory, in eval mode; the rest of it is not read."""
    return _load_part(SpeechDecoder(read_config(directory)), Path(directory))


def load_opens2s(directory: str | Path) -> OpenS2S:
    """The whole model. Raises :class:`CheckpointError` for missing, unknown or mis-shaped tensors."""
    path = Path(directory)
    model = OpenS2S(read_config(path))
    known = {key for part in (model.thinker, model.speech_decoder) for key in part.state_dict()}
    if unknown := sorted(set(_shard_of_keys(path)) - known):
        raise CheckpointError(f"{path}: unknown tensors {unknown}")
    _load_part(model.thinker, path)
    _load_part(model.speech_decoder, path)
    return model.eval()


def load_state(directory: str | Path, state: Mapping[str, Tensor]) -> OpenS2S:
    """The model that ``directory`` describes with the weights of a training run, in the names of :class:`OpenS2S`."""
    path = Path(directory)
    return _load_module(OpenS2S(read_config(path)), state, path)


def save_opens2s(model: OpenS2S, directory: str | Path) -> None:
    """Weights and ``config.json`` in the published layout; tokenizers are the caller's to put beside them."""
    path = Path(directory)
    path.mkdir(parents=True, exist_ok=True)
    state = model.thinker.state_dict() | model.speech_decoder.state_dict()
    for head, embedding in _TIED_HEADS.items():
        if state[head].data_ptr() == state[embedding].data_ptr():
            del state[head]
    save_file({key: value.contiguous() for key, value in state.items()}, path / "model.safetensors", {"format": "pt"})
    _write_json(path / "config.json", model.config.to_dict())


def load_speech_tokenizer(directory: str | Path) -> SpeechTokenizer:
    path = Path(directory)
    config = parse_config(SpeechTokenizerConfig, _read_json(path / "config.json"), f"{path / 'config.json'}")
    return _load_module(SpeechTokenizer(config), load_file(path / "model.safetensors"), path)


def save_speech_tokenizer(model: SpeechTokenizer, config: SpeechTokenizerConfig, directory: str | Path) -> None:
    path = Path(directory)
    path.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), path / "model.safetensors", {"format": "pt"})
    _write_json(path / "config.json", config_to_dict(config))


def load_token2wav(directory: str | Path) -> tuple[Flow, Vocoder]:
    """Flow and vocoder of a decoder directory, in eval mode."""
    path = Path(directory)
    config = read_token2wav_config(path)
    flow = _load_module(Flow(config.flow), load_file(path / "flow.safetensors"), path)
    vocoder = _load_module(Vocoder(config.hift), load_file(path / "hift.safetensors"), path)
    return flow, vocoder


def save_token2wav(flow: Flow, vocoder: Vocoder, config: Token2WavConfig, directory: str | Path) -> None:
    path = Path(directory)
    path.mkdir(parents=True, exist_ok=True)
    save_file(flow.state_dict(), path / "flow.safetensors", {"format": "pt"})
    save_file(vocoder.state_dict(), path / "hift.safetensors", {"format": "pt"})
    (path / "config.yaml").write_text(yaml.safe_dump(config_to_dict(config), sort_keys=False))


def read_token2wav_config(directory: str | Path) -> Token2WavConfig:
    path = Path(directory) / "config.yaml"
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    return parse_config(Token2WavConfig, values, str(path))


def read_bundle_info(bundle: str | Path) -> BundleInfo:
    config = read_token2wav_config(fetch_directory(bundle) / TOKEN2WAV)
    return BundleInfo(sample_rate=config.hift.sampling_rate, voice_trained=config.trained)


def _load_part(module: M, path: Path) -> M:
    """Fill ``module`` with its own tensors from the shards of ``path``; tied heads that were not saved are tied."""
    shards = _shard_of_keys(path)
    own = module.state_dict()
    tied = {head: embedding for head, embedding in _TIED_HEADS.items() if head in own and head not in shards}
    wanted = [key for key in own if key not in tied and key in shards]
    state = dict(_read_tensors(shards, wanted))
    state |= {head: state[embedding] for head, embedding in tied.items() if embedding in state}
    return _load_module(module, state, path)


def _load_module(module: M, state: Mapping[str, Tensor], path: Path) -> M:
    own = module.state_dict()
    problems = [f"missing {key}" for key in sorted(set(own) - set(state))]
    problems += [f"unknown {key}" for key in sorted(set(state) - set(own))]
    problems += [
        f"{key} has shape {tuple(state[key].shape)}, expected {tuple(own[key].shape)}"
        for key in sorted(set(own) & set(state))
        if own[key].shape != state[key].shape
    ]
    if problems:
        raise CheckpointError(f"{path}: " + "; ".join(problems))
    module.load_state_dict(state)
    return module.eval()


def _shard_of_keys(path: Path) -> dict[str, Path]:
    shards = sorted(path.glob("model*.safetensors"))
    if not shards:
        raise CheckpointError(f"{path}: no model*.safetensors file in it")
    keys: dict[str, Path] = {}
    for shard in shards:
        with safe_open(shard, framework="pt") as file:
            keys |= dict.fromkeys(file.keys(), shard)
    return keys


def _read_tensors(shards: Mapping[str, Path], keys: list[str]) -> Iterator[tuple[str, Tensor]]:
    for shard in sorted({shards[key] for key in keys}):
        with safe_open(shard, framework="pt") as file:
            for key in keys:
                if shards[key] == shard:
                    yield key, file.get_tensor(key)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected a JSON object, got {type(values).__name__}")
    return values


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")


def _ids(value: int | list[int]) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)
