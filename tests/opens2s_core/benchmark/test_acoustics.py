import numpy as np
import pytest
import torch

from opens2s_core.benchmark.acoustics import mel_distance, pitch_errors


def test_mel_distance_is_the_mean_difference_over_the_frames_of_both() -> None:
    mel = torch.randn(80, 12)
    assert mel_distance(mel, mel) == 0
    assert mel_distance(mel + 0.5, mel) == pytest.approx(0.5)
    longer = torch.cat([mel, torch.full((80, 3), 9.0)], dim=1)
    assert mel_distance(longer, mel) == mel_distance(mel, longer) == 0


def test_a_semitone_is_a_hundred_cents_over_frames_voiced_in_both() -> None:
    recorded = np.array([0, 100, 200, 200, 0], np.float32)
    sharp = recorded * np.float32(2 ** (1 / 12))
    sharp[3] = 0
    errors = pitch_errors([sharp], [recorded])
    assert errors.cents == pytest.approx(100, abs=1e-3)
    assert errors.voicing == 20


def test_sentences_are_weighed_by_their_frames() -> None:
    octave, right = np.full(1, 200, np.float32), np.full(3, 100, np.float32)
    errors = pitch_errors([octave, right], [octave / 2, right])
    assert errors.cents == pytest.approx(1200 * np.sqrt(1 / 4))
    assert errors.voicing == 0


def test_frames_beyond_the_shorter_one_do_not_count() -> None:
    recorded = np.full(4, 100, np.float32)
    errors = pitch_errors([np.append(recorded, 0).astype(np.float32)], [recorded])
    assert (errors.cents, errors.voicing) == (0, 0)


def test_without_a_frame_voiced_in_both_there_is_no_pitch_error() -> None:
    errors = pitch_errors([np.zeros(4, np.float32)], [np.full(4, 100, np.float32)])
    assert errors.cents is None
    assert errors.voicing == 100
