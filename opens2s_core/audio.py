"""Waveforms: reading and writing them, changing their rate, and the Whisper log-mel features of the encoders."""

import io
import math
from functools import lru_cache

import numpy as np
import soundfile
import torch
import torchaudio.functional
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
"""Hz, what every encoder hears."""
HOP = 160
"""Samples per log-mel frame (100 frames a second)."""
N_FFT = 400
SEGMENT_SECONDS = 30
SEGMENT_FRAMES = SEGMENT_SECONDS * SAMPLE_RATE // HOP
"""Log-mel frames of one encoder segment."""

MIN_RATE, MAX_RATE = 4_000, 192_000
"""Hz, of files that are read."""
MAX_CHANNELS = 2
_MAX_FILTERS = 10_000_000
_UNKNOWN_FRAMES = 2**63 - 1

Waveform = NDArray[np.float32]


class AudioError(ValueError):
    """Bytes that are not a sound we can read, or a sound outside the limits."""


def decode_audio(data: bytes, *, max_seconds: float | None = None) -> tuple[Waveform, int]:
    """Read wav, flac, ogg, mp3 or opus bytes as mono float32 in [-1, 1]; returns samples and their rate in Hz.

    Rate, channels and length (at most ``max_seconds``) are checked in the header before anything is decoded, and no
    more than that is ever decoded, so a small file that unpacks to hours costs nothing. Raises :class:`AudioError`.
    """
    try:
        with (soundfile.SoundFile if max_seconds is None else _Forward)(io.BytesIO(data)) as file:
            _check_header(file, max_seconds)
            rate = file.samplerate
            limit = -1 if max_seconds is None else int(max_seconds * rate) + 1
            samples = file.read(limit, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, TypeError) as error:
        what = f"not a readable sound file ({len(data)} bytes)"
        raise AudioError(f"{what}: expected wav, flac, ogg, opus or mp3") from error
    if len(samples) == limit:
        raise AudioError(f"sound of more than {max_seconds:g} s: expected at most {max_seconds:g} s")
    if not len(samples):
        raise AudioError("sound is empty: it has no samples")
    mono = samples.mean(axis=1, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise AudioError("sound has samples that are not finite numbers")
    return np.clip(mono, -1.0, 1.0), rate


class _Forward(soundfile.SoundFile):
    """A file that is read as it comes: what was streamed does not say how long it is, and has no end to look for."""

    def seekable(self) -> bool:
        return False


def _check_header(file: soundfile.SoundFile, max_seconds: float | None) -> None:
    rate = file.samplerate
    # The filter bank of the resampler grows with the product of both rates over their common factor.
    filters = rate * SAMPLE_RATE // math.gcd(rate, SAMPLE_RATE) ** 2
    if not MIN_RATE <= rate <= MAX_RATE or filters > _MAX_FILTERS:
        raise AudioError(f"sample rate {rate} Hz: expected a usual one, such as 8000, 16000, 44100 or 48000 Hz")
    if file.channels > MAX_CHANNELS:
        raise AudioError(f"{file.channels} channels: expected at most {MAX_CHANNELS}")
    if max_seconds is not None and max_seconds * rate < file.frames < _UNKNOWN_FRAMES:
        raise AudioError(f"sound of {file.frames / rate:.1f} s: expected at most {max_seconds:g} s")


def encode_audio(samples: Waveform, rate: int, *, container: str = "flac") -> bytes:
    """16-bit ``wav`` or ``flac`` (or ``mp3``, ``ogg``) bytes of a mono waveform (n,) in [-1, 1] at ``rate`` Hz."""
    buffer = io.BytesIO()
    subtype = "PCM_16" if container in ("wav", "flac") else None
    soundfile.write(buffer, samples, rate, format=container.upper(), subtype=subtype)
    return buffer.getvalue()


def resample(samples: Waveform, from_rate: int, to_rate: int) -> Waveform:
    """Whole-signal windowed-sinc resampling (torchaudio's defaults), rates in Hz: (n,) → (⌈n · to / from⌉,)."""
    if from_rate == to_rate or not len(samples):
        return samples
    return torchaudio.functional.resample(torch.from_numpy(samples), from_rate, to_rate).numpy()


@lru_cache(maxsize=4)
def _filters(mel_bins: int) -> torch.Tensor:
    from transformers.audio_utils import mel_filter_bank  # its package is large, and most that read audio need no mel

    bank = mel_filter_bank(
        num_frequency_bins=N_FFT // 2 + 1,
        num_mel_filters=mel_bins,
        min_frequency=0.0,
        max_frequency=SAMPLE_RATE / 2,
        sampling_rate=SAMPLE_RATE,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.from_numpy(bank).float().T.contiguous()  # (mel, freq)


def log_mel(samples: torch.Tensor, mel_bins: int) -> torch.Tensor:
    """Whisper features of one 16 kHz waveform (n,): float32 (mel_bins, n // 160), as transformers' extractor has them.

    Periodic Hann of 400, hop 160, centred with reflection, last frame dropped, slaney filters, log10 floored at
    1e-10 and at the clip's own maximum minus 8, then (x + 4) / 4. The caller pads: the floor sees what it is given.
    """
    window = torch.hann_window(N_FFT, device=samples.device)
    spectrum = torch.stft(samples, N_FFT, HOP, window=window, center=True, pad_mode="reflect", return_complex=True)
    power = spectrum[..., :-1].abs().square()
    log = (_filters(mel_bins).to(power.device) @ power).clamp(min=1e-10).log10()
    return (torch.maximum(log, log.max() - 8.0) + 4.0) / 4.0
