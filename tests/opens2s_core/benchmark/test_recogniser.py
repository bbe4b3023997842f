import numpy as np
import pytest

pytest.importorskip("pocketsphinx")

from opens2s_core.audio import resample
from opens2s_core.benchmark.recogniser import RATE, PocketSphinx
from tests.spoken import speak


def test_sentences_are_recognised_independently() -> None:
    texts = ("I am so happy for you.", "The weather was beautiful.")
    speech = [resample(each.samples, each.rate, RATE) for each in map(speak, texts)]
    noise = np.random.default_rng(0).normal(0, 0.1, RATE // 2).astype(np.float32)
    transcripts = PocketSphinx(1).transcribe([*speech, noise, speech[0]])
    assert "happy for you" in transcripts[0]
    assert "weather was beautiful" in transcripts[1]
    assert transcripts[3] == transcripts[0]
    assert PocketSphinx(2).transcribe([noise, speech[1], speech[0]]) == [transcripts[2], transcripts[1], transcripts[0]]
