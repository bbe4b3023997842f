"""Audio files of the containers that corpora come in, for tests."""

import io
from functools import lru_cache

import av
import numpy as np

from opens2s_core.audio import Waveform, encode_audio

CONTAINERS = {
    "mp3": ("mp3", "libmp3lame", 44_100),
    "opus": ("ogg", "libopus", 48_000),
    "m4a": ("ipod", "aac", 44_100),
    "mp4": ("mp4", "aac", 48_000),
    "webm": ("webm", "libopus", 48_000),
    "aac": ("adts", "aac", 16_000),
}
"""FFmpeg's container and codec, and a rate in Hz, by the file's extension."""


def noise(seconds: float, rate: int = 16_000, seed: int = 0) -> Waveform:
    """Noise that gets louder and softer, so that no two parts of it are alike."""
    count = int(seconds * rate)
    swell = 0.05 + 0.1 * np.abs(np.sin(np.arange(count) / rate * 1.3))
    return (np.random.default_rng(seed).uniform(-1, 1, count) * swell).astype(np.float32)


@lru_cache(maxsize=32)
def noise_file(extension: str, seconds: float) -> bytes:
    """:func:`noise` as a file; wav and flac at 16 kHz."""
    samples = noise(seconds)
    if extension in ("wav", "flac"):
        return encode_audio(samples, 16_000, container=extension)
    container, codec, rate = CONTAINERS[extension]
    file = io.BytesIO()
    with av.open(file, "w", format=container, options={"fflags": "+bitexact"}) as output:
        stream = output.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = 16_000
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=rate, frame_size=stream.frame_size)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return file.getvalue()
