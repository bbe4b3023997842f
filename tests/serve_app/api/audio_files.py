"""Audio files as clients and servers make them, for tests."""

import base64
import io
from collections.abc import Iterable

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from opens2s_core.audio import Waveform, encode_audio
from serve_app.api.audio_output import AudioEncoder, AudioFormat

Samples = NDArray[np.int16]
RATE = 22_050


def tone(seconds: float, rate: int) -> Waveform:
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate).astype(np.float32)


def base64_file(samples: Waveform, rate: int, container: str = "wav") -> str:
    return base64.b64encode(encode_audio(samples, rate, container=container)).decode()


def swelling_tone(seconds: float, rate: int = RATE) -> Samples:
    """A tone that swells, with a little noise, so that no two parts of it are alike."""
    noise = np.random.default_rng(0).uniform(-0.01, 0.01, int(seconds * rate))
    gain = np.linspace(0.2, 1.0, len(noise))
    return np.rint((tone(seconds, rate) * gain + noise) * 0x7FFF).astype(np.int16)


class ForwardOnlyFile(soundfile.SoundFile):
    """A file that is read while it arrives."""

    def seekable(self) -> bool:
        return False


def decode_forward(data: bytes) -> tuple[Samples, int]:
    with ForwardOnlyFile(io.BytesIO(data)) as file:
        blocks = [np.zeros(0, np.int16)]
        while len(block := file.read(1_000, dtype="int16")):
            blocks.append(block)
        return np.concatenate(blocks), file.samplerate


def encode_streamed(audio_format: AudioFormat, chunks: Iterable[Samples], rate: int = RATE) -> bytes:
    encoder = AudioEncoder(audio_format, rate)
    return b"".join([*(encoder.push(chunk) for chunk in chunks), encoder.close()])


def concatenate(chunks: list[Samples]) -> Samples:
    return np.concatenate([np.zeros(0, np.int16), *chunks])


def recorded(seconds: float, container: str, codec: str, rate: int) -> bytes:
    """A tone as browsers and phones record it; the same bytes each time."""
    file = io.BytesIO()
    with av.open(file, "w", format=container, options={"fflags": "+bitexact"}) as output:
        stream = output.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(seconds, rate)[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        for packets in (stream.encode(frame), stream.encode(None)):
            output.mux(packets)
    return file.getvalue()


def repeatable_ogg(file: bytes) -> bytes:
    """The packets of an ogg file in another one, whose serial number is not random."""
    copy = io.BytesIO()
    with (
        av.open(io.BytesIO(file), "r", format="ogg") as source,
        av.open(copy, "w", format="ogg", options={"fflags": "+bitexact"}) as output,
    ):
        stream = output.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    return copy.getvalue()
