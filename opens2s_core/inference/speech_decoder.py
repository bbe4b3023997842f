"""The speech decoder's engine: groups of M hidden states in, groups of N speech units out, for many streams."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from opens2s_core.inference.engine import StreamId
from opens2s_core.inference.messages import Hiddens, ReplyRequest, StageMessage, Units
from opens2s_core.inference.noise import RngStream
from opens2s_core.inference.records import Record, UnitsRecord
from opens2s_core.inference.sampling import SamplingInputs, choose
from opens2s_core.inference.slot_lm import Feed, LMSettings, Row, SlotLM
from opens2s_core.inference.slots import SlotEngine
from opens2s_core.models.speech_decoder import SpeechDecoder, UnitVocabulary


@dataclass(slots=True)
class _Stream:
    request: ReplyRequest
    record: UnitsRecord  # of an earlier stream that this one goes on with
    row: Row
    pending: list[Tensor]  # embeddings (T, D) that the LM has not read yet
    groups: deque[Hiddens] = field(default_factory=deque)
    unseen: bool = False  # what was read last has chosen no unit: nobody knows whether it is numbers
    positions: int = 0  # of speaker and hidden states, pending ones too
    last_round: bool = False  # all hidden states were read: speak until the end unit
    round_left: int = 0  # units still to speak before the next group is read
    said: list[int] = field(default_factory=list)  # end units too, numbered as the engine chooses among them
    units: list[int] = field(default_factory=list)  # of the codebook, not handed out yet
    told: int = 0  # units handed out since the start of the reply
    output: list[StageMessage] = field(default_factory=list)
    done: bool = False
    failure: str | None = None


class SpeechDecoderEngine(SlotEngine[_Stream]):
    """Serves up to ``capacity`` replies.

    A step speaks one unit of every stream that has hidden states to speak from; where a stream's round begins, its next
    group is read in the same forward. An end unit before the last group ends only its round, as in the published loop;
    it is never handed out.
    """

    def __init__(
        self, model: SpeechDecoder, vocabulary: UnitVocabulary, *, capacity: int, settings: LMSettings | None = None
    ) -> None:
        super().__init__(capacity)
        self.model = model.eval()
        self.vocabulary = vocabulary
        self.settings = settings or LMSettings()
        self._lm = SlotLM(model.tts_lm_model, rows=capacity, settings=self.settings)
        # Of the vocabulary only units and what ends them are chosen among, a small part of it. They are numbered anew.
        units = range(vocabulary.offset, vocabulary.offset + vocabulary.size)
        self._tokens = [*units, *sorted(set(vocabulary.end_ids).difference(units))]
        self._numbers = {token: number for number, token in enumerate(self._tokens)}
        self._head = model.tts_lm_model.lm_head.weight.detach()[self._tokens]
        self._embeddings = model.embed_units(torch.tensor(self._tokens, device=self._head.device)).detach()
        self._like = model.llm2tts.weight

    @torch.inference_mode()
    def open(self, request: ReplyRequest, record: Record | None = None) -> StreamId:
        """``ValueError`` for a record that is not of this model and request; :class:`EngineFull`."""
        record = self._check_record(record, request.units.max_tokens)
        self._check_room()
        speaker = self._speaker(request)
        return self._admit(_Stream(request, record, self._lm.take(), [speaker], positions=1))

    def push(self, stream: StreamId, message: StageMessage) -> None:
        """``ValueError`` for hidden states of another width."""
        if not isinstance(message, Hiddens):
            raise TypeError(f"the speech decoder takes Hiddens, got {type(message).__name__}")
        width = self._like.shape[1]
        if message.values.ndim != 2 or message.values.shape[1] != width:
            raise ValueError(f"hidden states of shape {message.values.shape}: expected (m, {width})")
        self._streams[stream].groups.append(message)

    def record(self, stream: StreamId) -> UnitsRecord:
        state = self._streams[stream]
        assert not state.output, "a record goes with all that was made: take the chunks first"
        ids = tuple(self._tokens[number] for number in state.said)
        before = state.record
        return UnitsRecord(max(ids, before.ids, key=len), units=max(state.told, before.units))

    @torch.inference_mode()
    def step(self) -> bool:
        for stream in list(self._live()):
            while stream.groups and not stream.round_left and not stream.done:
                self._begin_round(stream, stream.groups.popleft())
        speaking = [stream for stream in self._live() if stream.round_left]
        feeds = self._feeds(speaking)
        if feeds:
            hiddens = self._lm.advance([feed for _, feed in feeds])
            self._speak([(stream, hidden) for (stream, _), hidden in zip(feeds, hiddens, strict=True)])
        return bool(feeds)

    def _release(self, state: _Stream) -> None:
        if state.failure is not None or state.unseen:
            self._lm.wipe(state.row)
        self._lm.free(state.row)

    def _check_record(self, record: Record | None, longest: int) -> UnitsRecord:
        if record is None:
            return UnitsRecord((), units=0)
        if not isinstance(record, UnitsRecord):
            raise TypeError(f"the speech decoder goes on from a UnitsRecord, got {type(record).__name__}")
        if len(record.ids) > longest:
            raise ValueError(f"record of {len(record.ids)} units: expected at most the {longest} of the request")
        if unknown := [token for token in record.ids if token not in self._numbers]:
            raise ValueError(f"record with token {unknown[0]}: expected units and what ends them")
        return record

    def _speaker(self, request: ReplyRequest) -> Tensor:
        """The embedding with which a reply begins, (1, D)."""
        if request.speaker is None:
            return self.model.no_speaker(1)
        speaker = torch.tensor(request.speaker[None], dtype=self._like.dtype, device=self._like.device)
        return self.model.embed_speaker(speaker)

    def _begin_round(self, stream: _Stream, group: Hiddens) -> None:
        hiddens = torch.tensor(group.values, dtype=self._like.dtype, device=self._like.device)
        stream.pending.append(self.model.embed_hiddens(hiddens))
        stream.positions += len(hiddens)
        stream.last_round = group.final
        left = self._budget(stream) - len(stream.said)
        stream.round_left = max(0, left if group.final else min(self.model.config.interleave.units, left))
        if not stream.round_left:  # no room left to speak in
            self._hand_out(stream, last=True)
        while stream.round_left and len(stream.said) < len(stream.record.ids):
            self._take(stream, self._numbers[stream.record.ids[len(stream.said)]])

    def _budget(self, stream: _Stream) -> int:
        """Units the stream may speak: what it asked for, within its slot."""
        return min(stream.request.units.max_tokens, self._lm.context - stream.positions)

    def _feeds(self, streams: list[_Stream]) -> list[tuple[_Stream, Feed]]:
        """What the LM reads next: a unit where nothing else is pending; of groups no more than fits a step."""
        room = self.settings.prefill_tokens
        shared = not self.settings.fixed_width  # else how a group is cut would depend on the neighbours
        feeds = []
        for stream in streams:
            waiting = torch.cat(stream.pending) if len(stream.pending) > 1 else stream.pending[0]
            part, rest = waiting, waiting[:0]
            if len(waiting) > 1:
                part, rest = waiting[:room], waiting[room:]
                room -= len(part) * shared
            if len(part):
                feeds.append((stream, Feed(stream.row, part)))
                stream.pending = [rest] if len(rest) else []
                stream.unseen = bool(stream.pending)
        return feeds

    def _speak(self, advanced: list[tuple[_Stream, Tensor]]) -> None:
        """Choose the next unit of each stream that has read all it was given, by its last hidden state (1, D)."""
        asking = [(stream, hidden) for stream, hidden in advanced if not stream.pending]
        if not asking:
            return
        logits = self._lm.logits(torch.cat([hidden for _, hidden in asking]), self._head)
        numbers = choose(
            logits, [SamplingInputs(stream.request.units, RngStream.UNITS, stream.said) for stream, _ in asking]
        )
        for (stream, _), number in zip(asking, numbers, strict=True):
            if number is None:
                self._end(stream, f"unit {len(stream.said)} of the reply: the model's logits are no numbers")
            else:
                self._take(stream, number)

    def _take(self, stream: _Stream, number: int) -> None:
        stream.said.append(number)
        stream.pending.append(self._embeddings[number : number + 1])
        stream.round_left -= 1
        if self._tokens[number] in self.vocabulary.end_ids:
            stream.round_left = 0
        else:
            stream.units.append(number)
        last = (stream.last_round and not stream.round_left) or len(stream.said) >= self._budget(stream)
        if last or not stream.round_left or len(stream.units) == self.model.config.interleave.units:
            self._hand_out(stream, last)

    def _hand_out(self, stream: _Stream, last: bool) -> None:
        new = stream.units[max(0, stream.record.units - stream.told) :]
        stream.told += len(stream.units)
        stream.units = []
        if new or last:
            stream.output.append(Units(np.array(new, dtype=np.int64), final=last))
        if last:
            stream.round_left = 0
            self._end(stream)
