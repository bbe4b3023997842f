import dataclasses
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from opens2s_core.audio import SAMPLE_RATE
from opens2s_core.checkpoint.speech_tokenizer import load_speech_tokenizer
from opens2s_core.config import IstftConfig, VocoderConfig
from opens2s_core.training.voice import features
from opens2s_core.training.voice.corpus import SpeechCorpus
from opens2s_core.training.voice.features import (
    LOG_FLOOR,
    corpus_pitch,
    corpus_units,
    crop_log_mel,
    log_mel,
    pitch,
)
from tests.opens2s_core.training.voice.vowels import RATE, glide, vowel, write_tokenizer, write_vowels

PUBLISHED = VocoderConfig()
OTHER = VocoderConfig(
    in_channels=20, sampling_rate=12000, upsample_rates=(5, 4), istft_params=IstftConfig(n_fft=8, hop_len=2)
)
HOP = 256


def noise(samples: int, seed: int = 0) -> torch.Tensor:
    return 0.3 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("config", "hop", "max_hz"), [(PUBLISHED, 256, 8000.0), (OTHER, 40, 6000.0)])
def test_log_mel_is_that_of_a_library(config, hop, max_hz):
    size = 4 * hop
    samples = noise(5000)
    filters = mel_filter_bank(
        size // 2 + 1, config.in_channels, 0.0, max_hz, config.sampling_rate, norm="slaney", mel_scale="slaney"
    )
    expected = spectrogram(
        np.pad(samples.numpy(), (size - hop) // 2, mode="reflect").astype(np.float64),
        window_function(size, "hann"),
        size,
        hop,
        power=1.0,
        center=False,
        mel_filters=filters,
        mel_floor=LOG_FLOOR,
        log_mel="log",
    )
    ours = log_mel(samples, config).numpy()
    print(f"log-mel, hop {hop}: {np.abs(ours - expected).max():.1e} from transformers' spectrogram")
    np.testing.assert_allclose(ours, expected, atol=1e-4)


@given(st.integers(400, 4000))
def test_every_whole_hop_is_a_frame(samples):
    assert log_mel(torch.zeros(samples), PUBLISHED).shape == (80, samples // HOP)


def test_silence_lies_at_the_floor():
    np.testing.assert_allclose(log_mel(torch.zeros(2000), PUBLISHED), np.log(LOG_FLOOR))


def test_a_batch_is_its_rows():
    rows = torch.stack([noise(3000, seed) for seed in range(3)])
    torch.testing.assert_close(log_mel(rows, PUBLISHED), torch.stack([log_mel(row, PUBLISHED) for row in rows]))


@settings(max_examples=30)
@given(st.integers(500, 6000), st.data())
def test_a_crop_is_a_part_of_the_whole(samples, data):
    frames = samples // HOP
    start = data.draw(st.integers(0, frames - 1))
    count = data.draw(st.integers(1, frames - start))
    wave = noise(samples)
    whole = log_mel(wave, PUBLISHED)[:, start : start + count]
    torch.testing.assert_close(crop_log_mel(wave.numpy(), start, count, PUBLISHED), whole)


@pytest.mark.parametrize("hertz", [glide(0.8, 90, 130), glide(0.8, 320, 180), glide(0.8, 450, 470)])
def test_pitch_of_a_glide_is_found_in_its_own_frame(hertz):
    found = pitch(vowel(hertz), RATE, HOP)
    true = hertz[HOP // 2 :: HOP][: len(found)]
    inner = slice(6, -6)
    print(f"pitch: {np.abs(found - true)[inner].max():.2f} Hz at most off a glide from {hertz[0]:.0f} Hz")
    np.testing.assert_allclose(found[inner], true[inner], rtol=0.01)


def test_pauses_and_noise_have_no_pitch():
    voiced = vowel(glide(0.5, 200, 200))
    found = pitch(
        np.concatenate([np.zeros(20 * HOP, np.float32), voiced[: 30 * HOP], noise(40 * HOP).numpy() / 9]), RATE, HOP
    )
    assert len(found) == 90
    assert not found[:18].any()
    assert found[24:48].all()
    assert (found[54:] > 0).mean() < 0.1
    assert not pitch(np.zeros(5 * HOP, np.float32), RATE, HOP).any()


@pytest.mark.parametrize("samples", [1, HOP - 1, HOP, 3 * HOP + 5])
def test_pitch_has_a_value_for_each_whole_hop(samples):
    assert pitch(noise(samples).numpy(), RATE, HOP).shape == (samples // HOP,)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return SpeechCorpus(write_vowels(tmp_path_factory.mktemp("vowels") / "corpus"), "train")


def test_pitch_of_a_corpus_is_computed_once(corpus, tmp_path, monkeypatch):
    first = corpus_pitch(corpus, 0, PUBLISHED, tmp_path)
    np.testing.assert_array_equal(first, pitch(corpus.waveform(0), RATE, HOP))
    monkeypatch.setattr(features, "pitch", lambda *_: pytest.fail("computed again"))
    np.testing.assert_array_equal(corpus_pitch(corpus, 0, PUBLISHED, tmp_path), first)


def test_cached_pitches_need_no_praat(corpus, tmp_path, monkeypatch):
    brought = corpus_pitch(corpus, 0, PUBLISHED, tmp_path)
    monkeypatch.setitem(sys.modules, "parselmouth", None)
    np.testing.assert_array_equal(corpus_pitch(corpus, 0, PUBLISHED, tmp_path), brought)
    with pytest.raises(ImportError, match="pitch needs praat-parselmouth"):
        corpus_pitch(corpus, 1, PUBLISHED, tmp_path)


def test_cached_features_belong_to_audio_and_settings(corpus, tmp_path):
    coarse = dataclasses.replace(PUBLISHED, upsample_rates=(8, 16))
    found = {corpus_pitch(corpus, i, config, tmp_path).shape for i in (0, 1) for config in (PUBLISHED, coarse)}
    assert len(found) == 4


def test_units_of_a_corpus_are_the_tokenizer_s_and_encoded_once(corpus, tmp_path, monkeypatch):
    tokenizer = write_tokenizer(corpus, tmp_path / "tokenizer")
    device = torch.device("cpu")
    units = list(corpus_units(corpus, [1, 0], tokenizer, tmp_path / "cache", device))
    expected = load_speech_tokenizer(tokenizer).encode([corpus.waveform(i, SAMPLE_RATE) for i in (1, 0)])
    assert [row.tolist() for row in units] == expected
    monkeypatch.setattr(features, "_encode", lambda *_: pytest.fail("encoded again"))
    again = list(corpus_units(corpus, [1, 0], tokenizer, tmp_path / "cache", device))
    assert [row.tolist() for row in again] == expected
