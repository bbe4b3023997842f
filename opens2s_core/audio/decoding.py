"""A whole file of encoded audio → samples."""

import io

import av

from opens2s_core.audio import ogg
from opens2s_core.audio.frames import (
    AudioCut,
    Damage,
    audio_stream,
    decoded_blocks,
    joined,
    open_audio,
    too_long,
    unreadable,
)
from opens2s_core.audio.length import Completeness
from opens2s_core.audio.waveform import SAMPLE_RATE, Waveform

_PADDING = bytes(4)
"""Players skip zeros before an MP3; FFmpeg does not if it has a tag. No supported format starts with so many."""


def decode_audio(data: bytes, *, max_seconds: float | None = None) -> tuple[Waveform, int]:
    """Read wav, flac, mp3, ogg, opus, webm, m4a, mp4, aac, aiff or au bytes as mono float32 (n,) in [-1, 1]; returns
    samples and their rate in Hz. Of several audio tracks the first is read.

    A file that was cut at its end is read up to there: to the last whole frame, in Ogg to the last whole page. Only an
    m4a or mp4 file with its index at the end cannot be read when cut. A file with damage in it is refused, and the
    error says after how many seconds the damage is. Damage is a frame that cannot be decoded, a wrong checksum (FLAC,
    Ogg) or a gap in the timestamps (0.1 s or more, in FLAC any). It cannot be found in PCM, and not always in the
    other formats. A last frame that is damaged is taken for cut, except in Ogg.

    A gap of up to 60 s becomes silence in webm with Opus, where no bytes are missing: recordings of calls leave out
    packets while nobody speaks.

    At most ``max_seconds`` are decoded (None: all that is there), so a small file that decodes to hours is cheap to
    refuse. Memory is reserved for decoded samples only, not for the length in a header. Raises
    :class:`~opens2s_core.audio.frames.AudioError`, for longer audio
    :class:`~opens2s_core.audio.frames.AudioTooLong`.

    Known limit: in an Ogg Vorbis file whose audio is one page, FFmpeg may leave out up to 256 samples at the end (16 ms
    at 16 kHz) or add as many. It also adds them where one chained stream follows another.
    """
    samples, rate, _ = _decode(data, max_seconds)
    return samples, rate


def decode_whole_audio(data: bytes, *, max_seconds: float | None = None) -> tuple[Waveform, int]:
    """As :func:`decode_audio`, but a file that was cut at its end is an
    :class:`~opens2s_core.audio.frames.AudioCut` where the cut can be found.

    It is found where more than 0.25 s are missing of the length in the header of wav, flac, aiff, au, m4a or mp4, or
    in the tag that encoders add to mp3, and where Ogg has no page that ends its stream. It is not found in webm, w64,
    aac, mp3 without that tag, nor where the header leaves the length open, as recorders do that were interrupted.
    """
    samples, rate, completeness = _decode(data, max_seconds)
    if (problem := completeness.problem(len(samples), rate)) is not None:
        raise AudioCut(problem)
    return samples, rate


def _decode(data: bytes, max_seconds: float | None) -> tuple[Waveform, int, Completeness]:
    readable, damaged = data, False
    if data.startswith(ogg.PAGE):
        readable, damaged = ogg.intact_pages(data)
    elif data.startswith(_PADDING):
        readable = data.lstrip(b"\0")
    try:
        file = open_audio(io.BytesIO(readable))
    except av.FFmpegError as error:
        raise unreadable(error, data, len(data)) from error
    blocks: list[Waveform] = []
    count, rate = 0, SAMPLE_RATE
    try:
        with file:
            stream = audio_stream(file)
            completeness = Completeness(readable, file, stream)
            for block in decoded_blocks(file, stream):
                blocks.append(block.samples)
                rate = block.rate
                count += len(block.samples)
                if max_seconds is not None and count > max_seconds * rate:
                    raise too_long(f"audio of more than {max_seconds:g} s", max_seconds)
        if damaged:
            raise Damage("an Ogg page is damaged")
    except Damage as damage:
        raise damage.after(count / rate) from damage
    return joined(blocks), rate, completeness
