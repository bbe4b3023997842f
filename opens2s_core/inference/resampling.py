"""Streaming audio in the requested format: at another rate, as float32 or as int16."""

import math

import numpy as np
from numpy.typing import NDArray

from opens2s_core.audio import Waveform, resample
from opens2s_core.inference.messages import OutputFormat

_ZEROS, _ROLLOFF = 6, 0.99
"""Of torchaudio's default filter: zero crossings on either side, and the cut-off as a share of the lower rate."""
_FULL_SCALE = 32768


class StreamResampler:
    """:func:`opens2s_core.audio.resample` of a waveform that is still growing: the same samples for
    all cuts.

    Rates are in Hz and differ; n samples become ⌈n · to / from⌉. Its whole state is ``tail``, ``taken`` and ``made``.
    """

    def __init__(self, from_rate: int, to_rate: int) -> None:
        common = math.gcd(from_rate, to_rate)
        self._from, self._to = from_rate // common, to_rate // common
        self._reach = math.ceil(_ZEROS * self._from / (min(self._from, self._to) * _ROLLOFF))
        self.tail = np.zeros(0, np.float32)  # the last samples taken, as many as the next ones made still depend on
        self.taken = self.made = 0

    def restore(self, tail: Waveform, *, taken: int, made: int) -> None:
        """Resume another's state; ``ValueError`` for a tail whose length does not fit the counts."""
        _check_tail(tail, taken - self._needed(made))
        self.tail, self.taken, self.made = tail, taken, made

    def push(self, samples: Waveform, *, final: bool) -> Waveform:
        """The samples (m,) that become certain with the next ones (n,); all that is left if final."""
        start = self.taken - len(self.tail)
        known = np.concatenate([self.tail, samples])
        self.taken += len(samples)
        made, self.made = self.made, max(self.made, self._certain(final))
        self.tail = known[self._needed(self.made) - start :].copy()
        if self.made == made:
            return samples[:0]
        offset = start // self._from * self._to
        # After the end there is silence. Unless it is padded, torchaudio, which counts in float32, may leave out
        # the last sample of a long waveform.
        return resample(np.pad(known, (0, self._from)), self._from, self._to)[made - offset : self.made - offset]

    def _certain(self, final: bool) -> int:
        if final:
            return -(-self.taken * self._to // self._from)
        return (self.taken - self._reach) * self._to // self._from

    def _needed(self, made: int) -> int:
        """The first sample that the one at ``made`` depends on, rounded down to where both rates meet: the filters of
        torchaudio repeat from there."""
        return max(0, (made * self._from // self._to - self._reach) // self._from * self._from)


class AudioOutput:
    """Converts one reply's samples to the requested format; ``rate`` is that of the samples pushed, in Hz."""

    def __init__(self, rate: int, asked: OutputFormat) -> None:
        self._samples = asked.samples
        self._resampler = None
        if asked.rate is not None and asked.rate != rate:
            self._resampler = StreamResampler(rate, asked.rate)

    @property
    def made(self) -> int:
        """Samples that the resampler has made; 0 where there is none."""
        return self._resampler.made if self._resampler else 0

    @property
    def tail(self) -> Waveform:
        """What the resampler keeps (n,); empty where there is none."""
        return self._resampler.tail if self._resampler else np.zeros(0, np.float32)

    def restore(self, tail: Waveform, *, taken: int, made: int) -> None:
        """Resume after ``taken`` samples; ``ValueError`` for the state of another format."""
        if self._resampler is not None:
            self._resampler.restore(tail, taken=taken, made=made)
        else:
            _check_tail(tail, 0)

    def push(self, samples: Waveform, *, final: bool) -> NDArray[np.float32] | NDArray[np.int16]:
        """Samples (n,) in [-1, 1] → those (m,) that can be emitted now; all that is left if final."""
        if self._resampler is not None:
            samples = self._resampler.push(samples, final=final).clip(-1, 1)  # the filter may swing a little further
        if self._samples == "float32":
            return samples
        return np.rint(samples * _FULL_SCALE).clip(-_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)


def _check_tail(tail: Waveform, length: int) -> None:
    if tail.shape != (length,) or tail.dtype != np.float32:
        raise ValueError(f"tail of samples {tail.dtype} of shape {tail.shape}: expected float32 of ({length},)")
