from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from data_pipeline.steps.speaker_embedding import ResemblyzerEncoder
from data_pipeline.synthesis.protocols import Speech
from data_pipeline.synthesis.quality.speaker_similarity import speaker_similarity
from opens2s_core.audio import Waveform
from tests.spoken import MAN, WOMAN, speak


class AngleEncoder:
    """A vector at the angle of the clip's length in seconds."""

    dim = 2

    def embed(self, waveforms: Sequence[Waveform]) -> NDArray[np.float32]:
        return np.array([[np.cos(len(each) / 16_000), np.sin(len(each) / 16_000)] for each in waveforms], np.float32)


def test_the_similarity_is_the_cosine_of_clips_at_16_khz() -> None:
    first, second = Speech(np.zeros(24_000, np.float32), 8_000), Speech(np.zeros(32_000, np.float32), 16_000)
    assert speaker_similarity(AngleEncoder(), first, second) == pytest.approx(np.cos(3 - 2))


def test_one_voice_is_more_similar_to_itself_than_another_at_any_loudness() -> None:
    pytest.importorskip("resemblyzer")
    encoder = ResemblyzerEncoder()

    reference = speak("The train was late again this morning.", WOMAN)
    again = speak("We can talk about it tomorrow.", WOMAN)
    own = speaker_similarity(encoder, again, reference)
    quiet = speaker_similarity(encoder, Speech(again.samples * np.float32(0.05), again.rate), reference)
    other = speaker_similarity(encoder, speak("We can talk about it tomorrow.", MAN), reference)
    assert speaker_similarity(encoder, reference, reference) == pytest.approx(1.0, abs=1e-5)
    assert other < own - 0.1
    assert quiet == pytest.approx(own, abs=0.01)
