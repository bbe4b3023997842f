"""Joining the audio of a text that is read in parts."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.api.audio_parts import PAUSE_SECONDS, PartJoiner, Samples
from tests.serve_app.fake_reply import RATE, tone

QUIET = 330
PAUSE = int(PAUSE_SECONDS * RATE)


def silence(seconds: float) -> Samples:
    return np.zeros(int(seconds * RATE), np.int16)


def join(parts: list[Samples], size: int = 10**9) -> list[Samples]:
    """What is sent, call by call, when each part comes in chunks of ``size`` samples."""
    joiner = PartJoiner(RATE)
    sent = []
    for part in parts:
        for start in range(0, len(part), size):
            sent.append(joiner.push(part[start : start + size], final=False))
        sent.append(joiner.push(part[:0], final=True))
    return [*sent, joiner.close()]


def longest_silence(samples: Samples) -> int:
    loud = np.flatnonzero(np.abs(samples.astype(int)) >= QUIET)
    return max(after - before - 1 for before, after in itertools.pairwise(loud))


@given(st.integers(1, 5_000))
def test_a_single_part_passes_unchanged(size: int) -> None:
    np.testing.assert_array_equal(np.concatenate(join([tone(0.3)], size)), tone(0.3))


@pytest.mark.parametrize(
    ("end", "begin"), [(0, 0), (0.1, 0), (0, 0.1), (0.05, 0.05), (0.1, 0.3), (0, 1.0), (0.19, 0.19)]
)
def test_the_pause_between_parts_has_its_length(end: float, begin: float) -> None:
    first, second = np.concatenate([tone(0.5), silence(end)]), np.concatenate([silence(begin), tone(0.5)])
    assert abs(longest_silence(np.concatenate(join([first, second]))) - PAUSE) < 0.025 * RATE


def test_a_longer_silence_at_the_end_of_a_part_stays() -> None:
    first, second = np.concatenate([tone(0.5), silence(0.5)]), np.concatenate([silence(0.5), tone(0.5)])
    assert abs(longest_silence(np.concatenate(join([first, second]))) - 0.5 * RATE) < 0.03 * RATE


def test_a_seam_has_no_step() -> None:
    loud = np.full(RATE, 20_000, np.int16)
    joined = np.concatenate(join([loud, loud]))
    assert np.abs(np.diff(joined.astype(int))).max() < 300


@given(st.lists(st.tuples(*[st.sampled_from([0, 0.004, 0.1, 0.4])] * 3), max_size=4), st.integers(1, 3_000))
@settings(deadline=None)
def test_the_result_does_not_depend_on_the_chunks(lengths: list[tuple[float, ...]], size: int) -> None:
    parts = [np.concatenate([silence(a), tone(b), silence(c)]) for a, b, c in lengths]
    expected = np.concatenate(join(parts))
    np.testing.assert_array_equal(np.concatenate(join(parts, size)), expected)


def test_parts_are_streamed() -> None:
    sent = join([tone(1.0), tone(1.0)], RATE // 100)
    pushed = 0
    for i, samples in enumerate(sent[:100]):
        pushed += len(samples)
        assert (i + 1) * (RATE // 100) - pushed <= 0.006 * RATE


def test_parts_without_audio_are_skipped() -> None:
    empty = silence(0)
    np.testing.assert_array_equal(np.concatenate(join([empty, tone(0.3), empty])), tone(0.3))
    np.testing.assert_array_equal(
        np.concatenate(join([tone(0.3), empty, tone(0.3)])), np.concatenate(join([tone(0.3), tone(0.3)]))
    )
