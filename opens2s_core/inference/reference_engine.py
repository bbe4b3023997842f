"""The published streaming as an engine: the baseline of the bounded one."""

from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from opens2s_core.inference.engine import StreamId
from opens2s_core.inference.messages import AudioChunk, ReplyRequest, SpeechFinish, StageMessage
from opens2s_core.inference.records import Record
from opens2s_core.inference.reference_token2wav import ReferenceStream, ReferenceToken2Wav
from opens2s_core.inference.resampling import AudioOutput
from opens2s_core.inference.slots import SlotEngine
from opens2s_core.inference.token2wav import check_units_message
from opens2s_core.models.flow import Flow
from opens2s_core.models.vocoder import Vocoder

CHUNK = 24
"""Units per published call."""


@dataclass(slots=True, kw_only=True)
class _Stream:
    reference: ReferenceStream
    audio: AudioOutput
    units: list[int] = field(default_factory=list)  # not synthesised yet
    final: bool = False
    finish: SpeechFinish | None = None  # of the final units
    output: list[StageMessage] = field(default_factory=list)
    done: bool = False
    failure: str | None = None


class ReferenceToken2WavEngine(SlotEngine[_Stream]):
    """Serves up to ``capacity`` replies, without batching: one call per ``chunk`` units, and one for the rest.

    Only ``audio`` of the request is used: the published noise is the same for all. It has no resume records.
    """

    def __init__(self, flow: Flow, vocoder: Vocoder, *, capacity: int, chunk: int = CHUNK) -> None:
        super().__init__(capacity)
        if chunk < 1:
            raise ValueError(f"chunk must be at least 1 unit, got {chunk}")
        self.reference, self.chunk = ReferenceToken2Wav(flow, vocoder), chunk
        self.config = self.reference.config

    def open(self, request: ReplyRequest, record: Record | None = None) -> StreamId:
        """Raises :class:`EngineFull`, and ``TypeError`` for any record."""
        if record is not None:
            raise TypeError(f"the reference mode has no resume records, got {type(record).__name__}")
        self._check_capacity()
        audio = AudioOutput(self.config.hift.sampling_rate, request.audio)
        return self._admit(_Stream(reference=self.reference.open(), audio=audio))

    def push(self, stream: StreamId, message: StageMessage) -> None:
        """Raises ``ValueError`` for a unit outside the codebook; the stream is then unchanged."""
        units = check_units_message(message, self.config.flow.vocab_size)
        state = self._accepting(stream)
        state.units.extend(units.ids.tolist())
        state.final, state.finish = units.final, units.finish

    def step(self) -> bool:
        due = [state for state in self._live() if state.final or len(state.units) >= self.chunk]
        for state in due:
            try:
                self._advance(state)
            except ValueError as error:  # the published code fails in the same case
                self._end(state, failure=f"the published streaming cannot continue: {error}")
        return bool(due)

    def record(self, stream: StreamId) -> NoReturn:
        raise TypeError("the reference mode has no resume records")

    def _advance(self, state: _Stream) -> None:
        final = len(state.units) < self.chunk
        units, state.units = state.units[: self.chunk], state.units[self.chunk :]
        samples = self._synthesise(state.reference, units, final).cpu().numpy()
        if not np.isfinite(samples).all():
            self._end(state, failure=f"the audio of {len(units)} units is not finite")
            return
        finish = state.finish if final else None
        state.output.append(AudioChunk(state.audio.push(samples, final=final), final=final, finish=finish))
        if final:
            self._end(state)

    def _synthesise(self, stream: ReferenceStream, units: list[int], final: bool) -> Tensor:
        """Samples (n,)."""
        if units:
            return self.reference.call(stream, torch.tensor([units]), final=final).speech[0]
        return self.reference.flush(stream)[0]
