"""Between bundles and the directories that the published code reads.

Bundles: safetensors, the vocoder's weight normalisation folded, tied heads left out, and in ``config.json`` the
settings ``audio_padding``, ``prompt_style`` and ``transcription_prompt``. Published: every tensor under its published
name and in the file format that the published code reads. That code ignores these settings; they are kept for other
readers. A tokenizer without a chat template gets one that writes the prompts of training (see :func:`chat_template` for
one difference).
"""

import shutil
from pathlib import Path

from transformers import WhisperFeatureExtractor

from opens2s_core.audio import SAMPLE_RATE
from opens2s_core.checkpoint import opens2s as opens2s_files
from opens2s_core.checkpoint import speech_tokenizer as tokenizer_files
from opens2s_core.checkpoint.bundle import (
    OPENS2S,
    SPEECH_TOKENIZER,
    TOKEN2WAV,
    has_chat_template,
    opens2s_directory,
)
from opens2s_core.checkpoint.chat_template import chat_template
from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.files import read_json, write_json, write_tensors
from opens2s_core.checkpoint.token2wav import (
    load_token2wav,
    read_token2wav_config,
    save_published_token2wav,
    save_token2wav,
)
from opens2s_core.checkpoint.vocabulary import read_vocabulary
from opens2s_core.checkpoint.voices import VOICES_FILE
from opens2s_core.models.audio_encoder import AudioPadding
from opens2s_core.models.opens2s import OpenS2S
from opens2s_core.prompt import SPEAKER_DIM, PromptStyle
from opens2s_core.storage import fetch_directory

_BESIDE_WEIGHTS = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template*",
    "generation_config.json",
    "preprocessor_config.json",
    "LICENSE*",
    "NOTICE*",
    "README*",
)


def publish(model: str | Path, output: str | Path) -> None:
    """Write ``opens2s/``, ``speech_tokenizer/`` and ``token2wav/`` as the published code reads them into ``output``.

    ``model`` is a bundle, of which those parts are written that are there, or an OpenS2S directory; a path or URL.
    Named voices are copied. Tied heads are written too, since the published code does
    not tie them. Raises :class:`CheckpointError` or :class:`ConfigError`.
    """
    source, target = fetch_directory(model), Path(output)
    others = [part for part in (SPEECH_TOKENIZER, TOKEN2WAV) if (source / part).is_dir()]
    if (source / OPENS2S).is_dir() or not others:
        opens2s = opens2s_directory(source)
        _publish_opens2s(opens2s_files.load_opens2s(opens2s), opens2s, target / OPENS2S)
    if SPEECH_TOKENIZER in others:
        _publish_speech_tokenizer(source / SPEECH_TOKENIZER, target / SPEECH_TOKENIZER)
    if TOKEN2WAV in others:
        config = read_token2wav_config(source / TOKEN2WAV)
        save_published_token2wav(*load_token2wav(source / TOKEN2WAV), config, target / TOKEN2WAV)
    if (source / VOICES_FILE).is_file():  # not part of the published layout, which ignores it
        shutil.copyfile(source / VOICES_FILE, target / VOICES_FILE)


def import_published(
    output: str | Path,
    *,
    opens2s: str | Path | None = None,
    speech_tokenizer: str | Path | None = None,
    token2wav: str | Path | None = None,
    prompt_style: PromptStyle | None = None,
    audio_padding: AudioPadding | None = None,
    transcription_prompt: str | None = None,
) -> None:
    """Write a bundle into ``output`` from published directories (paths or URLs); what is not given is left out of it.

    ``prompt_style``, ``audio_padding`` and ``transcription_prompt`` replace the settings of the directory, whose
    defaults are ``chat``, ``full`` and an empty text. Raises :class:`CheckpointError` or :class:`ConfigError`.
    """
    bundle = Path(output)
    if opens2s is not None:
        source = fetch_directory(opens2s)
        read_vocabulary(source)  # raises for missing files before the weights are loaded
        model = opens2s_files.load_opens2s(source)
        given = {
            "prompt_style": prompt_style,
            "audio_padding": audio_padding,
            "transcription_prompt": transcription_prompt,
        }
        config = model.config.to_dict() | {key: value for key, value in given.items() if value is not None}
        opens2s_files.write_opens2s(opens2s_files.saved_state(model), config, bundle / OPENS2S)
        _copy_opens2s_settings(source, bundle / OPENS2S, model.config.audio_encoder.num_mel_bins)
    if speech_tokenizer is not None:
        source = fetch_directory(speech_tokenizer)
        tokenizer = tokenizer_files.load_speech_tokenizer(source)
        tokenizer_files.save_speech_tokenizer(tokenizer, tokenizer.config, bundle / SPEECH_TOKENIZER)
        _copy_settings(source, bundle / SPEECH_TOKENIZER)
    if token2wav is not None:
        source = fetch_directory(token2wav)
        save_token2wav(*load_token2wav(source), read_token2wav_config(source), bundle / TOKEN2WAV)


def _publish_opens2s(model: OpenS2S, source: Path, target: Path) -> None:
    read_vocabulary(source)
    if model.config.speaker_dim != SPEAKER_DIM:
        raise CheckpointError(
            f"{source}: speaker vectors of {model.config.speaker_dim} numbers: the published code expects {SPEAKER_DIM}"
        )
    state = opens2s_files.published_state(model)
    copies = {head: state[head].clone() for head in opens2s_files.shared_heads(model)}
    names = ("audio_padding", "prompt_style", "transcription_prompt")
    trained_as = {name: value for name, value in model.config.to_dict().items() if name in names}
    opens2s_files.write_opens2s(state | copies, model.config.published() | trained_as, target)
    _copy_opens2s_settings(source, target, model.config.audio_encoder.num_mel_bins)
    for config in target.rglob("tokenizer_config.json"):
        write_json(config, _former_tokenizer_config(read_json(config)))
    if not has_chat_template(target):
        template = chat_template(model.config.prompt_style)
        tokenizer = target / "tokenizer_config.json"
        write_json(tokenizer, read_json(tokenizer) | {"chat_template": template})
    for settings in target.rglob("generation_config.json"):
        values = read_json(settings)
        if isinstance(values.get("eos_token_id"), int):  # the published code expects a list
            write_json(settings, values | {"eos_token_id": [values["eos_token_id"]]})


def _publish_speech_tokenizer(source: Path, target: Path) -> None:
    model = tokenizer_files.load_speech_tokenizer(source)
    write_tensors(tokenizer_files.published_state(model), target)
    write_json(target / "config.json", tokenizer_files.published_config(model.config))
    _copy_settings(source, target)
    _complete_extractor(target, model.config.num_mel_bins)


def _former_tokenizer_config(values: dict[str, object]) -> dict[str, object]:
    """The settings in the names of transformers 4; version 5 renamed a class and a list of tokens."""
    values = dict(values)
    if values.get("tokenizer_class") == "TokenizersBackend":
        values["tokenizer_class"] = "PreTrainedTokenizerFast"
    if isinstance(extra := values.get("extra_special_tokens"), list):
        del values["extra_special_tokens"]
        values["additional_special_tokens"] = extra
    return values


def _copy_opens2s_settings(source: Path, target: Path, mel_bins: int) -> None:
    for place in (".", "tts", "audio"):
        _copy_settings(source / place, target / place)
    _complete_extractor(target / "audio", mel_bins)


def _complete_extractor(directory: Path, mel_bins: int) -> None:
    """Write the feature extractor's settings if they are missing: the published code reads them."""
    if not (directory / "preprocessor_config.json").exists():
        WhisperFeatureExtractor(feature_size=mel_bins, sampling_rate=SAMPLE_RATE).save_pretrained(directory)


def _copy_settings(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for pattern in _BESIDE_WEIGHTS:
        for path in source.glob(pattern):
            if path.is_file():
                shutil.copyfile(path, target / path.name)
