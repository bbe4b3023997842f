import numpy as np
import pytest

pytest.importorskip("pocketsphinx")

from data_pipeline.records import RejectedRow
from data_pipeline.synthesis.protocols import Speech
from data_pipeline.synthesis.recognisers.sphinx import SphinxRecogniser
from tests.spoken import speak


def test_clips_are_recognised_independently() -> None:
    recogniser = SphinxRecogniser()
    happy = speak("I am so happy for you.")
    noise = Speech(np.random.default_rng(0).normal(0, 0.1, 8_000).astype(np.float32), 16_000)
    transcript = recogniser.transcribe(happy, "en")
    assert "happy for you" in transcript
    recogniser.transcribe(noise, "en")
    assert recogniser.transcribe(happy, "en") == transcript


def test_a_clip_without_samples_has_no_words_and_other_languages_are_rejected() -> None:
    recogniser = SphinxRecogniser()
    assert recogniser.transcribe(Speech(np.zeros(0, np.float32), 16_000), "en") == ""
    with pytest.raises(RejectedRow, match=r"^unsupported language: 'zh', pocketsphinx 5.*, en-us expected en$"):
        recogniser.transcribe(speak("Hello."), "zh")
