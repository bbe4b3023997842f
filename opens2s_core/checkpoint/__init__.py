"""Directories of weights, in every published form.

An OpenS2S directory holds ``config.json``, safetensors shards, the text tokenizer and generation settings, the speech
decoder's tokenizer and settings in ``tts/``, and the feature extractor's settings in ``audio/``. A *bundle* is what a
reply needs, side by side: ``opens2s/``, ``speech_tokenizer/``, ``token2wav/`` and, where it has named voices,
``voices.safetensors``.
"""

from opens2s_core.checkpoint.bundle import (
    OPENS2S,
    SPEECH_TOKENIZER,
    TOKEN2WAV,
    UNITS_PER_TOKEN,
    BundleInfo,
    codebook_sizes,
    opens2s_directory,
    read_bundle_info,
)
from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.files import open_tensors, read_json, weight_files, write_json, write_tensors
from opens2s_core.checkpoint.opens2s import (
    load_opens2s,
    load_prompt_builder,
    load_speech_decoder,
    load_state,
    load_thinker,
    read_config,
    save_opens2s,
)
from opens2s_core.checkpoint.published import import_published, publish
from opens2s_core.checkpoint.shards import LazyTensor
from opens2s_core.checkpoint.speech_tokenizer import (
    load_speech_tokenizer,
    read_speech_tokenizer_config,
    save_speech_tokenizer,
)
from opens2s_core.checkpoint.tagged_yaml import read_yaml
from opens2s_core.checkpoint.token2wav import load_token2wav, read_token2wav_config, save_token2wav
from opens2s_core.checkpoint.vocabulary import Vocabulary, load_tokenizer, read_vocabulary
from opens2s_core.checkpoint.voices import DEFAULT_VOICE, load_voices, save_voices

__all__ = [
    "DEFAULT_VOICE",
    "OPENS2S",
    "SPEECH_TOKENIZER",
    "TOKEN2WAV",
    "UNITS_PER_TOKEN",
    "BundleInfo",
    "CheckpointError",
    "LazyTensor",
    "Vocabulary",
    "codebook_sizes",
    "import_published",
    "load_opens2s",
    "load_prompt_builder",
    "load_speech_decoder",
    "load_speech_tokenizer",
    "load_state",
    "load_thinker",
    "load_token2wav",
    "load_tokenizer",
    "load_voices",
    "open_tensors",
    "opens2s_directory",
    "publish",
    "read_bundle_info",
    "read_config",
    "read_json",
    "read_speech_tokenizer_config",
    "read_token2wav_config",
    "read_vocabulary",
    "read_yaml",
    "save_opens2s",
    "save_speech_tokenizer",
    "save_token2wav",
    "save_voices",
    "weight_files",
    "write_json",
    "write_tensors",
]
