from pathlib import Path

import numpy as np
import pytest
import torch

from opens2s_core.audio import SAMPLE_RATE, resample
from opens2s_core.benchmark.rendering import load_voice, render
from opens2s_core.inference.token2wav import GRID
from tests.spoken import speak

HOP = 256


@pytest.fixture(scope="module")
def recording() -> np.ndarray:
    return speak("Good news, my friend.").samples  # 22 050 Hz


def test_every_rendition_lasts_as_long_as_the_recording_to_within_a_unit(tiny_bundle: Path, recording) -> None:
    made = render(load_voice(tiny_bundle), recording, resample(recording, 22_050, SAMPLE_RATE), seed=0)
    assert np.array_equal(made.waveforms["original"], recording)
    assert len(made.waveforms["vocoder"]) == len(recording) // HOP * HOP
    unit = 22_050 * 2 // 25
    for name in ("one-shot", "streamed"):
        assert 0 <= len(made.waveforms[name]) - len(recording) // HOP * HOP <= unit
    assert made.flow_mel.shape == (80, len(made.waveforms["one-shot"]) // HOP)


def test_audio_within_the_first_chunk_is_the_same_streamed_and_one_shot(tiny_bundle: Path, recording) -> None:
    word = recording[: GRID.first[0] * 22_050 * 2 // 25]
    made = render(load_voice(tiny_bundle), word, resample(word, 22_050, SAMPLE_RATE), seed=0)
    assert len(made.units) == GRID.first[0]
    assert np.allclose(made.waveforms["streamed"], made.waveforms["one-shot"], atol=1e-5)


def test_the_noise_is_that_of_the_seed(tiny_bundle: Path, recording) -> None:
    voice, word = load_voice(tiny_bundle), recording[:8_000]
    resampled = resample(word, 22_050, SAMPLE_RATE)
    a, again, b = (render(voice, word, resampled, seed=seed).flow_mel for seed in (1, 1, 2))
    assert torch.equal(a, again)
    assert not torch.equal(a, b)


def test_a_directory_without_a_part_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected speech_tokenizer/ and token2wav/ .* got \{\}"):
        load_voice(tmp_path)
