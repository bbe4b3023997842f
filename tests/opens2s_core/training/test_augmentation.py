from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2s_core.audio import SAMPLE_RATE, Waveform
from opens2s_core.config import ConfigError
from opens2s_core.training.augmentation import Augmentation, AugmentationConfig, coloured_noise, room_response

_PROBABILITIES = [field.name for field in fields(AugmentationConfig) if field.name.endswith("_probability")]
_OFF = AugmentationConfig(**dict.fromkeys(_PROBABILITIES, 0.0))
_ALL = AugmentationConfig(**dict.fromkeys(_PROBABILITIES, 1.0))


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def _clip(n: int, seed: int = 0) -> Waveform:
    return _rng(seed).uniform(-0.5, 0.5, n).astype(np.float32)


def _tone(hz: float, seconds: float = 1.0) -> Waveform:
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (0.3 * np.sin(2 * np.pi * hz * times)).astype(np.float32)


def _power(clip: Waveform) -> float:
    return float(np.square(clip, dtype=np.float64).mean())


def _db(ratio: float) -> float:
    return 10 * np.log10(ratio)


def _changed(clip: Waveform, seed: int = 0, **settings: object) -> Waveform:
    return Augmentation(replace(_OFF, **settings)).waveform(clip, _rng(seed))


@pytest.mark.parametrize("db", [-12.0, 5.0])
def test_gain(db: float) -> None:
    clip = _tone(400)
    changed = _changed(clip, gain_probability=1.0, gain_db=(db, db))
    np.testing.assert_allclose(changed, clip * 10 ** (db / 20), rtol=1e-6)


def test_a_gain_that_would_exceed_the_range_is_limited_to_it() -> None:
    clip = _tone(400)
    changed = _changed(clip, gain_probability=1.0, gain_db=(40.0, 40.0))
    assert np.abs(changed).max() == 1
    np.testing.assert_allclose(changed, clip / np.abs(clip).max(), rtol=1e-6)


@pytest.mark.parametrize("snr", [0.0, 10.0, 25.0])
@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_noise_has_the_configured_ratio(snr: float, exponent: float) -> None:
    clip = _tone(400) / 2
    changed = _changed(clip, noise_probability=1.0, noise_snr_db=(snr, snr), noise_exponent=(exponent, exponent))
    assert _db(_power(clip) / _power(changed - clip)) == pytest.approx(snr, abs=0.05)


@pytest.mark.parametrize(("exponent", "db_per_octave"), [(0.0, 0.0), (1.0, -3.0)])
def test_noise_is_white_or_pink(exponent: float, db_per_octave: float) -> None:
    power = np.square(np.abs(np.fft.rfft(coloured_noise(30 * SAMPLE_RATE, exponent, _rng()))))
    frequencies = np.fft.rfftfreq(30 * SAMPLE_RATE, 1 / SAMPLE_RATE)
    octaves = [power[(frequencies >= low) & (frequencies < 2 * low)].mean() for low in (125, 250, 500, 1000, 2000)]
    assert [_db(after / before) for before, after in pairwise(octaves)] == pytest.approx([db_per_octave] * 4, abs=0.5)


def test_silence_stays_silent() -> None:
    silence = np.zeros(1000, dtype=np.float32)
    assert not _changed(silence, noise_probability=1.0, gain_probability=1.0, reverberation_probability=1.0).any()


@pytest.mark.parametrize("seconds", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("direct_db", [0.0, 10.0])
def test_a_room_has_the_configured_decay_and_direct_path(seconds: float, direct_db: float) -> None:
    energy = np.square(room_response(seconds, direct_db, _rng()), dtype=np.float64)
    assert _db(energy[0] / energy[1:].sum()) == pytest.approx(direct_db, abs=0.01)
    # Schroeder's backward integration, fitted from -5 to -25 dB (T20).
    left = np.cumsum(energy[:0:-1])[::-1]
    level = 10 * np.log10(left / left[0])
    fitted = (level < -5) & (level > -25)
    slope, _ = np.polyfit(np.arange(1, len(energy))[fitted] / SAMPLE_RATE, level[fitted], 1)
    assert -60 / slope == pytest.approx(seconds, rel=0.1)


def test_reverberation_keeps_level_and_alignment() -> None:
    clip = _clip(2 * SAMPLE_RATE)
    changed = _changed(clip, reverberation_probability=1.0, direct_to_reverberant_db=(3.0, 3.0))  # 2 : 1
    assert _power(changed) == pytest.approx(_power(clip), rel=1e-4)
    lags = np.fft.irfft(np.fft.rfft(changed) * np.fft.rfft(clip).conj())
    assert np.abs(lags).argmax() == 0
    assert np.corrcoef(changed, clip)[0, 1] == pytest.approx((2 / 3) ** 0.5, abs=0.02)


def test_reverberation_follows_the_sound() -> None:
    click = np.zeros(SAMPLE_RATE, dtype=np.float32)
    click[8000] = 0.5
    changed = _changed(click, reverberation_probability=1.0)
    assert np.abs(changed[:8000]).max() < 1e-6
    assert changed.argmax() == 8000
    assert np.abs(changed[8040:10000]).max() > 1e-3


@pytest.mark.parametrize(
    ("hz", "low", "high"),
    [
        (50, -80, -50),
        (150, -40, -20),  # an octave below the band, order 4
        (500, -1, 0.5),
        (1000, -0.5, 0.5),
        (3000, -1, 0.5),
        (3900, -120, -20),
        (6000, -120, -40),
    ],
)
def test_telephone_passes_its_band(hz: float, low: float, high: float) -> None:
    clip = _tone(hz)
    spectra = [
        np.abs(np.fft.rfft(side * np.hanning(len(side))))[round(hz)]
        for side in (_changed(clip, telephone_probability=1.0), clip)
    ]
    assert low < 2 * _db(max(spectra[0], 1e-9) / spectra[1]) < high


def test_telephone_has_the_noise_of_mu_law() -> None:
    # 8 bits: about 38 dB, over a wide range of levels.
    for level in (1.0, 0.1):
        changed = _changed(level * _tone(1000), telephone_probability=1.0)[2000:-2000]
        spectrum = np.square(np.abs(np.fft.rfft(changed * np.hanning(len(changed)))))
        peak = spectrum.argmax()
        tone = spectrum[peak - 3 : peak + 4].sum()
        assert 30 < _db(tone / (spectrum.sum() - tone)) < 45


@pytest.mark.parametrize("name", ["reverberation", "noise", "telephone", "gain"])
def test_each_effect_changes_the_clip_alone(name: str) -> None:
    clip = _clip(4000)
    before = clip.copy()
    assert not np.array_equal(_changed(clip, **{f"{name}_probability": 1.0}), clip)
    np.testing.assert_array_equal(clip, before)


@pytest.mark.parametrize("name", ["reverberation", "noise", "telephone", "gain"])
def test_an_effect_happens_with_its_probability(name: str) -> None:
    clip = _clip(500)
    changed = sum(_changed(clip, seed, **{f"{name}_probability": 0.3}) is not clip for seed in range(200))
    assert changed == pytest.approx(60, abs=26)  # 4 standard deviations


def test_nothing_happens_at_probability_zero() -> None:
    clip, mel = 2 * _clip(1000), torch.rand(80, 300)
    before = clip.copy(), mel.clone()
    off = Augmentation(_OFF)
    assert off.waveform(clip, _rng()) is clip
    assert off.features(mel, _rng()) is mel
    np.testing.assert_array_equal(clip, before[0])
    assert mel.equal(before[1])


def test_equal_generators_give_equal_results() -> None:
    clip, mel, augmentation = _clip(4001), torch.rand(80, 300), Augmentation(_ALL)
    np.testing.assert_array_equal(augmentation.waveform(clip, _rng(3)), augmentation.waveform(clip, _rng(3)))
    assert augmentation.features(mel, _rng(3)).equal(augmentation.features(mel, _rng(3)))
    assert not np.array_equal(augmentation.waveform(clip, _rng(3)), augmentation.waveform(clip, _rng(4)))
    assert not augmentation.features(mel, _rng(3)).equal(augmentation.features(mel, _rng(4)))


@settings(deadline=None, max_examples=50)
@given(n=st.integers(0, 300), seed=st.integers(0, 1000), scale=st.sampled_from([0.0, 1e-4, 1.0, 2.0]))
def test_any_clip_keeps_length_type_and_range(n: int, seed: int, scale: float) -> None:
    changed = Augmentation(_ALL).waveform(np.float32(scale) * _clip(n, seed), _rng(seed))
    assert changed.shape == (n,)
    assert changed.dtype == np.float32
    assert np.isfinite(changed).all()
    assert np.abs(changed).max(initial=0) <= 1


@settings(deadline=None, max_examples=50)
@given(bins=st.integers(1, 128), frames=st.integers(1, 700), seed=st.integers(0, 1000))
def test_masks_are_filled_with_the_mean(bins: int, frames: int, seed: int) -> None:
    mel = torch.from_numpy(_rng(seed).standard_normal((bins, frames))).float()
    before = mel.clone()
    masked = Augmentation(_ALL).features(mel, _rng(seed))
    assert mel.equal(before)
    assert masked.shape == mel.shape
    changed = masked != mel
    assert masked[changed].eq(mel.mean()).all()
    rows, columns = changed.all(1), changed.all(0)
    assert changed.equal(rows[:, None] | columns)
    assert columns.sum() <= 2 * min(50, 0.1 * frames)
    assert rows.sum() <= 2 * 0.15 * bins


def test_the_masked_share_is_that_of_uniform_widths() -> None:
    config = replace(_OFF, mask_probability=1.0, time_masks=1, frequency_masks=1, time_mask_frames=100)
    mel = torch.rand(100, 1000)
    columns, rows = [], []
    for seed in range(300):
        changed = Augmentation(config).features(mel, _rng(seed)) != mel
        columns.append(changed.all(0).sum().item())
        rows.append(changed.all(1).sum().item())
    assert np.mean(columns) == pytest.approx(50, abs=8)  # of 0 to 100
    assert np.mean(rows) == pytest.approx(7.5, abs=1.2)  # of 0 to 15
    assert max(columns) <= 100
    assert max(rows) == 15


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gain_probability": 1.5}, "gain_probability: expected a number from 0 to 1, got 1.5"),
        ({"time_mask_share": -0.1}, "time_mask_share: expected a number from 0 to 1, got -0.1"),
        ({"time_masks": -1}, "time_masks: expected 0 or more, got -1"),
        ({"gain_db": (3.0, -3.0)}, r"gain_db: expected the smaller number first, got \(3.0, -3.0\)"),
        ({"reverberation_seconds": (0.0, 1.0)}, "reverberation_seconds: expected positive numbers"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AugmentationConfig(**settings)
