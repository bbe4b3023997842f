"""The frames of an audio file, by FFmpeg, and what is checked of them: for whole files and for segments."""

import ctypes
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import av
import numpy as np
from av.container import InputContainer

from opens2s_core.audio import ogg
from opens2s_core.audio.waveform import SAMPLE_RATE, Waveform

MIN_RATE, MAX_RATE = 4_000, 192_000
"""Sample rates that are read, in Hz."""
MAX_CHANNELS = 2
_MAX_FILTERS = 10_000_000
_MAX_CLAIM = 24 * 3600.0
"""Seconds. A header that claims more is damaged."""
_HEADERS_WITH_LENGTH = ("flac", "mp3")
"""Ogg streams may start at any time, so the time at their end is no length."""

_FORMATS = "wav,w64,aiff,au,flac,ogg,mp3,aac,matroska,mov"
"""FFmpeg's names. The list keeps it from opening other files, as it does for playlists."""
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

_MAX_GAP, _MAX_FLAC_GAP = 0.1, 0.001
"""Seconds by which the timestamp of a frame may differ from the end of the frame before. In FLAC it counts samples,
starts again at 0 where one file follows another, and may come too early after a damaged frame. Elsewhere it is from a
clock, or leaves out what a codec needs to start."""
_MAX_PAUSE = 60.0
"""Seconds of silence that Opus in webm may leave out. A longer pause would make long silence of few bytes."""
_BETWEEN_PACKETS = 64
"""Bytes of headers that webm has at most between packets. 0.1 s of sound in Opus needs more, so where there are no more
bytes than these, packets were not lost but never written."""
_TAGS = (b"ID3", b"TAG", b"APETAGEX")
"""Starts of tags. Between MP3 files that were put together FFmpeg takes them for audio."""
_FULL_SCALE = {np.dtype(np.int16): 2.0**15, np.dtype(np.int32): 2.0**31}


class AudioError(ValueError):
    """Bytes that cannot be read as audio, or audio outside the limits."""


class AudioTooLong(AudioError):
    """Audio of more seconds than the limit."""


class AudioCut(AudioError):
    """A file that declares more audio than it has."""


class Damage(Exception):
    """What keeps the rest of a file from being decoded."""

    def after(self, seconds: float) -> AudioError:
        return AudioError(f"audio cannot be read beyond {seconds:.2f} s: {self}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """The samples of one frame, or silence between two."""

    samples: Waveform  # mono (n,), not limited to [-1, 1]
    rate: int  # Hz
    time: float | None  # seconds, of the first sample, by the timestamps; None: they are unknown


def open_audio(source: BinaryIO) -> InputContainer:
    """Raises :class:`av.FFmpegError`, which :func:`unreadable` explains."""
    return av.open(source, "r", metadata_errors="replace", container_options=_OPTIONS)


def unreadable(error: av.FFmpegError, start: bytes, size: int) -> AudioError:
    """The error for a file of ``size`` bytes that cannot be opened. ``start``: its first 8 bytes, or more."""
    what = f"not a readable audio file ({size} bytes): {_reason(error, start)}"
    return AudioError(f"{what}; expected wav, flac, mp3, ogg, opus, webm, m4a, mp4, aac, aiff or au")


def too_long(what: str, max_seconds: float) -> AudioTooLong:
    return AudioTooLong(f"{what}: expected at most {max_seconds:g} s")


def joined(blocks: list[Waveform]) -> Waveform:
    """The samples of a file in [-1, 1]."""
    if not blocks:
        raise AudioError("audio is empty: it has no samples, or was cut before the first of them")
    samples = np.concatenate(blocks)
    if not np.isfinite(samples).all():
        raise AudioError("audio has samples that are not finite numbers")
    return samples.clip(-1.0, 1.0)


def decoded_blocks(file: InputContainer, stream: av.AudioStream, rate: int | None = None) -> Iterator[Block]:
    """The audio from where ``file`` is on, none of it empty, at the given rate or that of the first frame.

    Raises :class:`Damage` where the rest cannot be decoded or audio is missing, and :class:`AudioError` for audio
    outside the limits.
    """
    is_flac = file.format.name == "flac"
    may_pause = "webm" in file.format.name and stream.codec_context.codec.canonical_name == "opus"
    end = None
    for frame, follows in _frames(file, stream):
        _check_frame(frame)
        if rate not in (None, frame.sample_rate):
            raise AudioError(f"its sample rate changes from {rate} to {frame.sample_rate} Hz")
        rate = frame.sample_rate
        start = end if frame.time is None else frame.time
        if start is not None:
            gap = start - end if end is not None else 0.0
            if gap > _MAX_GAP and may_pause and follows and gap <= _MAX_PAUSE:
                yield Block(samples=np.zeros(round(gap * rate), np.float32), rate=rate, time=end)
            elif gap > _MAX_GAP or (is_flac and start and abs(gap) > _MAX_FLAC_GAP):
                raise Damage(f"{abs(gap):.2f} s of audio are missing")
            end = start + frame.samples / rate
        if frame.samples:
            yield Block(samples=_mono(frame), rate=rate, time=start)


def audio_stream(file: InputContainer) -> av.AudioStream:
    """The first audio track, ready to decode. Raises :class:`AudioError` where it is not one that is read."""
    stream = next(iter(file.streams.audio), None)
    if stream is None:
        raise AudioError(f"{file.format.name} file without audio")
    codec = stream.codec_context.codec.canonical_name if stream.codec_context else "of an unknown kind"
    if codec not in _CODECS and not codec.startswith("pcm_"):
        raise AudioError(f"its audio is {codec}, expected PCM or one of {', '.join(sorted(_CODECS))}")
    if file.format.name in _HEADERS_WITH_LENGTH:
        _check_claim(stream)
    if codec == "flac":
        stream.codec_context.options = {"err_detect": "crccheck+explode"}  # frames with a wrong checksum are errors
    stream.codec_context.thread_count = 1  # more threads would slow down the engine
    return stream


def _frames(file: InputContainer, stream: av.AudioStream) -> Iterator[tuple[av.AudioFrame, bool]]:
    """Frames, and whether each follows the one before without other bytes between them.

    A packet that cannot be decoded is damage if another follows. As the last one it was cut, or is no audio.
    """
    problem = "a frame is damaged"
    if file.format.name == "ogg":
        problem += ", or a second stream begins, with another codec, rate or number of channels"
    undecoded, follows, end = False, True, 0
    try:
        for packet in file.demux():  # packets of a video lie between those of its audio
            if packet.size and packet.pos is not None:
                follows = follows and packet.pos - end <= _BETWEEN_PACKETS
                end = max(end, packet.pos) + packet.size  # those of one block have one position
            if packet.stream.index != stream.index:
                continue
            if undecoded and packet.size:
                raise Damage(problem)
            try:
                frames = stream.decode(packet)
            except av.FFmpegError:
                undecoded = not bytes(packet).startswith(_TAGS)
            else:
                for frame in frames:
                    yield frame, follows
                    follows = True
    except av.FFmpegError as error:
        raise Damage(problem) from error


def _reason(error: av.FFmpegError, data: bytes) -> str:
    if isinstance(error, av.ArgumentError):
        return "its format is not supported"
    if data.startswith(ogg.PAGE):
        return "its first pages are damaged or were cut off"
    if data[4:8] == b"ftyp":
        return "its index (moov), which most m4a and mp4 files have at their end, is missing or damaged"
    return "its format is unknown, or its header is damaged or was cut off"


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
        with np.errstate(over="ignore", invalid="ignore"):  # in damaged files; checked after decoding
            samples = samples.astype(np.float32) / np.float32(_FULL_SCALE.get(samples.dtype, 1.0))
    mono: Waveform = samples[0] if channels == 1 else samples.mean(axis=0, dtype=np.float32)
    return mono
