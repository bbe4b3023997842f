"""Directories of weights, in every published form.

An OpenS2S directory holds ``config.json``, safetensors shards, the text tokenizer and generation settings, the speech
decoder's tokenizer and settings in ``tts/``, and the feature extractor's settings in ``audio/``. A *bundle* is what a
reply needs, side by side: ``opens2s/``, ``speech_tokenizer/`` and ``token2wav/``.
"""

from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.files import LazyTensor, TensorFiles, read_json, write_json, write_tensors
from opens2s_core.checkpoint.opens2s import (
    OPENS2S,
    SPEECH_TOKENIZER,
    TOKEN2WAV,
    BundleInfo,
    Vocabulary,
    load_opens2s,
    load_prompt_builder,
    load_speech_decoder,
    load_speech_tokenizer,
    load_state,
    load_thinker,
    load_token2wav,
    read_bundle_info,
    read_config,
    read_token2wav_config,
    read_vocabulary,
    save_opens2s,
    save_speech_tokenizer,
    save_token2wav,
)

__all__ = [
    "OPENS2S",
    "SPEECH_TOKENIZER",
    "TOKEN2WAV",
    "BundleInfo",
    "CheckpointError",
    "LazyTensor",
    "TensorFiles",
    "Vocabulary",
    "load_opens2s",
    "load_prompt_builder",
    "load_speech_decoder",
    "load_speech_tokenizer",
    "load_state",
    "load_thinker",
    "load_token2wav",
    "read_bundle_info",
    "read_config",
    "read_json",
    "read_token2wav_config",
    "read_vocabulary",
    "save_opens2s",
    "save_speech_tokenizer",
    "save_token2wav",
    "write_json",
    "write_tensors",
]
