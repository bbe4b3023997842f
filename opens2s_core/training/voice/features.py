"""Training features of a voice: log-mel and pitch, aligned frame by frame, and units of a speech tokenizer.

Frame i covers the samples [i x hop, (i + 1) x hop) with a window around their centre. Mel settings are those
of the published decoder family (HiFi-GAN, arXiv 2010.05646).
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers.audio_utils import mel_filter_bank

from opens2s_core.audio import SAMPLE_RATE, Waveform
from opens2s_core.checkpoint.speech_tokenizer import load_speech_tokenizer
from opens2s_core.config import VocoderConfig
from opens2s_core.models.speech_tokenizer import SpeechTokenizer
from opens2s_core.models.vocoder import samples_per_frame
from opens2s_core.storage import digest
from opens2s_core.training.voice.corpus import SpeechCorpus

HOPS_PER_WINDOW = 4
MAX_MEL_HZ = 8000.0
LOG_FLOOR = 1e-5
PITCH_FLOOR, PITCH_CEILING = 60.0, 600.0
"""Hz, range of the pitch detection."""
_POWER_FLOOR = 1e-9  # keeps the gradient of the magnitude finite


def log_mel(samples: Tensor, config: VocoderConfig) -> Tensor:
    """Natural-log mel magnitudes of waveforms at the vocoder's rate: (..., n) → (..., mel, n // hop).

    Windows of 4 hops (published: 1024 samples), periodic Hann, uncentred with reflected ends; slaney filters up to
    8 kHz; floored at 1e-5. n must exceed 1.5 hops.
    """
    edge = _edge(config)
    padded = functional.pad(samples.reshape(-1, samples.shape[-1]), (edge, edge), mode="reflect")
    return _log_mel(padded.unflatten(0, samples.shape[:-1]) if samples.dim() > 1 else padded[0], config)


def crop_log_mel(samples: Waveform, start: int, frames: int, config: VocoderConfig) -> Tensor:
    """Frames [start, start + frames) of the :func:`log_mel` of a waveform (n,): (mel, frames)."""
    edge, hop = _edge(config), samples_per_frame(config)
    first = start * hop
    padded = np.pad(samples, edge, mode="reflect")[first : first + frames * hop + 2 * edge]
    return _log_mel(torch.from_numpy(padded), config)


def _edge(config: VocoderConfig) -> int:
    return (HOPS_PER_WINDOW - 1) * samples_per_frame(config) // 2


def _log_mel(padded: Tensor, config: VocoderConfig) -> Tensor:
    hop = samples_per_frame(config)
    size = HOPS_PER_WINDOW * hop
    window = torch.hann_window(size, device=padded.device, dtype=padded.dtype)
    spectrum = torch.stft(padded, size, hop, window=window, center=False, return_complex=True)
    power = spectrum.real.square() + spectrum.imag.square()
    mel = _filters(config).to(power) @ (power + _POWER_FLOOR).sqrt()
    return mel.clamp(min=LOG_FLOOR).log()


@lru_cache(maxsize=4)
def _filters(config: VocoderConfig) -> Tensor:
    bank = mel_filter_bank(
        num_frequency_bins=HOPS_PER_WINDOW * samples_per_frame(config) // 2 + 1,
        num_mel_filters=config.in_channels,
        min_frequency=0.0,
        max_frequency=min(MAX_MEL_HZ, config.sampling_rate / 2),
        sampling_rate=config.sampling_rate,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.from_numpy(bank).float().T.contiguous()  # (mel, bins)


def pitch(samples: Waveform, rate: int, hop: int) -> NDArray[np.float32]:
    """Pitch in Hz of each frame of a waveform (n,) at ``rate``, 0 if unvoiced: (n // hop,).

    Praat's autocorrelation method has few octave errors on speech, includes voicing detection, and takes 1/300 of the
    duration. It is imported here because only training and benchmarks need it.
    """
    try:
        import parselmouth
    except ImportError as error:
        raise ImportError(
            "pitch needs praat-parselmouth (pip install 'opens2s-on-ray[voice]'); "
            "a run with a complete cache/ from another machine does not need it"
        ) from error

    frames = len(samples) // hop
    # Praat returns no frames at the ends, where its window does not fit: pad with silence.
    margin = round(3 / PITCH_FLOOR * rate)
    speech = parselmouth.Sound(np.pad(samples.astype(np.float64), margin), rate)
    found = speech.to_pitch_ac(time_step=hop / rate, pitch_floor=PITCH_FLOOR, pitch_ceiling=PITCH_CEILING)
    at = (np.arange(frames) + 0.5) * hop / rate + margin / rate
    hertz = found.selected_array["frequency"]
    voiced = hertz > 0
    if not voiced.any():
        return np.zeros(frames, np.float32)
    is_voiced = np.interp(at, found.xs(), voiced.astype(np.float64)) >= 0.5
    return np.where(is_voiced, np.interp(at, found.xs()[voiced], hertz[voiced]), 0.0).astype(np.float32)


def corpus_pitch(corpus: SpeechCorpus, index: int, config: VocoderConfig, cache: Path) -> NDArray[np.float32]:
    """:func:`pitch` of an utterance at the vocoder's rate and hop, cached in the directory ``cache``."""
    rate, hop = config.sampling_rate, samples_per_frame(config)
    samples = corpus.waveform(index, rate)
    key = _key(samples, f"praat {rate} {hop} {PITCH_FLOOR} {PITCH_CEILING}")
    return _cached(cache, key, lambda: pitch(samples, rate, hop))


def corpus_units(
    corpus: SpeechCorpus, indices: list[int], tokenizer: Path, cache: Path, device: torch.device
) -> Iterator[NDArray[np.int64]]:
    """Unit ids (N,) of utterances, from the speech tokenizer in a directory, one by one, cached in ``cache``."""
    model = load_speech_tokenizer(tokenizer, torch.float32).to(device)
    identity = digest(tokenizer)
    for index in indices:
        samples = corpus.waveform(index, SAMPLE_RATE)
        # Not in batches: with some tokenizers the last unit depends on the rest of the batch.
        yield _cached(cache, _key(samples, identity), partial(_encode, model, samples))


def _encode(model: SpeechTokenizer, samples: Waveform) -> NDArray[np.int64]:
    return np.array(model.encode([samples])[0], dtype=np.int64)


def _cached(cache: Path, key: str, compute: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    path = cache / f"{key}.npy"
    if path.exists():
        return np.load(path)
    values = compute()
    cache.mkdir(parents=True, exist_ok=True)
    unfinished = cache / f"{key}.{os.getpid()}.unfinished"
    with unfinished.open("wb") as file:
        np.save(file, values)
    unfinished.rename(path)
    return values


def _key(samples: Waveform, how: str) -> str:
    return hashlib.sha256(f"{how}\n".encode() + np.ascontiguousarray(samples).data).hexdigest()[:40]
