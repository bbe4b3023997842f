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


def video_file(seconds: float) -> bytes:
    """An mp4 with pictures and :func:`noise` in stereo, as clips of films are."""
    samples, rate = noise(seconds, 48_000), 48_000
    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options={"fflags": "+bitexact"}) as output:
        pictures = output.add_stream("mpeg4", rate=25, width=64, height=64, pix_fmt="yuv420p")
        sound = output.add_stream("aac", rate=rate, layout="stereo")
        for number in range(int(seconds * 25)):
            output.mux(pictures.encode(av.VideoFrame.from_ndarray(np.full((64, 64, 3), number % 255, np.uint8))))
            block = samples[number * rate // 25 : (number + 1) * rate // 25]
            frame = av.AudioFrame.from_ndarray(np.stack([block, block]), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = rate, number * rate // 25
            output.mux(sound.encode(frame))
        output.mux(pictures.encode(None))
        output.mux(sound.encode(None))
    return file.getvalue()
