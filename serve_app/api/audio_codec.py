"""Sound on the wire: what clients send becomes 16 kHz samples, what the model says the format they asked for."""

import base64
import binascii
import io
import struct
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import soundfile
from numpy.typing import NDArray

from opens2s_core.audio import SAMPLE_RATE, AudioError, Waveform, decode_audio, resample
from opens2s_core.inference.resampling import StreamResampler

AudioFormat = Literal["wav", "pcm16", "flac", "mp3", "opus"]

_UNKNOWN_LENGTH = 0xFFFFFFFF
_FULL_SCALE = 32768

_SET_OGG_PAGE_LATENCY_MS = 0x1302
_OGG_PAGE_MS = 50.0


def decode_input(data: str, *, max_seconds: float) -> Waveform:
    """Base64 of a sound file of at most ``max_seconds`` → mono samples at 16 kHz. Raises :class:`AudioError`.

    It may stand in a data URL (``data:audio/wav;base64,…``); the media type there is not looked at.
    """
    encoded = _of_data_url(data) if data.startswith("data:") else data
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise AudioError(f"not base64 ({len(encoded)} characters): {error}") from error
    if not raw:
        raise AudioError("sound is empty: it has no bytes")
    samples, rate = decode_audio(raw, max_seconds=max_seconds)
    return resample(samples, rate, SAMPLE_RATE)


def _of_data_url(url: str) -> str:
    head, marker, encoded = url.partition(";base64,")
    if not marker or "," in head:
        raise AudioError("data URL: expected 'data:<media type>;base64,' before the sound")
    return encoded


class SoundEncoder:
    """One reply's sound on its way out: what the calls return, joined, is a file of the format asked for.

    Its length stands nowhere in it, for nobody knows it when the header leaves. Memory does not grow with the reply.
    """

    def __init__(self, audio_format: AudioFormat, rate: int) -> None:
        """Of samples at ``rate`` Hz. What libsndfile cannot encode is its ``soundfile.LibsndfileError``."""
        self._outlet = _Outlet(holds_back_first=audio_format == "mp3")
        self._codec: _Codec | None = None
        if audio_format == "wav":
            self._outlet.write(_wav_header(rate, None))
        elif audio_format != "pcm16":
            self._codec = _Codec(self._outlet, audio_format, rate)

    def push(self, samples: NDArray[np.int16]) -> bytes:
        """The bytes that the next samples (n,) make certain; none while the codec waits for more of them.

        ``TypeError`` for samples that are not int16.
        """
        samples = _little_endian(samples)
        if self._codec is None:
            self._outlet.write(samples.tobytes())
        else:
            self._codec.write(samples)
        return self._outlet.take()

    def close(self) -> bytes:
        """The rest of the file, to be asked for once; nothing can be pushed behind it."""
        if self._codec is not None:
            self._codec.close()
        return self._outlet.take()


def encode_whole(samples: NDArray[np.int16], rate: int, audio_format: AudioFormat) -> bytes:
    """A finished reply, samples (n,) at ``rate`` Hz, as a file that tells its length (``pcm16``: bare samples).

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


def _little_endian(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    return samples.astype("<i2", casting="equiv", copy=False)


def _wav_header(rate: int, length: int | None) -> bytes:
    """What stands before ``length`` samples of a wav file; before any number of them if None."""
    size = _UNKNOWN_LENGTH if length is None else 2 * length
    form = struct.pack("<4sI4s", b"RIFF", min(36 + size, _UNKNOWN_LENGTH), b"WAVE")
    layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    return form + layout + struct.pack("<4sI", b"data", size)


class _Outlet:
    """The file that libsndfile believes it writes. What it appends can be taken; what it changes at its close, lengths
    and checksums in a header that has long been sent, is let go.

    If ``holds_back_first``, so is what it writes first.
    """

    def __init__(self, *, holds_back_first: bool = False) -> None:
        self._ready = bytearray()
        self._at = self._end = 0
        self._holds_back = holds_back_first

    def write(self, data: bytes) -> int:
        appended, self._at = self._at == self._end, self._at + len(data)
        if appended:
            self._end = self._at
            self._ready += b"" if self._holds_back else data
            self._holds_back = False
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._end}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def take(self) -> bytes:
        taken = bytes(self._ready)
        self._ready.clear()
        return taken


@dataclass(frozen=True, kw_only=True, slots=True)
class _Coding:
    """How libsndfile is to write a format; ``rates`` in Hz, ascending, where the codec has only a few."""

    container: str
    subtype: str
    compression: float
    rates: tuple[int, ...] = ()
    bitrate_mode: str | None = None

    def rate(self, wanted: int) -> int:
        """The lowest rate that keeps all of a sound at the wanted one, if there is one; in Hz."""
        return min((rate for rate in self.rates if rate >= wanted), default=max(self.rates, default=wanted))


_CODINGS = {
    # Of the levels the lowest: it has the shortest blocks (1152 samples instead of 4096) for 3 % more bytes.
    "flac": _Coding(container="FLAC", subtype="PCM_16", compression=0.0),
    # Constant, about 80 kbit/s: of a stream of varying rate players guess a wrong length, and some then stop early.
    # The first write is an empty frame, to be filled at the close with that length: a stream does without it.
    "mp3": _Coding(
        container="MP3",
        subtype="MPEG_LAYER_III",
        compression=0.5,
        bitrate_mode="CONSTANT",
        rates=(8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
    ),
    # 56 kbit/s.
    "opus": _Coding(container="OGG", subtype="OPUS", compression=0.8, rates=(24_000,)),
}


class _Codec:
    """libsndfile, writing mono samples at ``rate`` Hz into ``file``; at another one where the format lacks that."""

    def __init__(self, file: io.BytesIO | _Outlet, audio_format: Literal["flac", "mp3", "opus"], rate: int) -> None:
        coding = _CODINGS[audio_format]
        made = coding.rate(rate)
        self._resampler = StreamResampler(rate, made) if made != rate else None
        self._empty = True
        self._file = soundfile.SoundFile(
            file,
            "w",
            samplerate=made,
            channels=1,
            format=coding.container,
            subtype=coding.subtype,
            compression_level=coding.compression,
            bitrate_mode=coding.bitrate_mode,
        )
        if coding.container == "OGG":
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
        known: NDArray[Any] = samples
        if self._resampler is not None:
            known = self._resampler.push(np.divide(samples, _FULL_SCALE, dtype=np.float32), final=final)
        if len(known):
            self._file.write(known)


def _send_pages_early(file: soundfile.SoundFile) -> None:
    """Let a page of an ogg file go as soon as it holds 50 ms, not 1 s. libsndfile has it, soundfile has no name for it;
    without, a stream would come late, but whole."""
    milliseconds = soundfile._ffi.new("double *", _OGG_PAGE_MS)
    soundfile._snd.sf_command(file._file, _SET_OGG_PAGE_LATENCY_MS, milliseconds, soundfile._ffi.sizeof("double"))
