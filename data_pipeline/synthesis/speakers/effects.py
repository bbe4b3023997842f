"""What changes the prosody of a clip after its synthesis: pitch by Praat, pauses and loudness."""

import math

import numpy as np

from data_pipeline.synthesis.speakers.prosody import Prosody
from data_pipeline.synthesis.speakers.voice import EXTRA
from opens2s_core.audio import Waveform

PITCH_FLOOR, PITCH_CEILING = 60.0, 600.0
"""Hz. f0 is searched between them: men to children."""
_BELOW, _ABOVE = 0.75, 1.5
"""Factors of the quartiles of f0 between which it is searched again (De Looze & Hirst 2008): few octave errors."""
_TIME_STEP = 0.01
"""Seconds between values of f0."""

LEVEL = -26.0
"""dBFS: RMS of the speech in a clip with loudness 0 (ITU-T P.56's usual level)."""
_PEAK = 0.99
_FRAME = 0.01
"""Seconds per frame of the level."""
_SILENT = -35.0
"""dB below the loudest frame from which a frame is silence."""
_LONGEST_END = 0.2
"""Seconds of silence at an end."""
_SHORTEST_PAUSE = 0.1
"""Seconds. Shorter silences are closures of plosives."""


def change_pitch(samples: Waveform, rate: int, semitones: float, range_factor: float) -> Waveform:
    """Shift the median of f0, and scale the distances from it in semitones, by pitch-synchronous overlap-add (PSOLA,
    Moulines & Charpentier 1990) in Praat: (n,) → (n,). A clip without a voiced frame stays as it is. ImportError names
    the extra where Praat is not installed."""
    try:
        import parselmouth
        from parselmouth.praat import call
    except ImportError as error:
        raise ImportError(f"the voices need praat-parselmouth (pip install '{EXTRA}')") from error

    clip = parselmouth.Sound(samples.astype(np.float64), rate)
    found = clip.to_pitch(_TIME_STEP, PITCH_FLOOR, PITCH_CEILING).selected_array["frequency"]
    if not (found > 0).any():
        return samples
    low, high = np.percentile(found[found > 0], [25, 75])
    floor, ceiling = max(PITCH_FLOOR, _BELOW * low), min(PITCH_CEILING, _ABOVE * high)
    manipulation = call(clip, "To Manipulation", _TIME_STEP, floor, ceiling)
    tier = call(manipulation, "Extract pitch tier")
    count = call(tier, "Get number of points")
    if not count:
        return samples
    median = float(np.median([call(tier, "Get value at index", index + 1) for index in range(count)]))
    center = median * 2 ** (semitones / 12)
    call(tier, "Formula", f"{center:.6f} * (self / {median:.6f}) ^ {range_factor:.6f}")
    call([tier, manipulation], "Replace pitch tier")
    changed: Waveform = call(manipulation, "Get resynthesis (overlap-add)").values[0].astype(np.float32)
    return changed


def finish(samples: Waveform, rate: int, prosody: Prosody) -> Waveform:
    """A clip with the pauses and the loudness of ``prosody``, and without long silence at its ends: (n,) → (m,)."""
    stretched = stretch_pauses(trim_ends(samples, rate), rate, prosody.pauses)
    return set_level(stretched, rate, LEVEL + prosody.loudness)


def trim_ends(samples: Waveform, rate: int) -> Waveform:
    """A clip with at most 0.2 s of silence before and after speech: (n,) → (m,)."""
    frame = round(_FRAME * rate)
    speech = np.flatnonzero(_frame_levels(samples, frame) >= _SILENT)
    if not len(speech):
        return samples
    kept = round(_LONGEST_END * rate)
    return samples[max(speech[0] * frame - kept, 0) : (speech[-1] + 1) * frame + kept]


def stretch_pauses(samples: Waveform, rate: int, factor: float) -> Waveform:
    """The length of every pause of at least 0.1 s between speech times ``factor``: (n,) → (m,).

    Silence is added or removed in the middle of the pause.
    """
    frame = round(_FRAME * rate)
    silent = np.append(_frame_levels(samples, frame) < _SILENT, False)
    speech = np.flatnonzero(~silent[:-1])
    if not len(speech):
        return samples
    parts, position = [], 0
    starts = np.flatnonzero(silent[1:] & ~silent[:-1]) + 1
    for start in starts[(starts > speech[0]) & (starts < speech[-1])]:
        length = int(np.argmin(silent[start:]))
        if length * _FRAME < _SHORTEST_PAUSE:
            continue
        middle = (start + length // 2) * frame
        change = round(length * frame * (factor - 1))
        if change >= 0:
            parts += [samples[position:middle], np.zeros(change, np.float32)]
            position = middle
        else:
            parts.append(samples[position : middle + change // 2])
            position = middle + change // 2 - change
    return np.concatenate([*parts, samples[position:]])


def set_level(samples: Waveform, rate: int, level: float) -> Waveform:
    """A clip whose speech has an RMS of ``level`` dBFS, less where a peak would exceed full scale: (n,) → (n,)."""
    frame = round(_FRAME * rate)
    spoken = np.repeat(_frame_levels(samples, frame) >= _SILENT, frame)
    energy = float(np.mean(samples[: len(spoken)][spoken] ** 2)) if spoken.any() else 0.0
    if not energy:
        return samples
    gain = min(10 ** (level / 20) / math.sqrt(energy), _PEAK / float(np.abs(samples).max()))
    return samples * np.float32(gain)


def _frame_levels(samples: Waveform, frame: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """dB relative to the loudest frame: (n // frame,)."""
    energy = (samples[: len(samples) // frame * frame].reshape(-1, frame).astype(np.float64) ** 2).mean(axis=1)
    return 10 * np.log10(np.maximum(energy, 1e-12) / max(energy.max(initial=0.0), 1e-12))
