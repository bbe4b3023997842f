"""Bundles: directories with all models of a service."""

from dataclasses import dataclass
from pathlib import Path

from opens2s_core.audio import SAMPLE_RATE
from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.files import read_json
from opens2s_core.checkpoint.token2wav import read_token2wav_config
from opens2s_core.checkpoint.voices import VOICES_FILE, load_voices
from opens2s_core.storage import SETTINGS, fetch_directory

OPENS2S, SPEECH_TOKENIZER, TOKEN2WAV = "opens2s", "speech_tokenizer", "token2wav"


def opens2s_directory(model: str | Path) -> Path:
    """The OpenS2S directory of ``model``, a path or URL of such a directory or of a bundle with one."""
    path = fetch_directory(model)
    for directory in (path / OPENS2S, path):
        if (directory / "config.json").exists():
            return directory
    raise CheckpointError(f"{model}: expected a bundle with {OPENS2S}/config.json, or an OpenS2S directory")


UNITS_PER_TOKEN = 3.5
"""Speech units per spoken token, for bundles that do not store the mean of their training data: English at about 3.5
tokens and 12.5 units per second."""


_MINUTE = 60 * SAMPLE_RATE


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleInfo:
    """What a server reads from a bundle before it loads any weights."""

    sample_rate: int  # Hz, of the generated audio
    units_per_second: float  # speech units in a second of audio
    units_per_token: float  # speech units per spoken token, on average over the training data
    voice_trained: bool
    context: int | None = None  # positions of the longest conversation that the LLM reads (None: no LLM in the bundle)
    audio_positions: float = 0.0  # positions per second of a user's audio
    units_temperature: float = 1.0  # at which speech units are sampled
    transcription_prompt: str = ""  # the text before a clip that the model was trained to transcribe; empty: it was not
    writes_tools: bool = False  # its tokenizer has a chat template, which writes tools
    voices: tuple[str, ...] = ()  # names of its speaker vectors


def read_bundle_info(bundle: str | Path) -> BundleInfo:
    """``bundle`` is a directory or URL. Raises :class:`CheckpointError` or :class:`ConfigError`."""
    from opens2s_core.checkpoint.opens2s import read_config  # imports all models; the stages do not need it

    path = fetch_directory(bundle, *SETTINGS, VOICES_FILE)
    config = read_token2wav_config(path / TOKEN2WAV)
    opens2s = path / OPENS2S
    model = read_config(opens2s) if opens2s.is_dir() else None
    return BundleInfo(
        sample_rate=config.hift.sampling_rate,
        units_per_second=config.flow.input_frame_rate,
        units_per_token=(model and model.units_per_token) or UNITS_PER_TOKEN,
        units_temperature=model.units_temperature if model else 1.0,
        voice_trained=config.trained,
        context=model.llm.max_position_embeddings if model else None,
        audio_positions=model.audio_positions(_MINUTE) / 60 if model else 0.0,
        transcription_prompt=model.transcription_prompt if model else "",
        writes_tools=has_chat_template(opens2s),
        voices=tuple(load_voices(path)),
    )


def has_chat_template(directory: Path) -> bool:
    """Whether the tokenizer has a chat template, in a file or in its settings, as transformers stores it."""
    settings = directory / "tokenizer_config.json"
    return (directory / "chat_template.jinja").exists() or (
        settings.exists() and bool(read_json(settings).get("chat_template"))
    )
