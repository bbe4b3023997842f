"""Encoded audio → samples, with FFmpeg. Files are decoded frame by frame, and no further than the length limit."""

import ctypes
import io
import math
from collections.abc import Iterator
from typing import Any

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
_TAGS = (b"ID3", b"TAG", b"APETAGEX")
"""Starts of tags. Between MP3 files that were put together FFmpeg takes them for audio."""
_PADDING = bytes(4)
"""Players skip zeros before an MP3; FFmpeg does not if it has a tag. No supported format starts with so many."""

_FULL_SCALE = {np.dtype(np.int16): 2.0**15, np.dtype(np.int32): 2.0**31}


class AudioError(ValueError):
    """Bytes that cannot be read as audio, or audio outside the limits."""


class _Damage(Exception):
    """What keeps the rest of a file from being decoded."""


def decode_audio(data: bytes, *, max_seconds: float | None = None) -> tuple[Waveform, int]:
    """Read wav, flac, mp3, ogg, opus, webm, m4a, mp4, aac, aiff or au bytes as mono float32 (n,) in [-1, 1]; returns
    samples and their rate in Hz. Of several audio tracks the first is read.

    A file that was cut at its end is read up to there: to the last whole frame, in Ogg to the last whole page. Only an
    m4a or mp4 file with its index at the end cannot be read when cut. A file with damage in it is refused, and the
    error says after how many seconds the damage is. Damage is a frame that cannot be decoded, a wrong checksum (FLAC,
    Ogg) or a gap in the timestamps (0.1 s or more, in FLAC any). It cannot be found in PCM, and not always in the
    other formats. A last frame that is damaged is taken for cut, except in Ogg.

    At most ``max_seconds`` are decoded (None: all that is there), so a small file that decodes to hours is cheap to
    refuse. Memory is reserved for decoded samples only, not for the length in a header. Raises :class:`AudioError`.

    Known limit: in an Ogg Vorbis file whose audio is one page, FFmpeg may leave out up to 256 samples at the end (16 ms
    at 16 kHz) or add as many. It also adds them where one chained stream follows another.
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
        what = f"not a readable audio file ({len(data)} bytes): {_reason(error, data)}"
        raise AudioError(f"{what}; expected wav, flac, mp3, ogg, opus, webm, m4a, mp4, aac, aiff or au") from error
    except _Damage as damage:
        raise AudioError(f"audio cannot be read beyond {count / rate:.2f} s: {damage}") from damage
    if not count:
        raise AudioError("audio is empty: it has no samples, or was cut before the first of them")
    samples = np.concatenate(blocks)
    if not np.isfinite(samples).all():
        raise AudioError("audio has samples that are not finite numbers")
    return samples.clip(-1.0, 1.0), rate


def _blocks(data: bytes) -> Iterator[tuple[Waveform, int]]:
    """The samples of each frame, and their rate."""
    readable, damaged = data, False
    if data.startswith(ogg.PAGE):
        readable, damaged = ogg.intact_pages(data)
    elif data.startswith(_PADDING):
        readable = data.lstrip(b"\0")
    with av.open(io.BytesIO(readable), "r", metadata_errors="replace", container_options=_OPTIONS) as file:
        stream = _audio_stream(file)
        is_flac = file.format.name == "flac"
        rate, end = None, None
        for frame in _frames(file, stream):
            _check_frame(frame)
            if rate not in (None, frame.sample_rate):
                raise AudioError(f"its sample rate changes from {rate} to {frame.sample_rate} Hz")
            rate = frame.sample_rate
            start = end if frame.time is None else frame.time
            if start is not None:
                gap = start - end if end is not None else 0.0
                if gap > _MAX_GAP or (is_flac and start and abs(gap) > _MAX_FLAC_GAP):
                    raise _Damage(f"{abs(gap):.2f} s of audio are missing")
                end = start + frame.samples / rate
            yield _mono(frame), rate
    if damaged:
        raise _Damage("an Ogg page is damaged")


def _audio_stream(file: InputContainer) -> av.AudioStream:
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


def _frames(file: InputContainer, stream: av.AudioStream) -> Iterator[av.AudioFrame]:
    """A packet that cannot be decoded is damage if another follows. As the last one it was cut, or is no audio."""
    problem = "a frame is damaged"
    if file.format.name == "ogg":
        problem += ", or a second stream begins, with another codec, rate or number of channels"
    undecoded = False
    try:
        for packet in file.demux(stream):
            if undecoded and packet.size:
                raise _Damage(problem)
            try:
                frames = packet.decode()
            except av.FFmpegError:
                undecoded = not bytes(packet).startswith(_TAGS)
            else:
                yield from frames
    except av.FFmpegError as error:
        raise _Damage(problem) from error


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
