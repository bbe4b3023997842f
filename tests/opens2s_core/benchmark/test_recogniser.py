import numpy as np
import pytest

pytest.importorskip("pocketsphinx")

from data_pipeline.synthesis.voices import REPLY_VOICE, EspeakSpeaker
from opens2s_core.audio import resample
from opens2s_core.benchmark.recogniser import RATE, PocketSphinx


def test_it_hears_words_and_each_sentence_by_itself() -> None:
    said = ("I am so happy for you.", "We can talk about it.")
    speech = [resample(*EspeakSpeaker().speak(text, REPLY_VOICE, "neutral"), RATE) for text in said]
    noise = np.random.default_rng(0).normal(0, 0.1, RATE // 2).astype(np.float32)
    heard = PocketSphinx(1).transcribe([*speech, noise, speech[0]])
    assert "happy for you" in heard[0]
    assert "talk about it" in heard[1]
    assert heard[3] == heard[0]
    assert PocketSphinx(2).transcribe([noise, speech[1], speech[0]]) == [heard[2], heard[1], heard[0]]
