"""Encoded audio → samples, by FFmpeg, frame by frame: what a limit on the length refuses is never decoded whole."""

import ctypes
import io
import math
from collections.abc import Iterator
from typing import Any

import av
import numpy as np

from opens2s_core.audio.waveform import SAMPLE_RATE, Waveform

MIN_RATE, MAX_RATE = 4_000, 192_000
"""Hz, of files that are read."""
MAX_CHANNELS = 2
_MAX_FILTERS = 10_000_000
_MAX_CLAIM = 24 * 3600.0
"""Seconds. A header that claims more is damaged."""
_HEADERS_WITH_LENGTH = ("flac", "mp3")
"""Ogg streams may start at any time, so the time at their end is no length."""

_FORMATS = "wav,w64,aiff,au,flac,ogg,mp3,aac,matroska,mov"
"""FFmpeg's names. Without them it would also follow playlists."""
_CODECS = frozenset({"aac", "flac", "mp3", "opus", "vorbis"})
"""Canonical names, next to those of PCM. All decode to short frames, so the limit on seconds bounds the work."""

_DECODERS = ("aac", "flac", "mp3", "mp3float", "opus", "libopus", "vorbis", "libvorbis")
_PCM_DECODERS = tuple(sorted(name for name in av.codecs_available if name.startswith("pcm_")))
_OPTIONS = {"format_whitelist": _FORMATS, "codec_whitelist": ",".join(_DECODERS + _PCM_DECODERS)}
"""Decoders are limited as well, since FFmpeg decodes pictures and video to find out what a file holds."""

_MAX_ALLOCATION = 128 * 2**20
"""Bytes that FFmpeg may reserve at once, since where it reads tags it reserves what a header claims. The index of 30
hours of AAC fits. The setting is of the process, and PyAV has no function for it."""
ctypes.CDLL(av._core.__file__).av_max_alloc(ctypes.c_size_t(_MAX_ALLOCATION))

_FULL_SCALE = {np.dtype(np.int16): 2.0**15, np.dtype(np.int32): 2.0**31}


class AudioError(ValueError):
    """Bytes that are not audio we can read, or audio outside the limits."""


def decode_audio(data: bytes, *, max_seconds: float | None = None) -> tuple[Waveform, int]:
    """Read wav, flac, mp3, ogg, opus, webm, m4a, mp4, aac, aiff or au bytes as mono float32 (n,) in [-1, 1]; returns
    samples and their rate in Hz.

    At most ``max_seconds`` are decoded (None: all that is there), so a small file that unpacks to hours costs nothing.
    What a header claims reserves no memory. Raises :class:`AudioError`.
    """
    blocks: list[Waveform] = []
    count, rate = 0, SAMPLE_RATE
    try:
        for block, rate in _blocks(data):
            blocks.append(block)
            count += len(block)
            if max_seconds is not None and count > max_seconds * rate:
                raise AudioError(f"audio of more than {max_seconds:g} s: expected at most {max_seconds:g} s")
    except av.FFmpegError as error:
        if count:
            raise AudioError(f"audio file is damaged after {count / rate:.2f} s: {error.strerror}") from error
        what = f"not a readable audio file ({len(data)} bytes): {error.strerror}"
        raise AudioError(f"{what}; expected wav, flac, mp3, ogg, opus, webm, m4a, mp4 or aac") from error
    if not count:
        raise AudioError("audio is empty: it has no samples")
    samples = np.concatenate(blocks)
    if not np.isfinite(samples).all():
        raise AudioError("audio has samples that are not finite numbers")
    return samples.clip(-1.0, 1.0), rate


def _blocks(data: bytes) -> Iterator[tuple[Waveform, int]]:
    """The samples of each frame, and their rate."""
    with av.open(io.BytesIO(data), "r", metadata_errors="replace", container_options=_OPTIONS) as file:
        stream = next(iter(file.streams.audio), None)
        if stream is None:
            raise AudioError(f"{file.format.name} file without audio")
        codec = stream.codec_context.codec.canonical_name if stream.codec_context else "of an unknown kind"
        if codec not in _CODECS and not codec.startswith("pcm_"):
            raise AudioError(f"its audio is {codec}, expected PCM or one of {', '.join(sorted(_CODECS))}")
        if file.format.name in _HEADERS_WITH_LENGTH:
            _check_claim(stream)
        stream.codec_context.thread_count = 1  # more threads would compete with the replies that are being made
        rate = None
        for frame in file.decode(stream):
            _check_frame(frame)
            if rate not in (None, frame.sample_rate):
                raise AudioError(f"its sample rate changes from {rate} to {frame.sample_rate} Hz")
            rate = frame.sample_rate
            yield _mono(frame), rate


def _check_claim(stream: av.AudioStream) -> None:
    if stream.duration is not None and stream.time_base is not None:
        seconds = float(stream.duration * stream.time_base)
        if seconds > _MAX_CLAIM:
            raise AudioError(f"damaged header: it claims {seconds:.0f} s")


def _check_frame(frame: av.AudioFrame) -> None:
    rate, channels = frame.sample_rate, frame.layout.nb_channels
    # The filter bank of the resampler grows with the product of both rates over their common factor.
    if not MIN_RATE <= rate <= MAX_RATE or rate * SAMPLE_RATE // math.gcd(rate, SAMPLE_RATE) ** 2 > _MAX_FILTERS:
        raise AudioError(f"sample rate {rate} Hz: expected a usual one, such as 8000, 16000, 44100 or 48000 Hz")
    if channels > MAX_CHANNELS:
        raise AudioError(f"{channels} channels: expected at most {MAX_CHANNELS}")


def _mono(frame: av.AudioFrame) -> Waveform:
    try:
        samples: Any = frame.to_ndarray()  # planar: (channels, n); packed: (1, n * channels)
    except ValueError as error:
        raise AudioError(f"samples of type {frame.format.name}: expected at most 32 bits") from error
    channels = frame.layout.nb_channels
    if not frame.format.is_planar:
        samples = samples.reshape(-1, channels).T
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.float32) - 128.0) / 128.0
    else:
        with np.errstate(over="ignore", invalid="ignore"):  # of damaged files; found out once all is decoded
            samples = samples.astype(np.float32) / np.float32(_FULL_SCALE.get(samples.dtype, 1.0))
    mono: Waveform = samples.mean(axis=0, dtype=np.float32)
    return mono
