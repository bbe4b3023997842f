"""The thinker's engine: hears and reads a conversation, writes the reply, hands out hidden states in groups of M.

The hidden state handed out for a token is the one that predicted it, so n tokens (the end token included) give n
hidden states: the layout on which the speech decoder was trained. Where a stop string ends the text, the state that
predicted the first token left out takes the place of the one for the end token.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from opens2s_core.audio import Waveform
from opens2s_core.checkpoint import Vocabulary
from opens2s_core.inference.audio_memory import AudioMemory, ClipKey, clip_key
from opens2s_core.inference.engine import StreamId
from opens2s_core.inference.messages import Finish, FinishReason, Hiddens, ReplyRequest, StageMessage, TextDelta
from opens2s_core.inference.noise import RngStream
from opens2s_core.inference.records import Record, TextRecord
from opens2s_core.inference.sampling import SamplingInputs, choose
from opens2s_core.inference.slot_lm import Feed, Keys, LMSettings, Row, SlotLM
from opens2s_core.inference.slots import SlotEngine
from opens2s_core.inference.text_stream import TextStream
from opens2s_core.models.thinker import Thinker, expand_audio_slots
from opens2s_core.prompt import AUDIO_SLOT, PromptBuilder


@dataclass(frozen=True, slots=True)
class _Clip:
    """A sound of the prompt and the positions [start, stop) that it takes."""

    waveform: Waveform
    key: ClipKey
    start: int
    stop: int


@dataclass(slots=True)
class _Stream:
    request: ReplyRequest
    prompt: Keys
    clips: list[_Clip]
    record: TextRecord  # of an earlier stream that this one goes on with, and all that it is given to say
    row: Row
    text: TextStream
    heard: dict[ClipKey, Tensor] = field(default_factory=dict)
    embeddings: Tensor | None = None  # (T, D), to the end of what is to be read
    generated: list[int] = field(default_factory=list)
    characters: int = 0  # of text, and
    groups: int = 0  # of hidden states, both made since the start of the reply
    group: list[NDArray[np.float32]] = field(default_factory=list)  # hidden states (D,) of tokens made since
    output: list[StageMessage] = field(default_factory=list)
    done: bool = False
    failure: str | None = None

    @property
    def to_read(self) -> int:
        """Positions of the prompt, and of what the record says was generated, that the row does not know yet."""
        return max(0, len(self.prompt) + len(self.record.ids) - self.row.length)

    @property
    def unheard(self) -> list[_Clip]:
        """Clips without which what is to be read cannot be embedded."""
        return [clip for clip in self.clips if clip.stop > self.row.length and clip.key not in self.heard]


class ThinkerEngine(SlotEngine[_Stream]):
    """Serves up to ``capacity`` replies.

    A step decodes one token of every stream, encodes at most one clip and reads at most ``settings.prefill_tokens`` of
    one prompt, first come first served. Words that are given are read like a prompt, not decoded. The text handed out
    for them is what the tokenizer makes of its own tokens: Qwen's composes characters (NFC), else it is lossless.
    """

    def __init__(
        self, model: Thinker, vocabulary: Vocabulary, *, capacity: int, settings: LMSettings | None = None
    ) -> None:
        super().__init__(capacity)
        self.model = model.eval()
        self.vocabulary = vocabulary
        self.settings = settings or LMSettings()
        self.prompts = PromptBuilder(vocabulary.tokenizer, model.config.prompt_style)
        self.audio = AudioMemory()
        self._lm = SlotLM(model.llm_model, rows=capacity, settings=self.settings)
        self._embed = model.llm_model.model.embed_tokens

    def open(self, request: ReplyRequest, record: Record | None = None) -> StreamId:
        """``ValueError`` for a conversation that, with its longest reply, does not fit a slot, for words given that are
        more than the longest reply, for a prompt that cannot be written, and for a record that is not of this model and
        request; :class:`EngineFull`."""
        prompt = self.prompts.prompt(request.messages, speak=request.speak, tools=request.tools)
        lengths = [self.model.config.audio_positions(len(clip)) for clip in prompt.audios]
        keys = np.array(expand_audio_slots(prompt.input_ids, lengths), dtype=np.int64)
        record = self._check_record(record, request)
        limit = self._lm.context
        longest = request.text.max_tokens if request.say is None else len(record.ids)
        if len(keys) + longest > limit:
            raise ValueError(
                f"the conversation takes {len(keys)} positions and the reply up to {longest}: "
                f"together more than the {limit} of a slot"
            )
        self._check_room()
        clips = _place(prompt.input_ids, prompt.audios, lengths)
        for clip in clips:
            keys[clip.start : clip.stop] = clip.key
        text = TextStream(self.vocabulary.tokenizer, request.stop)
        return self._admit(_Stream(request, keys, clips, record, self._lm.take(keys), text))

    def push(self, stream: StreamId, message: StageMessage) -> None:
        raise TypeError(f"the thinker is the first stage and takes no input, got {type(message).__name__}")

    def record(self, stream: StreamId) -> TextRecord:
        state = self._streams[stream]
        assert not state.output, "a record goes with all that was made: take the chunks first"
        before = state.record
        return TextRecord(
            max(tuple(state.generated), before.ids, key=len),
            groups=max(state.groups, before.groups),
            characters=max(state.characters, before.characters),
        )

    @torch.inference_mode()
    def step(self) -> bool:
        live = list(self._live())
        fed = self._decoding([stream for stream in live if not stream.to_read])
        reading = next((stream for stream in live if stream.to_read), None)
        if reading is not None and self._hear(reading):
            fed.append((reading, self._read(reading)))
        if fed:
            hiddens = self._lm.advance([feed for _, feed in fed])
            self._accept([(stream, hidden) for (stream, _), hidden in zip(fed, hiddens, strict=True)])
        return bool(live)

    def _release(self, state: _Stream) -> None:
        if state.failure is None and len(state.generated) > len(state.record.ids):
            self._lm.free(state.row, np.concatenate([state.prompt, np.array(state.generated, dtype=np.int64)]))
        else:  # nobody has seen that what it holds are numbers
            self._lm.wipe(state.row)
            self._lm.free(state.row)

    def _check_record(self, record: Record | None, request: ReplyRequest) -> TextRecord:
        """With all tokens of the words that are given, if they are."""
        given, longest = self._given(request), request.text.max_tokens
        if record is None:
            return TextRecord(given, groups=0, characters=0)
        if not isinstance(record, TextRecord):
            raise TypeError(f"the thinker goes on from a TextRecord, got {type(record).__name__}")
        if len(record.ids) > longest:
            raise ValueError(f"record of {len(record.ids)} tokens: expected at most the {longest} of the request")
        size = self.model.config.llm.vocab_size
        if outside := [token for token in record.ids if not 0 <= token < size]:
            raise ValueError(f"record with token {outside[0]}: expected tokens in [0, {size})")
        if given and record.ids != given[: len(record.ids)]:
            raise ValueError(f"record of {len(record.ids)} tokens: expected the first ones of the words to say")
        return replace(record, ids=given or record.ids)

    def _given(self, request: ReplyRequest) -> tuple[int, ...]:
        """All tokens of a reply whose words are given; of another none."""
        if request.say is None:
            return ()
        ids = (*self.prompts.reply(request.say, speak=request.speak), self.vocabulary.text_end_ids[0])
        if len(ids) > request.text.max_tokens:
            raise ValueError(f"{len(ids)} tokens to say: expected at most the {request.text.max_tokens} of the request")
        return ids

    def _decoding(self, streams: list[_Stream]) -> list[tuple[_Stream, Feed]]:
        if not streams:
            return []
        last = torch.tensor([stream.generated[-1] for stream in streams], device=self.model.device)
        rows = self._embed(last).split(1)
        return [(stream, Feed(stream.row, row)) for stream, row in zip(streams, rows, strict=True)]

    def _hear(self, stream: _Stream) -> bool:
        """Get the embeddings of clips until one had to be made; True when those of all are there."""
        for clip in stream.unheard:
            embedding = self.audio.get(clip.key)
            if embedding is not None:
                stream.heard[clip.key] = embedding
                continue
            features = self.model.audio_features([clip.waveform]).to(self.model.device)
            stream.heard[clip.key] = self.model.embed_audio(features)[0].to(self._embed.weight.dtype)
            self.audio.put(clip.key, stream.heard[clip.key])
            break
        return not stream.unheard

    def _read(self, stream: _Stream) -> Feed:
        """The next part of the prompt, with the hidden states of those of its positions that predict a token."""
        known = stream.row.length
        if stream.embeddings is None:
            stream.embeddings = self._embed_all(stream, known)
        part = stream.embeddings[len(stream.embeddings) - stream.to_read :][: self.settings.prefill_tokens]
        if len(part) == stream.to_read:  # the row will know all of it
            stream.embeddings, stream.heard = None, {}
        predicting = known + len(part) - max(known, len(stream.prompt) - 1)
        return Feed(stream.row, part, keep=max(1, predicting))

    def _embed_all(self, stream: _Stream, known: int) -> Tensor:
        """Embeddings (T, D) of all positions but the first ``known``."""
        ids = np.concatenate([np.maximum(stream.prompt, 0), np.array(stream.record.ids, dtype=np.int64)])[known:]
        embeddings = self._embed(torch.from_numpy(ids).to(self.model.device))
        for clip in stream.clips:
            if clip.stop > known:
                heard = stream.heard[clip.key][max(known - clip.start, 0) :]
                embeddings[clip.stop - known - len(heard) : clip.stop - known] = heard
        return embeddings

    def _accept(self, advanced: list[tuple[_Stream, Tensor]]) -> None:
        """Take the tokens that the hidden states (keep, D) of each stream predict."""
        advanced = [(stream, hidden) for stream, hidden in advanced if stream.row.length >= len(stream.prompt)]
        asking = [(stream, hidden[-1:]) for stream, hidden in advanced if not stream.to_read]
        chosen = iter(self._choose(asking) if asking else [])
        states = iter(torch.cat([hidden for _, hidden in advanced]).float().cpu().numpy() if advanced else [])
        for stream, hidden in advanced:
            said = len(stream.generated)
            tokens: list[int | None] = [*stream.record.ids[said : said + len(hidden)]]
            if not stream.to_read:
                tokens.append(next(chosen))
            for token, state in zip(tokens, [next(states) for _ in tokens], strict=True):
                if stream.done:
                    break
                if token is None or not np.isfinite(state).all():  # of given tokens nobody has seen the logits
                    self._end(stream, f"token {len(stream.generated)} of the reply: the model's logits are no numbers")
                else:
                    self._take(stream, token, state)

    def _choose(self, asking: list[tuple[_Stream, Tensor]]) -> list[int | None]:
        head = self.model.llm_model.lm_head.weight
        logits = self._lm.logits(torch.cat([hidden for _, hidden in asking]), head)
        # What a record says may be about to be taken: it comes before what is chosen.
        said = [max(stream.generated, list(stream.record.ids), key=len) for stream, _ in asking]
        choices = [
            SamplingInputs(stream.request.text, RngStream.TEXT, ids)
            for (stream, _), ids in zip(asking, said, strict=True)
        ]
        return choose(logits, choices)

    def _take(self, stream: _Stream, token: int, hidden: NDArray[np.float32]) -> None:
        """Go on with a token and the state (D,) that predicted it."""
        stream.generated.append(token)
        ended = token in self.vocabulary.text_end_ids
        last = ended or len(stream.generated) == stream.request.text.max_tokens
        self._tell_text(stream, stream.text.push(token, final=last))
        last |= stream.text.stopped
        if stream.request.speak:
            stream.group.append(hidden)
            self._tell_hiddens(stream, last)
        if last:
            reason: FinishReason = "stop" if ended or stream.text.stopped else "length"
            stream.output.append(Finish(reason, len(stream.prompt), len(stream.generated)))
            self._end(stream)

    def _tell_text(self, stream: _Stream, text: str) -> None:
        new = text[max(0, stream.record.characters - stream.characters) :]
        stream.characters += len(text)
        if new:
            stream.output.append(TextDelta(new))

    def _tell_hiddens(self, stream: _Stream, last: bool) -> None:
        """Hand out the groups that are full; of the last token all that is left."""
        size = self.model.config.interleave.hiddens
        ready = stream.text.released + stream.text.stopped - stream.groups * size
        while ready >= size or (last and ready > 0):
            group, stream.group = stream.group[:size][:ready], stream.group[size:]
            ready -= len(group)
            stream.groups += 1
            if stream.groups > stream.record.groups:
                stream.output.append(Hiddens(np.stack(group), final=last and ready == 0))


def _place(ids: list[int], waveforms: list[Waveform], lengths: list[int]) -> list[_Clip]:
    """Where the clips lie once each slot among ``ids`` is repeated to the length of its clip."""
    clips: list[_Clip] = []
    slots = [at for at, token in enumerate(ids) if token == AUDIO_SLOT]
    added = 0
    for slot, waveform, length in zip(slots, waveforms, lengths, strict=True):
        clips.append(_Clip(waveform, clip_key(waveform), slot + added, slot + added + length))
        added += length - 1
    return clips
