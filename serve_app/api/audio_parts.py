"""The audio of a text that is read in parts, joined so that the seams do not stand out."""

import numpy as np
from numpy.typing import NDArray

PAUSE_SECONDS = 0.2
"""Silence between two parts, as between two sentences that are read in one breath."""
_FADE_SECONDS = 0.005
"""At the edges of a seam. Long enough to remove a step in the waveform, too short to take away from a sound."""
_ONSET_SECONDS = 0.02
"""Kept before the first loud sample: consonants begin more quietly than the threshold."""
_QUIET = 330
"""Below this (1 % of full scale, -40 dB) a sample counts as silence."""

_NONE = np.zeros(0, np.int16)

Samples = NDArray[np.int16]


class PartJoiner:
    """Takes the int16 samples of all parts in order and returns those that can be sent.

    The audio of a single part passes unchanged. At a seam both edges are faded, and the pause is made
    ``PAUSE_SECONDS`` long: silence is added after a part that ends in less, and what the next part begins with beyond
    that is cut. A longer silence at the end of a part stays: it has been sent. Only the few milliseconds to be faded
    are held back and, after a seam, the silence that a part begins with.
    """

    def __init__(self, rate: int) -> None:
        """For samples at ``rate`` Hz."""
        self._pause = int(PAUSE_SECONDS * rate)
        self._onset = int(_ONSET_SECONDS * rate)
        fade = int(_FADE_SECONDS * rate)
        self._rise = np.linspace(0.0, 1.0, fade, endpoint=False, dtype=np.float32)
        self._held = _NONE  # the end of the part so far; its last samples are faded if another part follows
        self._quiet_end = 0  # samples of silence at the end of all that was pushed
        self._leading: Samples | None = None  # after a seam, the silence that the part begins with; else None
        self._ended = False  # the last part is complete

    def push(self, samples: Samples, *, final: bool) -> Samples:
        """The samples (m,) that can be sent with the next ones (n,) of a part; ``final`` ends the part."""
        ready = [_NONE]
        if self._ended and len(samples):
            ready.append(_faded(self._held, self._rise[::-1]))
            self._held, self._leading, self._ended = _NONE, _NONE, False
        if self._leading is not None:
            samples = self._after_seam(np.concatenate([self._leading, samples]), final=final)
        self._note_silence(samples)
        known = np.concatenate([self._held, samples])
        keep = max(len(known) - len(self._rise), 0)
        self._held = known[keep:]
        self._ended |= final and bool(len(known))
        return np.concatenate([*ready, known[:keep]])

    def close(self) -> Samples:
        """The rest."""
        held, self._held = self._held, _NONE
        return held

    def _after_seam(self, samples: Samples, *, final: bool) -> Samples:
        """A pause and the first sound of the part after a seam; nothing while only silence is there."""
        loud = np.flatnonzero(np.abs(samples.astype(np.int32)) >= _QUIET)
        begin = int(loud[0]) if len(loud) else len(samples)
        if len(samples) < begin + len(self._rise) and not final:
            self._leading = samples
            return _NONE
        self._leading = None
        missing = max(self._pause - self._quiet_end, self._onset)
        samples = samples[max(begin - missing, 0) :]
        faded = _faded(samples, self._rise)
        return np.concatenate([np.zeros(max(missing - begin, 0), np.int16), faded])

    def _note_silence(self, samples: Samples) -> None:
        loud = np.flatnonzero(np.abs(samples.astype(np.int32)) >= _QUIET)
        self._quiet_end = len(samples) - int(loud[-1]) - 1 if len(loud) else self._quiet_end + len(samples)


def _faded(samples: Samples, gain: NDArray[np.float32]) -> Samples:
    """``samples`` times the gain at that edge where the gain is 0."""
    size = min(len(samples), len(gain))
    faded = samples.copy()
    if gain[0] == 0:
        faded[:size] = np.rint(samples[:size] * gain[:size])
    elif size:
        faded[-size:] = np.rint(samples[-size:] * gain[-size:])
    return faded
