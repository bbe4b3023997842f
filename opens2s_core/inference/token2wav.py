"""The engine that speaks: units in, waveform chunks out, for many replies at once.

What is heard depends on the units and the seed alone. Chunks end at fixed unit indices however the units arrive, noise
belongs to the absolute frame it is for, and each chunk costs the same however long the reply has become: the flow sees
the new units and a bounded look-back, whose mel is already decided.
"""

from dataclasses import dataclass, field
from itertools import accumulate

import torch
from torch import Tensor

from opens2s_core.config import Token2WavConfig
from opens2s_core.inference.engine import StreamId
from opens2s_core.inference.messages import AudioChunk, ReplyRequest, StageMessage, Units
from opens2s_core.inference.noise import NoiseKey, normal_frames
from opens2s_core.inference.slots import SlotEngine
from opens2s_core.inference.vocoder_stream import VocoderStream, open_vocoder_stream, vocode
from opens2s_core.models.flow import Flow, mel_frames
from opens2s_core.models.vocoder import Vocoder

CHUNKS = (8, 12, 24)
"""Units in the first chunks of a reply: short at first, to be heard soon; the last size repeats."""
LOOK_BACK = 24
"""Units before a chunk that the flow sees again, at least, so that the voice goes on as it was."""
_FLOW_NOISE = 0


def next_boundary(unit: int) -> int:
    """The index at which the chunk that begins at ``unit`` ends."""
    return next((end for end in accumulate(CHUNKS) if end > unit), unit + CHUNKS[-1])


@dataclass(slots=True)
class _Stream:
    key: NoiseKey
    vocoder: VocoderStream
    mel: Tensor  # (1, mel, frames) of the look-back, from unit ``window``
    window: int = 0
    rendered: int = 0  # units whose mel is made
    units: list[int] = field(default_factory=list)
    final: bool = False
    done: bool = False
    output: list[StageMessage] = field(default_factory=list)

    @property
    def due(self) -> bool:
        return not self.done and (self.final or len(self.units) >= next_boundary(self.rendered))


class Token2WavEngine(SlotEngine[_Stream]):
    """Serves up to ``capacity`` replies. A step makes one chunk of every reply whose units for it are there.

    Of the request only ``seed`` matters. It computes where the models' weights are.
    """

    def __init__(self, flow: Flow, vocoder: Vocoder, *, capacity: int) -> None:
        super().__init__(capacity)
        self.flow, self.vocoder = flow.eval(), vocoder.eval()
        self.config = Token2WavConfig(flow=flow.config, hift=vocoder.config)
        self._device = flow.encoder_proj.weight.device

    def open(self, request: ReplyRequest) -> StreamId:
        """Raises :class:`EngineFull`, or ``ValueError`` for a negative seed."""
        if request.seed < 0:
            raise ValueError(f"seed must be at least 0, got {request.seed}")
        mel = torch.zeros(1, self.config.flow.output_size, 0, device=self._device)
        vocoder = open_vocoder_stream(self.vocoder, request.seed)
        return self._slots.take(_Stream(key=(request.seed, _FLOW_NOISE), vocoder=vocoder, mel=mel))

    def push(self, stream: StreamId, message: StageMessage) -> None:
        """Raises ``ValueError`` for a unit outside the codebook; the stream is then as it was."""
        if not isinstance(message, Units):
            raise TypeError(f"token2wav takes Units, got {type(message).__name__}")
        outside = message.ids[(message.ids < 0) | (message.ids >= self.config.flow.vocab_size)]
        if outside.size:
            raise ValueError(f"units must be in [0, {self.config.flow.vocab_size}), got {outside[0]}")
        state = self._slots[stream]
        state.units.extend(message.ids.tolist())
        state.final = message.final

    @torch.inference_mode()
    def step(self) -> bool:
        due = [stream for stream in self._slots.states() if stream.due]
        for stream in due:
            self._advance(stream)
        return bool(due)

    def _advance(self, stream: _Stream) -> None:
        boundary = next_boundary(stream.rendered)
        stop = min(boundary, len(stream.units))
        # A reply that ends on a boundary is flushed by a step of its own: whether its end was known when the last
        # chunk was made must not change a single bit of it.
        stream.done = stop < boundary
        mel = self._render(stream, stop) if stop > stream.rendered else stream.mel[:, :, :0]
        samples = vocode(self.vocoder, stream.vocoder, mel, final=stream.done)
        if stream.done or samples.numel():
            stream.output.append(AudioChunk(samples.cpu().numpy(), final=stream.done))

    def _render(self, stream: _Stream, stop: int) -> Tensor:
        """Mel (1, mel, f) of the units up to ``stop``."""
        first, last = self._frames(stream.window), self._frames(stop)
        units = torch.tensor([stream.units[stream.window : stop]], device=self._device)
        noise = normal_frames(stream.key, first, last, self.config.flow.output_size)
        speaker = torch.zeros(1, self.config.flow.spk_embed_dim, device=self._device)
        mel = self.flow(units, stream.mel, torch.from_numpy(noise).T[None].to(self._device), speaker)
        stream.rendered = stop
        # The encoder's blocks are counted from the window's start: it must lie on the reply's own grid of blocks.
        block = self.config.flow.encoder.block_size
        stream.window = max(0, stop - LOOK_BACK) // block * block
        stream.mel = torch.cat([stream.mel, mel], dim=2)[:, :, self._frames(stream.window) - first :]
        return mel

    def _frames(self, units: int) -> int:
        return mel_frames(units, self.config)
