"""The parts of a model that data preparation uses: the text tokenizer with its settings, and the speech tokenizer.

A model is a bundle, or an OpenS2S directory alone, which has no speech tokenizer.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from data_pipeline.steps.speech_units import SpeechUnits
from opens2s_core.checkpoint.bundle import OPENS2S, SPEECH_TOKENIZER
from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.opens2s import load_prompt_builder, read_config
from opens2s_core.checkpoint.speech_tokenizer import load_speech_tokenizer
from opens2s_core.checkpoint.vocabulary import read_vocabulary
from opens2s_core.models.speech_tokenizer import SpeechTokenizer
from opens2s_core.prompt import PromptBuilder
from opens2s_core.storage import SETTINGS, digest, fetch_directory

_SPEECH = f"{SPEECH_TOKENIZER}/*"


@dataclass(frozen=True, slots=True)
class TextSettings:
    """The settings by which a conversation becomes ids."""

    prompts: PromptBuilder
    audio_positions: Callable[[int], int]  # LLM positions of a clip of so many samples


def text_fingerprint(bundle: str) -> str:
    """A hash of the text tokenizer and the settings. Raises :class:`CheckpointError`."""
    directory = _opens2s(bundle)
    root = directory.parent if directory.name == OPENS2S else directory
    # Of a URL, others may have fetched more.
    return _fingerprint(bundle, root, sorted({path for name in SETTINGS for path in directory.glob(name)}))


def speech_fingerprint(bundle: str) -> str:
    """A hash of the speech tokenizer. Raises :class:`CheckpointError`."""
    root = fetch_directory(bundle, _SPEECH)
    return _fingerprint(bundle, root, sorted((root / SPEECH_TOKENIZER).glob("*")))


def has_speech_tokenizer(bundle: str) -> bool:
    return (fetch_directory(bundle, _SPEECH) / SPEECH_TOKENIZER).is_dir()


def speaker_dim(bundle: str) -> int:
    """Numbers in the speaker vectors that the bundle's speech decoder reads."""
    return read_config(_opens2s(bundle)).speaker_dim


@lru_cache(maxsize=1)
def load_text_settings(bundle: str, fingerprint: str) -> TextSettings:
    """Kept in a worker between its tasks. ``fingerprint`` is that of :func:`text_fingerprint`: with
    another one the settings are loaded again."""
    directory = _opens2s(bundle)
    return TextSettings(load_prompt_builder(directory), read_config(directory).audio_positions)


def load_speech_units(bundle: str) -> SpeechUnits:
    """The step that makes units, or without a speech tokenizer the one that checks those of the corpus."""
    if not has_speech_tokenizer(bundle):
        return SpeechUnits(None, read_vocabulary(_opens2s(bundle)).units.size)
    encoder = load_unit_encoder(bundle)
    return SpeechUnits(encoder, encoder.config.quantize_vocab_size)


def load_unit_encoder(bundle: str) -> SpeechTokenizer:
    """The speech tokenizer of a bundle, on a GPU where there is one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return load_speech_tokenizer(fetch_directory(bundle, _SPEECH) / SPEECH_TOKENIZER, torch.float32).to(device)


def _opens2s(bundle: str) -> Path:
    """The OpenS2S directory, without its weights."""
    root = fetch_directory(bundle, *SETTINGS)
    return root / OPENS2S if (root / OPENS2S).is_dir() else root


def _fingerprint(bundle: str, root: Path, files: list[Path]) -> str:
    if not files:
        raise CheckpointError(f"{bundle} is not a bundle: expected {OPENS2S}/ and {SPEECH_TOKENIZER}/ in it")
    lines = "".join(f"{path.relative_to(root)} {digest(path)}\n" for path in files)
    return hashlib.sha256(lines.encode()).hexdigest()
