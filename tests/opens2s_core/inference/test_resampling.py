import numpy as np
import pytest
import torch
import torchaudio.functional
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2s_core.audio import resample
from opens2s_core.inference.messages import OutputFormat
from opens2s_core.inference.resampling import AudioOutput, StreamResampler

RATES = st.sampled_from(
    [(22050, 16000), (22050, 24000), (22050, 48000), (24000, 16000), (24000, 48000), (48000, 16000), (7, 5), (5, 13)]
)
SIZES = st.lists(st.integers(0, 3000), min_size=1, max_size=8)


def noise(n, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, n).astype(np.float32)


def split_at(waveform, sizes):
    return np.split(waveform, np.cumsum(sizes)[:-1])


@settings(max_examples=60)
@given(RATES, SIZES, st.data())
def test_parts_give_the_same_samples_as_the_whole_wherever_another_resampler_resumes(rates, sizes, data):
    waveform, parts = noise(sum(sizes)), split_at(noise(sum(sizes)), sizes)
    whole = torchaudio.functional.resample(torch.from_numpy(waveform), *rates).numpy() if len(waveform) else waveform
    handover, resampler, made = data.draw(st.integers(0, len(parts) - 1)), StreamResampler(*rates), []
    for i, part in enumerate(parts):
        if i == handover:
            before, resampler = resampler, StreamResampler(*rates)
            resampler.restore(before.tail, consumed=before.consumed, produced=before.produced)
        made.append(resampler.push(part, final=i == len(parts) - 1))
    assert np.concatenate(made).shape == whole.shape
    np.testing.assert_allclose(np.concatenate(made), whole, atol=1e-5)
    assert resampler.produced == len(whole)


@given(RATES, st.integers(0, 10**6))
def test_so_many_samples_become_so_many_as_fit_in_their_time(rates, n):
    resampler = StreamResampler(*rates)
    resampler.push(np.zeros(n, np.float32), final=True)
    assert resampler.produced == -(-n * rates[1] // rates[0])


@pytest.mark.parametrize("count", [1, 8])
def test_the_last_sample_is_there_where_the_whole_signal_function_counts_too_few(count):
    waveform, rates, resampler = noise(166_144), (22050, 24000), StreamResampler(22050, 24000)
    made = [resampler.push(part, final=i == count - 1) for i, part in enumerate(np.split(waveform, count))]
    whole = resample(waveform, *rates)
    assert len(np.concatenate(made)) == -(-len(waveform) * 24000 // 22050) == len(whole) + 1
    np.testing.assert_allclose(np.concatenate(made)[:-1], whole, atol=1e-5)


@given(RATES, st.integers(0, 20_000))
def test_latency_and_state_are_small(rates, n):
    resampler = StreamResampler(*rates)
    resampler.push(np.zeros(n, np.float32), final=False)
    assert (n - resampler.produced * rates[0] / rates[1]) / rates[0] <= max(2e-3, 20 / min(rates))
    assert len(resampler.tail) <= 1000


def test_resuming_after_the_end_repeats_nothing():
    first = StreamResampler(22050, 16000)
    first.push(noise(5000), final=True)
    again = StreamResampler(22050, 16000)
    again.restore(first.tail, consumed=first.consumed, produced=first.produced)
    assert not len(again.push(noise(0), final=True))


def test_a_tail_of_another_length_or_kind_is_refused():
    first = StreamResampler(22050, 16000)
    first.push(noise(5000), final=False)
    for tail in (first.tail[1:], first.tail.astype(np.float64)):
        with pytest.raises(ValueError, match=f"expected float32 of .{len(first.tail)},"):
            StreamResampler(22050, 16000).restore(tail, consumed=first.consumed, produced=first.produced)
    with pytest.raises(ValueError, match=r"expected float32 of \(0,\)"):
        AudioOutput(22050, OutputFormat()).restore(first.tail, consumed=first.consumed, produced=first.produced)


def test_integers_are_rounded_and_clipped():
    output = AudioOutput(22050, OutputFormat(samples="int16"))
    given_samples = np.array([0, 0.6, -0.6, 1.4, 32767, 40000, -32768, -40000], np.float32) / 32768
    made = output.push(given_samples, final=True)
    assert made.dtype == np.int16
    assert made.tolist() == [0, 1, -1, 1, 32767, 32767, -32768, -32768]


def test_audio_at_the_native_rate_is_not_resampled():
    for asked in (OutputFormat(), OutputFormat(rate=24000)):
        output = AudioOutput(24000, asked)
        np.testing.assert_array_equal(output.push(noise(100), final=False), noise(100))
        assert (output.produced, output.tail.size) == (0, 0)


def test_resampled_audio_stays_in_range():
    square = np.sign(np.sin(np.arange(4000) / 9)).astype(np.float32)
    assert np.abs(resample(square, 22050, 48000)).max() > 1.05
    assert np.abs(AudioOutput(22050, OutputFormat(rate=48000)).push(square, final=True)).max() == 1
