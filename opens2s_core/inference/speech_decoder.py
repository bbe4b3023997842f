"""The engine of the speech decoder: groups of M hidden states in, groups of N speech units out, for many streams."""

from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from opens2s_core.inference.batch_layout import ScheduledChunk
from opens2s_core.inference.engine import StreamId
from opens2s_core.inference.kv_cache import KVSlot
from opens2s_core.inference.lm_settings import LMSettings
from opens2s_core.inference.messages import HiddenStates, ReplyRequest, Sampling, SpeechFinish, StageMessage, Units
from opens2s_core.inference.noise import RngStream
from opens2s_core.inference.records import Record, UnitsRecord
from opens2s_core.inference.sampling import SamplingInputs, choose
from opens2s_core.inference.scheduler import StreamWork, schedule
from opens2s_core.inference.slot_lm import SlotLM
from opens2s_core.inference.slots import SlotEngine
from opens2s_core.inference.speech_length import Repetition, SpeechLimits
from opens2s_core.models.speech_decoder import SpeechDecoder, UnitVocabulary


@dataclass(slots=True)
class _Stream:
    request: ReplyRequest
    record: UnitsRecord  # of an earlier stream that this one resumes
    sampling: Sampling  # of units; ``logit_bias`` is by index into the sampled tokens
    slot: KVSlot
    pending: list[Tensor]  # embeddings (T, D) that the LM has not read yet
    groups: deque[HiddenStates] = field(default_factory=deque)
    final: bool = False  # the last group was pushed
    unverified: bool = False  # nothing was sampled since the last forward: the slot may hold values that are not finite
    positions: int = 0  # of speaker and hidden states, including pending ones
    last_round: bool = False  # all hidden states were read: generate until the end unit
    round_left: int = 0  # units to generate before the next group is read
    generated: list[int] = field(default_factory=list)  # including end units, as indices into the sampled tokens
    units: list[int] = field(default_factory=list)  # of the codebook, not emitted yet
    emitted: int = 0  # units since the start of the reply
    repetition: Repetition = field(default_factory=Repetition)  # of the last round
    output: list[StageMessage] = field(default_factory=list)
    done: bool = False
    failure: str | None = None


class SpeechDecoderEngine(SlotEngine[_Stream]):
    """Serves up to ``capacity`` replies.

    A step generates one unit of every stream that has hidden states; at the start of a round, the next group is read in
    the same forward. An end unit before the last group ends only its round, as in the published loop; it is never
    emitted.

    The final units of a reply have a ``finish``: ``stop`` for an end unit after the last group, ``loop`` if speech
    repeats itself, ``length`` at the limit of the request, of the KV slot or of ``limits``. Without ``limits`` neither
    repetition nor the length of the text ends speech, as in the published loop.
    """

    def __init__(
        self,
        model: SpeechDecoder,
        vocabulary: UnitVocabulary,
        *,
        capacity: int,
        settings: LMSettings | None = None,
        limits: SpeechLimits | None = None,
    ) -> None:
        super().__init__(capacity)
        self.limits = limits
        self.model = model.eval()
        self.vocabulary = vocabulary
        self.settings = settings or LMSettings()
        self._lm = SlotLM(model.tts_lm_model, slots=capacity, settings=self.settings)
        # Only units and end units are sampled, a small part of the vocabulary. ``generated`` holds indices into these.
        units = range(vocabulary.offset, vocabulary.offset + vocabulary.size)
        self._tokens = [*units, *sorted(set(vocabulary.end_ids).difference(units))]
        self._numbers = {token: number for number, token in enumerate(self._tokens)}
        self._head = model.tts_lm_model.lm_head.weight.detach()[self._tokens]
        self._embeddings = model.embed_units(torch.tensor(self._tokens, device=self._head.device)).detach()
        self._like = model.llm2tts.weight

    @torch.inference_mode()
    def open(self, request: ReplyRequest, record: Record | None = None) -> StreamId:
        """``ValueError`` for a record of another model or request, for a ``logit_bias`` outside the vocabulary (for
        text tokens it has no effect) and for a speaker vector of another size than the model's; :class:`EngineFull`."""
        sampling = self._sampling(request.units)
        record = self._check_record(record, request.units.max_tokens)
        self._check_capacity()
        speaker = self._speaker(request)
        return self._admit(_Stream(request, record, sampling, self._lm.cache.take(), [speaker], positions=1))

    def push(self, stream: StreamId, message: StageMessage) -> None:
        """``ValueError`` for anything but a group of finite float32 hidden states (m, d_llm), m from 1 to M."""
        if not isinstance(message, HiddenStates):
            raise TypeError(f"the speech decoder takes HiddenStates, got {type(message).__name__}")
        check_hidden_states(message.values, self.model.config.interleave.hidden_states, self._like.shape[1])
        state = self._accepting(stream)
        state.groups.append(message)
        state.final = message.final

    def record(self, stream: StreamId) -> UnitsRecord:
        state = self._streams[stream]
        assert not state.output, "a record is available only after chunks()"
        ids = tuple(self._tokens[number] for number in state.generated)
        before = state.record
        return UnitsRecord(max(ids, before.ids, key=len), units=max(state.emitted, before.units))

    @torch.inference_mode()
    def step(self) -> bool:
        for stream in list(self._live()):
            while stream.groups and not stream.round_left and not stream.done:
                self._begin_round(stream, stream.groups.popleft())
        generating = [stream for stream in self._live() if stream.round_left]
        chunks = self._schedule(generating)
        if chunks:
            hidden_states = self._lm.forward([chunk for _, chunk in chunks])
            self._sample_units([(stream, hidden) for (stream, _), hidden in zip(chunks, hidden_states, strict=True)])
        return bool(chunks)

    def _release(self, state: _Stream) -> None:
        if state.failure is not None or state.unverified:
            self._lm.cache.wipe(state.slot)
        self._lm.cache.free(state.slot)

    def _check_record(self, record: Record | None, longest: int) -> UnitsRecord:
        if record is None:
            return UnitsRecord((), units=0)
        if not isinstance(record, UnitsRecord):
            raise TypeError(f"the speech decoder resumes from a UnitsRecord, got {type(record).__name__}")
        if len(record.ids) > longest:
            raise ValueError(f"record of {len(record.ids)} units: expected at most the {longest} of the request")
        if unknown := [token for token in record.ids if token not in self._numbers]:
            raise ValueError(f"record with token {unknown[0]}: expected units and end units")
        return record

    def _sampling(self, sampling: Sampling) -> Sampling:
        """The sampling inputs with the ids of ``logit_bias`` converted to indices into the sampled tokens."""
        sampling.check_vocabulary(self.model.tts_lm_model.config.vocab_size)
        known = [(token, bias) for token, bias in sampling.logit_bias if token in self._numbers]
        return replace(sampling, logit_bias=tuple((self._numbers[token], bias) for token, bias in known))

    def _speaker(self, request: ReplyRequest) -> Tensor:
        """The first embedding of a reply, (1, D)."""
        if request.speaker is None:
            return self.model.no_speaker(1)
        if request.speaker.shape != (expected := (self.model.config.speaker_dim,)):
            raise ValueError(f"speaker vector of shape {request.speaker.shape}: expected {expected}")
        speaker = torch.tensor(request.speaker[None], dtype=self._like.dtype, device=self._like.device)
        return self.model.embed_speaker(speaker)

    def _begin_round(self, stream: _Stream, group: HiddenStates) -> None:
        hidden_states = torch.tensor(group.values, dtype=self._like.dtype, device=self._like.device)
        stream.pending.append(self.model.embed_hidden_states(hidden_states))
        stream.positions += len(hidden_states)
        stream.last_round = group.final
        left = self._budget(stream) - len(stream.generated)
        stream.round_left = max(0, left if group.final else min(self.model.config.interleave.units, left))
        if not stream.round_left:  # no budget left
            self._emit_units(stream, "length")
        while stream.round_left and len(stream.generated) < len(stream.record.ids):
            self._append_unit(stream, self._numbers[stream.record.ids[len(stream.generated)]])

    def _budget(self, stream: _Stream) -> int:
        """Maximum number of units of the stream, including end units: bounded by the request, by its slot and, once all
        hidden states are read, by ``limits``."""
        budget = min(stream.request.units.max_tokens, self._lm.context - stream.positions)
        if stream.last_round and self.limits is not None:
            budget = min(budget, self.limits.longest(stream.positions - 1))
        return budget

    def _schedule(self, streams: list[_Stream]) -> list[tuple[_Stream, ScheduledChunk]]:
        """The next chunk of each stream: one unit, or as many positions of a group as fit the step."""
        pending = [torch.cat(stream.pending) if len(stream.pending) > 1 else stream.pending[0] for stream in streams]
        work = [StreamWork(decodes=True) if len(one) == 1 else StreamWork(prefill=len(one)) for one in pending]
        # With fixed widths, the split of a group must not depend on other streams.
        shared = not self.settings.fixed_width
        plan = schedule(work, prefill_tokens=self.settings.prefill_tokens, shared_budget=shared)
        counts = sorted([*plan.prefill, *((stream, 1) for stream in plan.decode)])
        chunks = []
        for stream, part, rest in ((streams[i], pending[i][:count], pending[i][count:]) for i, count in counts):
            chunks.append((stream, ScheduledChunk(stream.slot, part)))
            stream.pending = [rest] if len(rest) else []
            stream.unverified = bool(stream.pending)
        return chunks

    def _sample_units(self, advanced: list[tuple[_Stream, Tensor]]) -> None:
        """Sample the next unit of each stream without pending input, from its last hidden state (1, D)."""
        ready = [(stream, hidden) for stream, hidden in advanced if not stream.pending]
        if not ready:
            return
        logits = self._lm.logits(torch.cat([hidden for _, hidden in ready]), self._head)
        numbers = choose(
            logits, [SamplingInputs(stream.sampling, RngStream.UNITS, stream.generated) for stream, _ in ready]
        )
        for (stream, _), number in zip(ready, numbers, strict=True):
            if number is None:
                self._end(stream, f"unit {len(stream.generated)} of the reply: the model's logits are not finite")
            else:
                self._append_unit(stream, number)

    def _append_unit(self, stream: _Stream, number: int) -> None:
        stream.generated.append(number)
        stream.pending.append(self._embeddings[number : number + 1])
        stream.round_left -= 1
        finish: SpeechFinish | None = None
        if self._tokens[number] in self.vocabulary.end_ids:
            stream.round_left = 0
            finish = "stop" if stream.last_round else None
        else:
            stream.units.append(number)
            if stream.last_round and self.limits is not None and stream.repetition.add(number, self.limits):
                finish = "loop"
        if finish is None and len(stream.generated) >= self._budget(stream):
            finish = "length"
        if finish or not stream.round_left or len(stream.units) == self.model.config.interleave.units:
            self._emit_units(stream, finish)

    def _emit_units(self, stream: _Stream, finish: SpeechFinish | None) -> None:
        """Emit the collected units; with a ``finish`` they are the last ones."""
        new = stream.units[max(0, stream.record.units - stream.emitted) :]
        stream.emitted += len(stream.units)
        stream.units = []
        if new or finish:
            stream.output.append(Units(np.array(new, dtype=np.int64), final=finish is not None, finish=finish))
        if finish:
            stream.round_left = 0
            self._end(stream)


def check_hidden_states(values: NDArray[np.float32], most: int, width: int) -> None:
    """``TypeError`` if they are not an array, ``ValueError`` for anything but 1 to ``most`` finite float32 states of
    this width."""
    if not isinstance(values, np.ndarray):
        raise TypeError(f"hidden states must be an array, got {type(values).__name__}")
    if values.dtype != np.float32 or values.ndim != 2 or values.shape[1] != width or not 1 <= len(values) <= most:
        raise ValueError(
            f"hidden states {values.dtype} of shape {values.shape}: "
            f"expected float32 of (m, {width}) with m from 1 to {most}"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"hidden states with {values[~np.isfinite(values)][0]}: expected finite numbers")
