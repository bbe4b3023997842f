"""Streaming audio in the requested format: at another rate, as float32 or as int16."""

import math

import numpy as np
from numpy.typing import NDArray

from opens2s_core.audio import Waveform, resample
from opens2s_core.inference.messages import OutputFormat

_ZEROS, _ROLLOFF = 6, 0.99
"""Of torchaudio's default filter: zero crossings per side, and the cut-off as a share of the lower rate."""
_FULL_SCALE = 32768


class StreamResampler:
    """:func:`opens2s_core.audio.resample` for a stream: the output does not depend on how the input is split.

    Rates are in Hz and differ; n samples become ⌈n · to / from⌉. The state is ``tail``, ``consumed`` and ``produced``.
    """

    def __init__(self, from_rate: int, to_rate: int) -> None:
        common = math.gcd(from_rate, to_rate)
        self._from, self._to = from_rate // common, to_rate // common
        self._reach = math.ceil(_ZEROS * self._from / (min(self._from, self._to) * _ROLLOFF))
        self.tail = np.zeros(0, np.float32)  # the latest input samples that later output depends on
        self.consumed = self.produced = 0

    def restore(self, tail: Waveform, *, consumed: int, produced: int) -> None:
        """Restore the state of another resampler; ``ValueError`` for a tail whose length does not fit the counts."""
        _check_tail(tail, consumed - self._needed(produced))
        self.tail, self.consumed, self.produced = tail, consumed, produced

    def push(self, samples: Waveform, *, final: bool) -> Waveform:
        """Add samples (n,) → the output samples (m,) that no later input changes; all remaining ones if final."""
        start = self.consumed - len(self.tail)
        known = np.concatenate([self.tail, samples])
        self.consumed += len(samples)
        produced, self.produced = self.produced, max(self.produced, self._available(final))
        self.tail = known[self._needed(self.produced) - start :].copy()
        if self.produced == produced:
            return samples[:0]
        offset = start // self._from * self._to
        # Padded with silence: torchaudio computes the length in float32 and may omit the last sample of a long
        # waveform.
        return resample(np.pad(known, (0, self._from)), self._from, self._to)[
            produced - offset : self.produced - offset
        ]

    def _available(self, final: bool) -> int:
        if final:
            return -(-self.consumed * self._to // self._from)
        return (self.consumed - self._reach) * self._to // self._from

    def _needed(self, produced: int) -> int:
        """The first input sample that output sample ``produced`` depends on, rounded down to a whole period of
        torchaudio's polyphase filters."""
        return max(0, (produced * self._from // self._to - self._reach) // self._from * self._from)


class AudioOutput:
    """Converts the samples of one reply to the requested format; ``rate`` is the input rate in Hz."""

    def __init__(self, rate: int, output_format: OutputFormat) -> None:
        self._samples = output_format.samples
        self._resampler = None
        if output_format.rate is not None and output_format.rate != rate:
            self._resampler = StreamResampler(rate, output_format.rate)

    @property
    def produced(self) -> int:
        """Samples that the resampler has produced; 0 without one."""
        return self._resampler.produced if self._resampler else 0

    @property
    def tail(self) -> Waveform:
        """The input history (n,) of the resampler; empty without one."""
        return self._resampler.tail if self._resampler else np.zeros(0, np.float32)

    def restore(self, tail: Waveform, *, consumed: int, produced: int) -> None:
        """Resume after ``consumed`` samples; ``ValueError`` for the state of another format."""
        if self._resampler is not None:
            self._resampler.restore(tail, consumed=consumed, produced=produced)
        else:
            _check_tail(tail, 0)

    def push(self, samples: Waveform, *, final: bool) -> NDArray[np.float32] | NDArray[np.int16]:
        """Samples (n,) in [-1, 1] → the output samples (m,) available now; all remaining ones if final."""
        if self._resampler is not None:
            samples = self._resampler.push(samples, final=final).clip(-1, 1)  # the filter may overshoot
        if self._samples == "float32":
            return samples
        return np.rint(samples * _FULL_SCALE).clip(-_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)


def _check_tail(tail: Waveform, length: int) -> None:
    if tail.shape != (length,) or tail.dtype != np.float32:
        raise ValueError(f"tail of samples {tail.dtype} of shape {tail.shape}: expected float32 of ({length},)")
