"""The Whisper log-mel features of the encoders."""

from functools import lru_cache

import torch

from opens2s_core.audio.waveform import SAMPLE_RATE

HOP = 160
"""Samples per log-mel frame (100 frames a second)."""
N_FFT = 400
SEGMENT_SECONDS = 30
SEGMENT_FRAMES = SEGMENT_SECONDS * SAMPLE_RATE // HOP
"""Log-mel frames of one encoder segment."""


@lru_cache(maxsize=4)
def _filters(mel_bins: int) -> torch.Tensor:
    from transformers.audio_utils import mel_filter_bank  # slow to import, and most callers need no mel

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
    """Whisper features of one 16 kHz waveform (n,): float32 (mel_bins, n // 160), equal to those of transformers.

    Periodic Hann of 400, hop 160, centred with reflection, last frame dropped, slaney filters, log10 floored at
    1e-10 and at the clip's own maximum minus 8, then (x + 4) / 4. Padding is up to the caller and counts for it.
    """
    window = torch.hann_window(N_FFT, device=samples.device)
    spectrum = torch.stft(samples, N_FFT, HOP, window=window, center=True, pad_mode="reflect", return_complex=True)
    power = spectrum[..., :-1].abs().square()
    log = (_filters(mel_bins).to(power.device) @ power).clamp(min=1e-10).log10()
    return (torch.maximum(log, log.max() - 8.0) + 4.0) / 4.0
