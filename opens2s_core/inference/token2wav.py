"""The engine of token2wav: units in, waveform chunks out, for many replies at once.

The audio depends on the units and the seed alone. Chunks end at fixed unit indices, whatever the size of the messages;
noise, encoder blocks and the unit of each frame are counted from the start of the reply. The cost of a chunk does not
grow with the reply: the flow reads the new units and a bounded look-back, whose mel is already known.
B replies, F mel frames.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from opens2s_core.config import Token2WavConfig
from opens2s_core.inference.chunk_grid import ChunkGrid, Window, Windows
from opens2s_core.inference.engine import StreamFailed, StreamId
from opens2s_core.inference.messages import AudioChunk, ReplyRequest, SpeechFinish, StageMessage, Units
from opens2s_core.inference.noise import RngStream, normal_frames
from opens2s_core.inference.playback import Playback
from opens2s_core.inference.records import AudioRecord, Record
from opens2s_core.inference.resampling import AudioOutput
from opens2s_core.inference.slots import SlotEngine
from opens2s_core.inference.vocoder_stream import VocoderStream, open_vocoder_stream, vocode, window_start
from opens2s_core.models.flow import Flow, frames_per_unit
from opens2s_core.models.vocoder import Vocoder, samples_per_frame

GRID = ChunkGrid()
_BATCH, _BATCH_ON_CPU = 8, 1
"""On a CPU, a second reply in a step saves a twentieth of the time but doubles the delay of the next one."""


@dataclass(slots=True, kw_only=True)
class _Stream:
    seed: int
    mel: Tensor  # (mel, F) of the look-back, up to the last rendered frame
    vocoder: VocoderStream
    audio: AudioOutput
    units: list[int] = field(default_factory=list)  # from unit ``first``
    first: int = 0
    rendered: int = 0  # units whose mel is computed
    final: bool = False
    finish: SpeechFinish | None = None  # of the final units
    playback: Playback  # started when the first chunk is due
    output: list[StageMessage] = field(default_factory=list)
    done: bool = False
    failure: str | None = None

    @property
    def received(self) -> int:
        return self.first + len(self.units)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """The next chunk of a stream."""

    stream: _Stream
    window: Window
    final: bool

    @property
    def units(self) -> list[int]:
        return self.stream.units[: len(self.window.units)]


class Token2WavEngine(SlotEngine[_Stream]):
    """Serves up to ``capacity`` replies. A step computes one chunk of the reply with the least headroom, batched with
    chunks of the same shapes of up to ``batch`` - 1 other replies (None: a default for the device).

    Only ``seed`` and ``audio`` of the request are used. It runs on the device of the models. ``clock``, in seconds,
    affects the order of replies, not their audio.
    """

    def __init__(
        self,
        flow: Flow,
        vocoder: Vocoder,
        *,
        capacity: int,
        grid: ChunkGrid = GRID,
        batch: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(capacity)
        if batch is not None and batch < 1:
            raise ValueError(f"batch must be at least 1, got {batch}")
        self.flow, self.vocoder = flow.eval(), vocoder.eval()
        self.config = Token2WavConfig(flow=flow.config, hift=vocoder.config)
        self.grid = grid
        self._windows = Windows(self.grid, frames_per_unit(self.config), flow.config.encoder.block_size)
        self._device = flow.encoder_proj.weight.device
        self._batch = batch or (_BATCH_ON_CPU if self._device.type == "cpu" else _BATCH)
        self._clock = clock
        self._speaker = torch.zeros(1, flow.config.spk_embed_dim, device=self._device)

    def open(self, request: ReplyRequest, record: Record | None = None) -> StreamId:
        """Raises :class:`EngineFull`, ``TypeError`` for a record of another stage, and ``ValueError`` for one that does
        not fit these models and chunks."""
        self._check_capacity()
        state = _Stream(
            seed=request.seed,
            mel=torch.zeros(self.config.flow.output_size, 0, device=self._device),
            vocoder=open_vocoder_stream(self.vocoder, request.seed),
            audio=AudioOutput(self.config.hift.sampling_rate, request.audio),
            playback=Playback(clock=self._clock),
        )
        if record is not None:
            if not isinstance(record, AudioRecord):
                raise TypeError(f"token2wav resumes from an AudioRecord, got {type(record).__name__}")
            self._restore(state, record)
        return self._admit(state)

    def push(self, stream: StreamId, message: StageMessage) -> None:
        """Raises ``ValueError`` for a unit outside the codebook; the stream is then unchanged."""
        units = check_units_message(message, self.config.flow.vocab_size)
        state = self._accepting(stream)
        state.units.extend(units.ids.tolist())
        state.final, state.finish = units.final, units.finish
        self._start_if_due(state)

    @torch.inference_mode()
    def step(self) -> bool:
        due = [state for state in self._live() if self._is_due(state)]
        if not due:
            return False
        due.sort(key=lambda state: state.playback.headroom())  # stable: of equal ones the oldest is first
        chunks = [self._next(state) for state in due]
        # Padding changes the output of the published weights: only equal shapes are batched.
        shape = chunks[0].window.shape
        chunks = [chunk for chunk in chunks if chunk.window.shape == shape][: self._batch]
        self._decode_audio(
            self._render(chunks) if any(shape) else [(chunk, chunk.stream.mel[:, :0]) for chunk in chunks]
        )
        return True

    def record(self, stream: StreamId) -> AudioRecord:
        """Some tens of kilobytes. Raises :class:`StreamFailed`."""
        state = self._streams[stream]
        if state.failure is not None:
            raise StreamFailed(state.failure)
        assert not state.output, "a record is available only after chunks()"
        vocoder = state.vocoder
        longer = max(state.mel, vocoder.mel, key=lambda mel: mel.shape[1])  # both end with the same frame
        return AudioRecord(
            received=state.received,
            rendered=state.rendered,
            source_frames=vocoder.source_frames,
            emitted=vocoder.emitted,
            resampled=state.audio.produced,
            phase=vocoder.phase.item(),
            units=np.array(state.units, dtype=np.int64),
            mel=longer.cpu().numpy(),
            source=vocoder.source.cpu().numpy(),
            tail=state.audio.tail,
        )

    def _restore(self, state: _Stream, record: AudioRecord) -> None:
        self._check(record)
        state.first, state.rendered = self._windows.first_unit(record.rendered), record.rendered
        state.units = record.units.tolist()
        frames, hop = self._windows.frames(record.rendered), samples_per_frame(self.config.hift)
        mel = torch.tensor(record.mel, device=self._device)
        state.mel = mel[:, mel.shape[1] - (frames - self._windows.first_frame(record.rendered)) :]
        vocoder = state.vocoder
        vocoder.start = window_start(self.vocoder, record.emitted)
        vocoder.source_frames, vocoder.emitted = record.source_frames, record.emitted
        vocoder.mel = mel[:, mel.shape[1] - (frames - vocoder.start) :]
        vocoder.source = torch.tensor(record.source, device=self._device)
        vocoder.phase.fill_(record.phase)
        state.audio.restore(record.tail, consumed=record.emitted * hop, produced=record.resampled)
        self._start_if_due(state)

    def _check(self, record: AudioRecord) -> None:
        """``ValueError`` for a record of other models or chunks."""
        _check_units(record.units, self.config.flow.vocab_size)
        frames, hop = self._windows.frames(record.rendered), samples_per_frame(self.config.hift)
        if not (0 <= record.rendered <= record.received and 0 <= record.emitted <= record.source_frames <= frames):
            counts = (record.received, record.rendered, record.source_frames, record.emitted)
            raise ValueError(f"record of units and frames {counts}: expected each count at most the one before it")
        start = window_start(self.vocoder, record.emitted)
        kept = frames - min(start, self._windows.first_frame(record.rendered))
        for name, array, dtype, shape in (
            ("units", record.units, np.int64, (record.received - self._windows.first_unit(record.rendered),)),
            ("mel", record.mel, np.float32, (self.config.flow.output_size, kept)),
            ("source", record.source, np.float32, ((record.source_frames - start) * hop,)),
        ):
            if array.shape != shape or array.dtype != dtype:
                raise ValueError(
                    f"record with {name} {array.dtype} of shape {array.shape}: expected {np.dtype(dtype)} of {shape}"
                )

    def _is_due(self, state: _Stream) -> bool:
        return state.final or state.received >= self.grid.end(state.rendered)

    def _start_if_due(self, state: _Stream) -> None:
        if self._is_due(state):
            state.playback.start()

    def _next(self, state: _Stream) -> _Chunk:
        boundary = self.grid.end(state.rendered)
        stop = min(boundary, state.received)
        # A reply that ends on a boundary is flushed in a separate step: its audio must not depend on whether its end
        # was known when the last chunk was computed.
        return _Chunk(state, self._windows.window(state.rendered, stop), final=stop < boundary)

    def _render(self, chunks: list[_Chunk]) -> list[tuple[_Chunk, Tensor]]:
        """The mel (mel, F) of the new frames of each chunk; a stream fails if its mel is not finite."""
        mels = self._sample_mel(chunks)
        finite = mels.isfinite().flatten(1).all(dim=1).tolist()
        rendered = []
        for chunk, mel, is_finite in zip(chunks, mels, finite, strict=True):
            state, window = chunk.stream, chunk.window
            if not is_finite:
                self._end(state, failure=f"the mel of units up to {window.units.stop} is not finite")
                continue
            new = mel[:, window.known :]
            state.rendered = window.units.stop
            kept = window.frames.stop - self._windows.first_frame(state.rendered)
            mel = torch.cat([state.mel, new], dim=1)
            state.mel = mel[:, mel.shape[1] - kept :]
            first = self._windows.first_unit(state.rendered)
            state.units, state.first = state.units[first - state.first :], first
            rendered.append((chunk, new))
        return rendered

    def _sample_mel(self, chunks: list[_Chunk]) -> Tensor:
        """Mel (B, mel, F) of the windows of the chunks, which have the same shapes."""
        size, frames = self.config.flow.output_size, len(chunks[0].window.frames)
        cond = torch.zeros(len(chunks), size, frames, device=self._device)
        for row, chunk in zip(cond, chunks, strict=True):
            mel, known = chunk.stream.mel, chunk.window.known
            row[:, :known] = mel[:, mel.shape[1] - known :]
        spans = [(chunk.stream.seed, chunk.window.frames) for chunk in chunks]
        noise = np.stack([normal_frames((seed, RngStream.FLOW), span.start, span.stop, size) for seed, span in spans])
        return self.flow.forward_window(
            torch.tensor([chunk.units for chunk in chunks], device=self._device),
            torch.tensor([self._windows.units_of(chunk.window) for chunk in chunks], device=self._device),
            cond,
            torch.from_numpy(noise).to(self._device).transpose(1, 2),
            self._speaker.expand(len(chunks), -1),
        )

    def _decode_audio(self, rendered: Sequence[tuple[_Chunk, Tensor]]) -> None:
        """Vocode and emit the samples that the new mel of each chunk completes."""
        if not rendered:
            return
        chunks = [chunk for chunk, _ in rendered]
        final = [chunk.final for chunk in chunks]
        waves = vocode(
            self.vocoder, [chunk.stream.vocoder for chunk in chunks], [mel for _, mel in rendered], final=final
        )
        samples = torch.cat(waves).cpu().numpy()  # one copy from the device for all
        ends = np.cumsum([len(wave) for wave in waves])
        for chunk, wave in zip(chunks, np.split(samples, ends[:-1]), strict=True):
            state = chunk.stream
            if not np.isfinite(wave).all():
                self._end(state, failure=f"the audio of units up to {state.rendered} is not finite")
                continue
            if len(wave):
                state.playback.add(len(wave) / self.config.hift.sampling_rate)
            emitted = state.audio.push(wave, final=chunk.final)
            if chunk.final or len(emitted):
                finish = state.finish if chunk.final else None
                state.output.append(AudioChunk(emitted, final=chunk.final, finish=finish))
            if chunk.final:
                self._end(state)


def check_units_message(message: StageMessage, codebook: int) -> Units:
    """The message, checked: ``TypeError`` if it is not ``Units``, ``ValueError`` for units outside a codebook of this
    size."""
    if not isinstance(message, Units):
        raise TypeError(f"token2wav takes Units, got {type(message).__name__}")
    _check_units(message.ids, codebook)
    return message


def _check_units(ids: NDArray[np.int64], codebook: int) -> None:
    if not isinstance(ids, np.ndarray):
        raise TypeError(f"units must be an array, got {type(ids).__name__}")
    if ids.dtype != np.int64 or ids.ndim != 1:
        raise ValueError(f"units {ids.dtype} of shape {ids.shape}: expected int64 of (n,)")
    outside = ids[(ids < 0) | (ids >= codebook)]
    if outside.size:
        raise ValueError(f"units must be in [0, {codebook}), got {outside[0]}")
