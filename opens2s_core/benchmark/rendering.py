"""Resynthesis of recorded sentences: by the vocoder alone, and by tokenizer, flow and vocoder."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from opens2s_core.audio import Waveform
from opens2s_core.checkpoint.bundle import SPEECH_TOKENIZER, TOKEN2WAV
from opens2s_core.checkpoint.codebooks import codebook_sizes
from opens2s_core.checkpoint.speech_tokenizer import load_speech_tokenizer
from opens2s_core.checkpoint.token2wav import load_token2wav
from opens2s_core.inference.messages import AudioChunk, ReplyRequest, Units
from opens2s_core.inference.noise import RngStream, normal_frames
from opens2s_core.inference.token2wav import Token2WavEngine
from opens2s_core.inference.vocoder_stream import open_vocoder_stream, vocode
from opens2s_core.models.flow import Flow, mel_frames
from opens2s_core.models.speech_tokenizer import SpeechTokenizer
from opens2s_core.models.vocoder import Vocoder
from opens2s_core.training.voice.features import log_mel

RENDITIONS = ("original", "vocoder", "one-shot", "streamed")
"""The recording; its mel → vocoder; its units → flow → vocoder at once; the same by the streaming engine."""


@dataclass(frozen=True, slots=True)
class Voice:
    """The three models of a voice, in float32 on one device."""

    tokenizer: SpeechTokenizer
    flow: Flow
    vocoder: Vocoder
    engine: Token2WavEngine

    @property
    def rate(self) -> int:
        """Sampling rate in Hz."""
        return self.vocoder.config.sampling_rate

    def mel(self, waveform: Waveform) -> Tensor:
        """Log-mel (mel, F) of a waveform (n,) at the voice's rate."""
        return log_mel(torch.from_numpy(waveform), self.vocoder.config)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """One sentence in all renditions, each at the voice's rate, and the time it took."""

    waveforms: dict[str, Waveform]  # by rendition
    units: NDArray[np.int64]
    flow_mel: Tensor  # (mel, F) of the units, before the vocoder
    encode_seconds: float
    stream_seconds: float


def load_voice(directory: str | Path) -> Voice:
    """Load a voice from a directory with ``speech_tokenizer/`` and ``token2wav/``: a trained voice, or a bundle.

    Raises :class:`CheckpointError`, and ``ValueError`` if their codebooks are of different sizes.
    """
    path = Path(directory)
    sizes = {part: size for part, size in codebook_sizes(path).items() if part in (SPEECH_TOKENIZER, TOKEN2WAV)}
    if len(sizes) != 2 or len(set(sizes.values())) != 1:
        raise ValueError(
            f"{directory}: expected {SPEECH_TOKENIZER}/ and {TOKEN2WAV}/ with equally many units, got {sizes}"
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = load_speech_tokenizer(path / SPEECH_TOKENIZER, torch.float32).to(device)
    flow, vocoder = load_token2wav(path / TOKEN2WAV, torch.float32)
    flow, vocoder = flow.to(device), vocoder.to(device)
    return Voice(tokenizer, flow, vocoder, Token2WavEngine(flow, vocoder, capacity=1))


@torch.inference_mode()
def render(voice: Voice, recording: Waveform, recording_16k: Waveform, seed: int) -> Rendered:
    """All renditions of a recording (n,) at the voice's rate; ``recording_16k`` (m,) is the same at 16 kHz."""
    started = time.perf_counter()
    units = np.array(voice.tokenizer.encode([recording_16k])[0])
    encoded = time.perf_counter()
    in_chunks = streamed(voice.engine, units, seed)
    rendered = time.perf_counter()
    flow_mel = _flow_mel(voice, units, seed)
    waveforms = (recording, _vocode(voice, voice.mel(recording), seed), _vocode(voice, flow_mel, seed), in_chunks)
    return Rendered(
        waveforms=dict(zip(RENDITIONS, waveforms, strict=True)),
        units=units,
        flow_mel=flow_mel,
        encode_seconds=encoded - started,
        stream_seconds=rendered - encoded,
    )


def _vocode(voice: Voice, mel: Tensor, seed: int) -> Waveform:
    device = voice.vocoder.conv_pre.weight.device
    stream = open_vocoder_stream(voice.vocoder, seed)
    return vocode(voice.vocoder, [stream], [mel.to(device)], final=[True])[0].cpu().numpy()


def _flow_mel(voice: Voice, units: NDArray[np.int64], seed: int) -> Tensor:
    flow = voice.flow
    device, frames = flow.encoder_proj.weight.device, mel_frames(len(units), voice.engine.config)
    noise = torch.from_numpy(normal_frames((seed, RngStream.FLOW), 0, frames, flow.config.output_size)).T[None]
    no_prompt = torch.zeros(1, flow.config.output_size, 0, device=device)
    speaker = torch.zeros(1, flow.config.spk_embed_dim, device=device)
    return flow(torch.from_numpy(units)[None].to(device), no_prompt, noise.to(device), speaker)[0].cpu()


@torch.inference_mode()
def one_shot(voice: Voice, units: NDArray[np.int64], seed: int) -> Waveform:
    """The audio (n,) of units (m,), synthesised at once."""
    return _vocode(voice, _flow_mel(voice, units, seed), seed)


def streamed(engine: Token2WavEngine, units: NDArray[np.int64], seed: int) -> Waveform:
    """The audio (n,) of units (m,), synthesised by the streaming engine."""
    stream = engine.open(ReplyRequest(messages=(), seed=seed))
    engine.push(stream, Units(units, final=True))
    while engine.step():
        pass
    chunks = [chunk.samples for chunk in engine.chunks(stream) if isinstance(chunk, AudioChunk)]
    engine.close(stream)
    return np.concatenate(chunks)
