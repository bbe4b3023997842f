"""A speaker for tests."""

import numpy as np

from data_pipeline.records import RejectedRow
from data_pipeline.synthesis.protocols import Speech, SpeechRequest


class HummingSpeaker:
    """1,000 samples of a sine per letter at 8 kHz; rejects questions, and is silent when surprised."""

    name = "humming"

    def speak(self, request: SpeechRequest) -> Speech:
        if request.text.endswith("?"):
            raise RejectedRow("question: expected a statement")
        amplitude = 0.0 if request.emotion == "surprised" else 0.5
        times = np.arange(len(request.text) * 1000) / 8000
        return Speech((amplitude * np.sin(2 * np.pi * 200 * times)).astype(np.float32), 8000)
