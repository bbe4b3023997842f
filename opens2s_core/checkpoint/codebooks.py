"""Codebook sizes of the parts of a bundle; not in ``bundle``, since this module imports tokenizers."""

from pathlib import Path

from opens2s_core.checkpoint.bundle import OPENS2S, SPEECH_TOKENIZER, TOKEN2WAV
from opens2s_core.checkpoint.speech_tokenizer import read_speech_tokenizer_config
from opens2s_core.checkpoint.token2wav import read_token2wav_config
from opens2s_core.checkpoint.vocabulary import read_vocabulary
from opens2s_core.storage import SETTINGS, fetch_directory


def codebook_sizes(bundle: str | Path) -> dict[str, int]:
    """Codebook size of each part that the bundle has; in a bundle that can speak they are equal."""
    path = fetch_directory(bundle, *SETTINGS)
    sizes = {
        OPENS2S: lambda part: read_vocabulary(part).units.size,
        SPEECH_TOKENIZER: lambda part: read_speech_tokenizer_config(part).quantize_vocab_size,
        TOKEN2WAV: lambda part: read_token2wav_config(part).flow.vocab_size,
    }
    return {part: size(path / part) for part, size in sizes.items() if (path / part).is_dir()}
