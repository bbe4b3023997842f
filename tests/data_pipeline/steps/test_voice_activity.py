import numpy as np
import pytest

from data_pipeline.records import RejectedRow
from data_pipeline.steps.voice_activity import TrimConfig, speech_probabilities, trim_silence
from opens2s_core.audio import SAMPLE_RATE
from tests.data_pipeline.steps.rows import silence, speech

SPEECH = speech("The weather is lovely today and I went for a walk.")
AROUND = np.concatenate([silence(1.5), SPEECH, silence(2.0)])


def test_silence_before_and_after_speech_is_cut() -> None:
    trimmed = trim_silence(AROUND, TrimConfig(margin_seconds=0))
    sounding = np.flatnonzero(np.abs(SPEECH) > 0.01)
    assert len(trimmed) == pytest.approx(sounding[-1] - sounding[0], abs=0.15 * SAMPLE_RATE)


def test_the_margin_is_kept_on_both_sides() -> None:
    bare = trim_silence(AROUND, TrimConfig(margin_seconds=0))
    wide = trim_silence(AROUND, TrimConfig(margin_seconds=0.25))
    np.testing.assert_array_equal(wide[4000:-4000], bare)


def test_a_margin_ends_with_the_clip() -> None:
    np.testing.assert_array_equal(trim_silence(SPEECH, TrimConfig(margin_seconds=5)), SPEECH)


def test_the_result_does_not_depend_on_the_clips_before() -> None:
    first = speech_probabilities(AROUND)
    speech_probabilities(SPEECH)
    assert speech_probabilities(AROUND) == first


@pytest.mark.parametrize("samples", [silence(1), silence(0), np.full(8000, 0.3, np.float32)])
def test_clips_without_speech_are_rejected(samples: np.ndarray) -> None:
    with pytest.raises(RejectedRow, match=r"^no speech: highest probability 0\.\d\d, expected at least 0\.5$"):
        trim_silence(samples, TrimConfig())


@pytest.mark.parametrize("settings", [{"margin_seconds": -1.0}, {"threshold": 0.0}, {"threshold": 1.0}])
def test_impossible_settings_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected margin_seconds >= 0"):
        TrimConfig(**settings)
