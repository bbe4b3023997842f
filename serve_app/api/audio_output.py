"""The audio of replies in the format that a client asked for, as a stream or as a whole file."""

import asyncio
import base64
import io
import struct
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import soundfile
from numpy.typing import NDArray

from opens2s_core.audio import write_blocks
from opens2s_core.inference.resampling import StreamResampler

AudioFormat = Literal["wav", "pcm16", "flac", "mp3", "opus"]

_UNKNOWN_LENGTH = 0xFFFFFFFF
_FULL_SCALE = 32768

_SET_OGG_PAGE_LATENCY_MS = 0x1302
_OGG_PAGE_MS = 50.0


class AudioEncoder:
    """Encodes one reply: what the calls return, joined, is a file of the format asked for.

    All formats but flac are streamed: their files do not give the length of the audio, and memory does not grow with
    the reply. Readers of flac that can seek, libsndfile among them, refuse such a file, so flac comes whole at the end.
    """

    def __init__(self, audio_format: AudioFormat, rate: int) -> None:
        """For samples at ``rate`` Hz. What libsndfile cannot encode is its ``soundfile.LibsndfileError``."""
        self._output = _AppendedBytes(skip_first_write=audio_format == "mp3")
        self._file: io.BytesIO | None = None
        self._codec: _Codec | None = None
        match audio_format:
            case "wav":
                self._output.write(_wav_header(rate, None))
            case "flac":
                self._file = io.BytesIO()
                self._codec = _Codec(self._file, audio_format, rate)
            case "mp3" | "opus":
                self._codec = _Codec(self._output, audio_format, rate)

    def push(self, samples: NDArray[np.int16]) -> bytes:
        """The bytes that are final with the next samples (n,); none while the codec waits for more of them.

        ``TypeError`` for samples that are not int16.
        """
        samples = _little_endian(samples)
        if self._codec is None:
            self._output.write(samples.tobytes())
        else:
            self._codec.write(samples)
        return self._output.take()

    def close(self) -> bytes:
        """The rest of the file. Call it once, after the last ``push``."""
        if self._codec is not None:
            self._codec.close()
        return self._output.take() if self._file is None else self._file.getvalue()


class AudioStream:
    """An :class:`AudioEncoder` for the event loop: compression runs in a thread."""

    def __init__(self, audio_format: AudioFormat, rate: int) -> None:
        self._encoder = AudioEncoder(audio_format, rate)
        self._compresses = audio_format not in ("pcm16", "wav")

    async def push(self, samples: NDArray[np.int16]) -> bytes:
        return await asyncio.to_thread(self._encoder.push, samples) if self._compresses else self._encoder.push(samples)

    async def close(self) -> bytes:
        return await asyncio.to_thread(self._encoder.close) if self._compresses else self._encoder.close()


def encode_whole(samples: NDArray[np.int16], rate: int, audio_format: AudioFormat) -> bytes:
    """A finished reply, samples (n,) at ``rate`` Hz, as a file that gives its length (``pcm16``: bare samples).

    ``TypeError`` for samples that are not int16.
    """
    samples = _little_endian(samples)
    if audio_format == "pcm16":
        return samples.tobytes()
    if audio_format == "wav":
        return _wav_header(rate, len(samples)) + samples.tobytes()
    file = io.BytesIO()
    codec = _Codec(file, audio_format, rate)
    codec.write(samples)
    codec.close()
    return file.getvalue()


def base64_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _little_endian(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    return samples.astype("<i2", casting="equiv", copy=False)


def _wav_header(rate: int, length: int | None) -> bytes:
    """The header of a wav file of ``length`` samples; None: of unknown length."""
    size = _UNKNOWN_LENGTH if length is None else 2 * length
    riff = struct.pack("<4sI4s", b"RIFF", min(36 + size, _UNKNOWN_LENGTH), b"WAVE")
    layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    return riff + layout + struct.pack("<4sI", b"data", size)


class _AppendedBytes:
    """A file for libsndfile to write, of which only appended bytes are kept, until they are taken.

    What libsndfile changes when it closes the file, lengths and checksums in a header that has been sent already, is
    dropped. With ``skip_first_write`` its first write is dropped too.
    """

    def __init__(self, *, skip_first_write: bool = False) -> None:
        self._ready = bytearray()
        self._position = self._end = 0
        self._skip = skip_first_write

    def write(self, data: bytes) -> int:
        appended, self._position = self._position == self._end, self._position + len(data)
        if appended:
            self._end = self._position
            self._ready += b"" if self._skip else data
            self._skip = False
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._end}[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def take(self) -> bytes:
        ready = bytes(self._ready)
        self._ready.clear()
        return ready


@dataclass(frozen=True, kw_only=True, slots=True)
class _CodecSettings:
    """How libsndfile writes a format; ``rates`` in Hz, ascending, where the codec has only a few."""

    container: str
    subtype: str
    compression: float
    rates: tuple[int, ...] = ()
    bitrate_mode: str | None = None

    def rate(self, wanted: int) -> int:
        """The lowest rate in Hz that keeps all of the audio at the wanted one, if there is one."""
        return min((rate for rate in self.rates if rate >= wanted), default=max(self.rates, default=wanted))


_SETTINGS = {
    # The lowest level is the quickest, for 3 % more bytes.
    "flac": _CodecSettings(container="FLAC", subtype="PCM_16", compression=0.0),
    # Constant, about 80 kbit/s: players guess a wrong length from a stream of varying rate, and some then stop early.
    # The first write is an empty frame, to be filled with that length at the end: a stream does without it.
    "mp3": _CodecSettings(
        container="MP3",
        subtype="MPEG_LAYER_III",
        compression=0.5,
        bitrate_mode="CONSTANT",
        rates=(8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
    ),
    # 56 kbit/s.
    "opus": _CodecSettings(container="OGG", subtype="OPUS", compression=0.8, rates=(24_000,)),
}


class _Codec:
    """libsndfile, writing mono samples at ``rate`` Hz into ``file``; resampled where the format lacks that rate."""

    def __init__(self, file: io.BytesIO | _AppendedBytes, audio_format: Literal["flac", "mp3", "opus"], rate: int):
        settings = _SETTINGS[audio_format]
        file_rate = settings.rate(rate)
        self._resampler = StreamResampler(rate, file_rate) if file_rate != rate else None
        self._empty = True
        self._file = soundfile.SoundFile(
            file,
            "w",
            samplerate=file_rate,
            channels=1,
            format=settings.container,
            subtype=settings.subtype,
            compression_level=settings.compression,
            bitrate_mode=settings.bitrate_mode,
        )
        if settings.container == "OGG":
            _send_pages_early(self._file)

    def write(self, samples: NDArray[np.int16]) -> None:
        self._empty = self._empty and not len(samples)
        self._write(samples, final=False)

    def close(self) -> None:
        if self._empty:
            # Without a single sample libsndfile writes files that no player opens, itself included.
            self.write(np.zeros(1, np.int16))
        self._write(np.zeros(0, np.int16), final=True)
        self._file.close()

    def _write(self, samples: NDArray[np.int16], *, final: bool) -> None:
        ready: NDArray[Any] = samples
        if self._resampler is not None:
            ready = self._resampler.push(np.divide(samples, _FULL_SCALE, dtype=np.float32), final=final)
        if len(ready):
            write_blocks(self._file, ready)


def _send_pages_early(file: soundfile.SoundFile) -> None:
    """End a page of an ogg file when it holds 50 ms, not 1 s, so that a stream comes early. libsndfile has a command
    for it; soundfile has no name for that command."""
    milliseconds = soundfile._ffi.new("double *", _OGG_PAGE_MS)
    soundfile._snd.sf_command(file._file, _SET_OGG_PAGE_LATENCY_MS, milliseconds, soundfile._ffi.sizeof("double"))
