"""Samples → encoded audio, with libsndfile."""

import io
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from opens2s_core.audio.waveform import Waveform

_BLOCK = 65_536
"""Samples per call of libsndfile. With millions its Vorbis encoder overflows the stack and crashes the process."""


def encode_audio(samples: Waveform, rate: int, *, container: str = "flac") -> bytes:
    """16-bit ``wav`` or ``flac`` (or ``mp3``, ``ogg``) bytes of a mono waveform (n,) at ``rate`` Hz, clipped to
    [-1, 1]. ``ValueError`` for samples that are not finite: they crash some encoders."""
    if not np.isfinite(samples).all():
        raise ValueError("expected finite samples")
    buffer = io.BytesIO()
    subtype = "PCM_16" if container in ("wav", "flac") else None
    with soundfile.SoundFile(buffer, "w", rate, channels=1, subtype=subtype, format=container.upper()) as file:
        write_blocks(file, samples.clip(-1.0, 1.0))
    return buffer.getvalue()


def write_blocks(file: soundfile.SoundFile, samples: NDArray[Any]) -> None:
    """Write samples (n,) of any length."""
    for start in range(0, len(samples), _BLOCK):
        file.write(np.ascontiguousarray(samples[start : start + _BLOCK]))
