"""The speech decoder's engine: groups of M hidden states in, groups of N speech units out, for many streams."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from opens2s_core.inference.engine import StreamId
from opens2s_core.inference.messages import Hiddens, ReplyRequest, StageMessage, Units
from opens2s_core.inference.sampling import new_generator, sample
from opens2s_core.inference.slots import SlotEngine
from opens2s_core.models.speech_decoder import SpeechDecoder, UnitVocabulary


@dataclass(slots=True)
class _Stream:
    request: ReplyRequest
    pending: Tensor  # (T, D) embeddings that the LM has not read yet
    generator: torch.Generator
    cache: DynamicCache = field(default_factory=DynamicCache)
    groups: deque[Hiddens] = field(default_factory=deque)
    last_round: bool = False  # all hidden states were read: speak until the end unit
    round_left: int = 0  # units still to speak before the next group is read
    spoken: int = 0
    units: list[int] = field(default_factory=list)  # not handed out yet
    output: list[StageMessage] = field(default_factory=list)
    done: bool = False


class SpeechDecoderEngine(SlotEngine[_Stream]):
    """Serves up to ``capacity`` replies. A step speaks one unit of every stream that has hidden states to speak from.

    An end unit before the last group ends only its round, as in the published loop; it is never handed out.
    """

    def __init__(self, model: SpeechDecoder, vocabulary: UnitVocabulary, *, capacity: int) -> None:
        super().__init__(capacity)
        self.model = model
        self.vocabulary = vocabulary
        self._choices = torch.tensor(
            [*range(vocabulary.offset, vocabulary.offset + vocabulary.size), *vocabulary.end_ids],
            device=model.llm2tts.weight.device,
        )

    @torch.inference_mode()
    def open(self, request: ReplyRequest) -> StreamId:
        return self._slots.take(_Stream(request, self._speaker(request), new_generator(request.units)))

    def push(self, stream: StreamId, message: StageMessage) -> None:
        if not isinstance(message, Hiddens):
            raise TypeError(f"the speech decoder takes Hiddens, got {type(message).__name__}")
        self._slots[stream].groups.append(message)

    @torch.inference_mode()
    def step(self) -> bool:
        worked = False
        for stream in self._slots.states():
            if not stream.round_left and stream.groups and not stream.done:
                self._read(stream, stream.groups.popleft())
                worked = True
            if stream.round_left:
                self._speak(stream)
                worked = True
        return worked

    def _speaker(self, request: ReplyRequest) -> Tensor:
        """The embedding with which a reply begins, (1, D)."""
        if request.speaker is None:
            return self.model.no_speaker(1)
        weight = self.model.llm2tts.weight
        return self.model.embed_speaker(torch.tensor(request.speaker[None], dtype=weight.dtype, device=weight.device))

    def _read(self, stream: _Stream, group: Hiddens) -> None:
        weight = self.model.llm2tts.weight
        hiddens = torch.tensor(group.values, dtype=weight.dtype, device=weight.device)
        stream.pending = torch.cat([stream.pending, self.model.embed_hiddens(hiddens)])
        stream.last_round = group.final
        budget = self._budget(stream) - stream.spoken
        stream.round_left = max(0, budget if group.final else min(self.model.config.interleave.units, budget))
        if not stream.round_left:  # no room left to speak in
            stream.done = True
            self._hand_out(stream)

    def _budget(self, stream: _Stream) -> int:
        """Units the stream may speak: what it asked for, within the LM's context."""
        read = stream.cache.get_seq_length() + len(stream.pending) - stream.spoken
        return min(stream.request.units.max_tokens, self.model.config.speech_decoder.max_position_embeddings - read)

    def _speak(self, stream: _Stream) -> None:
        lm = self.model.tts_lm_model
        hidden = lm.model(inputs_embeds=stream.pending[None], past_key_values=stream.cache).last_hidden_state[0, -1]
        logits = lm.lm_head(hidden)[self._choices]
        token = int(self._choices[sample(logits, stream.request.units, stream.generator)])
        stream.pending = self.model.embed_units(self._choices.new_tensor([token]))
        stream.spoken += 1
        stream.round_left -= 1
        if token in self.vocabulary.end_ids:
            stream.round_left = 0
        else:
            stream.units.append(token - self.vocabulary.offset)
        exhausted = stream.spoken >= self._budget(stream)
        stream.done = (stream.last_round and not stream.round_left) or exhausted
        if stream.done or not stream.round_left or len(stream.units) == self.model.config.interleave.units:
            self._hand_out(stream)

    def _hand_out(self, stream: _Stream) -> None:
        if stream.units or stream.done:
            stream.output.append(Units(np.array(stream.units, dtype=np.int64), final=stream.done))
            stream.units = []
