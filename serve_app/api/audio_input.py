"""Audio files of clients, in base64, as the samples that the model reads."""

import base64
import binascii
import io
from collections.abc import Iterator

import av
import numpy as np
from av.audio.resampler import AudioResampler

from opens2s_core.audio import (
    MAX_CHANNELS,
    MAX_RATE,
    MIN_RATE,
    SAMPLE_RATE,
    AudioError,
    Waveform,
    decode_audio,
    resample,
)

_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_WHITE_SPACE = b" \t\r\n"

_CODECS = frozenset({"aac", "flac", "mp3", "opus", "vorbis"})
"""What browsers and phones record. All of them decode to short frames, so that the limit on seconds bounds the work."""


def decode_input(data: str, *, max_seconds: float) -> Waveform:
    """Base64 of an audio file of at most ``max_seconds`` → mono samples (n,) at 16 kHz. Raises :class:`AudioError`.

    The base64 may have line breaks, the URL-safe alphabet, no padding, and a data URL around it
    (``data:audio/wav;base64,…``). What kind of file it is shows in its first bytes: wav, flac, ogg, opus, mp3, webm,
    m4a, mp4 or aac.
    """
    file = _from_base64(_without_data_url(data) if data.startswith("data:") else data)
    if not file:
        raise AudioError("audio is empty: it has no bytes")
    container = _container(file)
    if container is not None:
        return _decode_container(file, container, max_seconds)
    samples, rate = decode_audio(file, max_seconds=max_seconds)
    return resample(samples, rate, SAMPLE_RATE)


def _without_data_url(url: str) -> str:
    head, marker, encoded = url.partition(";base64,")
    if not marker or "," in head:
        raise AudioError("data URL: expected 'data:<media type>;base64,' before the audio")
    return encoded


def _from_base64(text: str) -> bytes:
    try:
        encoded = text.encode("ascii").translate(_URL_SAFE, delete=_WHITE_SPACE).rstrip(b"=")
        return base64.b64decode(encoded + b"=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise AudioError(f"not base64 ({len(text)} characters): {error}") from error


def _container(file: bytes) -> str | None:
    """The name by which ffmpeg knows a container that libsndfile does not read, or reads while it prints to the
    terminal (mp3); None for all others.

    ffmpeg is given no choice but these: left to guess, it would also follow playlists.
    """
    if file.startswith(b"\x1aE\xdf\xa3"):
        return "matroska"
    if file[4:8] == b"ftyp":
        return "mp4"
    if file.startswith(b"ID3"):
        return "mp3"
    if len(file) > 1 and file[0] == 0xFF and file[1] & 0xE0 == 0xE0:
        # A frame's sync word. In the header of an ADTS frame (aac) the two bits of the layer are 0.
        return "aac" if file[1] & 0xF6 == 0xF0 else "mp3"
    return None


def _decode_container(file: bytes, container: str, max_seconds: float) -> Waveform:
    name = f"{'webm' if container == 'matroska' else container} file of {len(file)} bytes"
    blocks: list[Waveform] = []
    samples = 0
    try:
        for block in _blocks(file, container, name):
            blocks.append(block)
            samples += len(block)
            if samples > max_seconds * SAMPLE_RATE:
                raise AudioError(f"audio of more than {max_seconds:g} s: expected at most {max_seconds:g} s")
    except av.FFmpegError as error:
        raise AudioError(f"{name} is not readable: {error.strerror}") from error
    if not samples:
        raise AudioError(f"{name} has no samples")
    mono = np.concatenate(blocks)
    if not np.isfinite(mono).all():
        raise AudioError(f"{name} has samples that are not finite numbers")
    return mono.clip(-1.0, 1.0)


def _blocks(file: bytes, container: str, name: str) -> Iterator[Waveform]:
    """The samples at 16 kHz, frame by frame, so that no more is decoded than is taken."""
    resampler = AudioResampler("flt", "mono", SAMPLE_RATE)
    with av.open(io.BytesIO(file), "r", format=container, metadata_errors="replace") as opened:
        stream = next(iter(opened.streams.audio), None)
        if stream is None:
            raise AudioError(f"{name} has no audio")
        codec = stream.codec_context.codec.canonical_name if stream.codec_context else "of an unknown kind"
        if codec not in _CODECS:
            raise AudioError(f"{name}: its audio is {codec}, expected one of {sorted(_CODECS)}")
        stream.codec_context.thread_count = 1  # more threads would compete with the replies that are being made
        for frame in opened.decode(stream):
            _check_frame(frame.sample_rate, frame.layout.nb_channels)
            yield from _resample(resampler, frame, name)
        yield from _resample(resampler, None, name)


def _resample(resampler: AudioResampler, frame: av.AudioFrame | None, name: str) -> list[Waveform]:
    try:
        return [resampled.to_ndarray()[0] for resampled in resampler.resample(frame)]
    except ValueError as error:
        raise AudioError(f"{name} is not readable: its sample rate or its channels change") from error


def _check_frame(rate: int, channels: int) -> None:
    if not MIN_RATE <= rate <= MAX_RATE:
        raise AudioError(f"sample rate {rate} Hz: expected {MIN_RATE} to {MAX_RATE} Hz")
    if channels > MAX_CHANNELS:
        raise AudioError(f"{channels} channels: expected at most {MAX_CHANNELS}")
