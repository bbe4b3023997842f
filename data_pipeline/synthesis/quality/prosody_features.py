"""The prosody of a clip as a vector: pitch, energy, rate and pauses, measured with Praat."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data_pipeline.steps.filters import SILENCE
from data_pipeline.synthesis.protocols import Speech

if TYPE_CHECKING:
    import parselmouth

FEATURES = (
    "f0_median",  # semitones above 100 Hz
    "f0_deviation",  # standard deviation, semitones
    "f0_range",  # from the 5th to the 95th percentile, semitones
    "f0_slope",  # of the line through all voiced frames, semitones per second
    "f0_final_slope",  # of the line through the last fifth of the voiced frames, semitones per second
    "f0_final",  # median of the last fifth of the voiced frames above f0_median, semitones
    "f0_movement",  # mean absolute change between neighbouring voiced frames, semitones per second
    "voiced_share",  # of the frames of speech
    "energy_mean",  # of the frames of speech, dB
    "energy_deviation",  # standard deviation, dB
    "energy_range",  # from the 5th to the 95th percentile, dB
    "energy_slope",  # of the line through the frames of speech, dB per second
    "syllable_rate",  # syllable nuclei per second of speech without pauses
    "pause_share",  # of the time from the first to the last frame of speech
    "pause_rate",  # pauses per second of that time
)
"""Names of the numbers in a vector. Frames are 10 ms apart; those of speech are at most 25 dB below the loudest."""

_STEP = 0.01
_FLOOR, _CEILING = 60.0, 700.0
"""Hz. Of men's low voices and of children's high ones."""
_BELOW_LOUDEST = 25.0
_DIP = 2.0
"""dB from the loudest frames to those without speech, and from a syllable to the dip before it, as in De Jong and Wempe
(2009), "Praat script to detect syllable nuclei"."""
_PAUSE = 0.15
_SHORTEST = 0.1
"""Seconds of a pause, and of a clip."""
_FINAL = 0.2


def prosody_features(speech: Speech) -> NDArray[np.float64]:
    """The :data:`FEATURES` of a clip (features,): those of pitch are NaN with fewer than ten voiced frames, all are
    NaN for a clip without sound or shorter than 0.1 s.

    Pitch is tracked twice, the second time between bounds for the clip's own speaker, as in De Looze and Hirst (2008).
    Raises ``ImportError`` without praat-parselmouth.
    """
    try:
        import parselmouth
    except ImportError as error:
        raise ImportError("prosody needs praat-parselmouth (pip install 'opens2s-on-ray[quality]')") from error
    if len(speech.samples) < _SHORTEST * speech.rate or np.abs(speech.samples).max() < SILENCE:
        return np.full(len(FEATURES), np.nan)
    # Praat returns no frames at the ends, where its windows do not fit.
    margin = round(3 / _FLOOR * speech.rate)
    clip = parselmouth.Sound(np.pad(speech.samples.astype(np.float64), margin), speech.rate)
    intensity = clip.to_intensity(minimum_pitch=100.0, time_step=_STEP)
    times, energy = intensity.xs(), intensity.values[0]
    spoken = energy > np.percentile(energy, 99) - _BELOW_LOUDEST
    semitones = np.interp(times, *_pitch(clip), left=np.nan, right=np.nan)
    return np.array(
        [
            *_pitch_features(times, semitones),
            float(np.isfinite(semitones[spoken]).mean()),
            *_energy_features(times[spoken], energy[spoken]),
            *_rate_features(energy, spoken, np.isfinite(semitones)),
        ]
    )


def _pitch(clip: "parselmouth.Sound") -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times in seconds and semitones above 100 Hz, NaN where unvoiced: each (frames,)."""
    track: Any = clip.to_pitch_ac(time_step=_STEP, pitch_floor=_FLOOR, pitch_ceiling=_CEILING)
    hertz = track.selected_array["frequency"]
    if (voiced := hertz[hertz > 0]).size:
        low, high = np.percentile(voiced, [25, 75])
        floor, ceiling = max(_FLOOR, 0.6 * low), min(_CEILING, 2.2 * high)
        track = clip.to_pitch_ac(time_step=_STEP, pitch_floor=floor, pitch_ceiling=ceiling)
        hertz = track.selected_array["frequency"]
    return track.xs(), 12 * np.log2(np.where(hertz > 0, hertz, np.nan) / 100)


def _pitch_features(times: NDArray[np.float64], semitones: NDArray[np.float64]) -> list[float]:
    voiced = np.isfinite(semitones)
    if voiced.sum() < 10:
        return [np.nan] * 7
    at, pitch = times[voiced], semitones[voiced]
    final = slice(-max(5, round(_FINAL * len(pitch))), None)
    median = float(np.median(pitch))
    movement = np.abs(np.diff(semitones)) / _STEP
    return [
        median,
        float(pitch.std()),
        _spread(pitch),
        _slope(at, pitch),
        _slope(at[final], pitch[final]),
        float(np.median(pitch[final])) - median,
        float(np.nanmean(movement)) if np.isfinite(movement).any() else np.nan,
    ]


def _energy_features(times: NDArray[np.float64], energy: NDArray[np.float64]) -> list[float]:
    return [float(energy.mean()), float(energy.std()), _spread(energy), _slope(times, energy)]


def _rate_features(energy: NDArray[np.float64], spoken: NDArray[np.bool_], voiced: NDArray[np.bool_]) -> list[float]:
    first, last = np.flatnonzero(spoken)[[0, -1]]
    seconds = (last - first + 1) * _STEP
    pauses = [length for length in _silences(spoken[first : last + 1]) if length * _STEP >= _PAUSE]
    paused = sum(pauses) * _STEP
    return [_nuclei(energy, spoken & voiced) / (seconds - paused), paused / seconds, len(pauses) / seconds]


def _nuclei(energy: NDArray[np.float64], allowed: NDArray[np.bool_]) -> int:
    """Peaks of the energy in ``allowed`` frames, with a dip between each two."""
    peaks = np.flatnonzero((energy[1:-1] > energy[:-2]) & (energy[1:-1] >= energy[2:])) + 1
    count, previous = 0, 0
    for peak in peaks:
        if energy[previous : peak + 1].min() <= energy[peak] - _DIP:
            count += bool(allowed[peak])
            previous = int(peak)
        elif energy[peak] > energy[previous]:
            previous = int(peak)  # the same syllable, at its loudest
    return count


def _silences(spoken: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Lengths of the runs of frames without speech between frames with speech."""
    return np.diff(np.flatnonzero(spoken)) - 1


def _spread(values: NDArray[np.float64]) -> float:
    low, high = np.percentile(values, [5, 95])
    return float(high - low)


def _slope(times: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Of the line of least squares, per second."""
    centred = times - times.mean()
    return float(centred @ values / (centred @ centred)) if len(times) > 1 else 0.0
