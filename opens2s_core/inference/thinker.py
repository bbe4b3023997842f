"""The thinker's engine: prefills a conversation, generates the reply and emits its hidden states in groups of M.

The hidden state emitted for a token is the one that predicted it, so n tokens (including the end token) give n hidden
states: the layout on which the speech decoder was trained. If a stop string ends the text, the state that predicted the
first omitted token replaces that of the end token.
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from opens2s_core.checkpoint.vocabulary import Vocabulary
from opens2s_core.inference.audio_cache import AudioEmbeddingCache
from opens2s_core.inference.batch_layout import ScheduledChunk
from opens2s_core.inference.engine import ContextLengthExceeded, StreamId
from opens2s_core.inference.lm_settings import LMSettings
from opens2s_core.inference.messages import Finish, FinishReason, ReplyRequest, StageMessage
from opens2s_core.inference.noise import RngStream
from opens2s_core.inference.records import Record, TextRecord
from opens2s_core.inference.sampling import SamplingInputs, choose
from opens2s_core.inference.scheduler import schedule
from opens2s_core.inference.slot_lm import SlotLM
from opens2s_core.inference.slots import SlotEngine
from opens2s_core.inference.text_stream import TextStream
from opens2s_core.inference.thinker_stream import ThinkerStream, check_clip, place_clips
from opens2s_core.models.thinker import Thinker, expand_audio_slots
from opens2s_core.prompt import PromptBuilder


class ThinkerEngine(SlotEngine[ThinkerStream]):
    """Serves up to ``capacity`` replies.

    A step decodes one token of every stream, encodes at most one clip and prefills at most ``settings.prefill_tokens``
    of one prompt, first come first served. A reply with a given ``reply_text`` is prefilled like a prompt, not decoded.
    Its emitted text is the text after tokenization: Qwen's tokenizer composes characters (NFC) and is lossless
    otherwise.
    """

    def __init__(
        self, model: Thinker, vocabulary: Vocabulary, *, capacity: int, settings: LMSettings | None = None
    ) -> None:
        super().__init__(capacity)
        self.model = model.eval()
        self.vocabulary = vocabulary
        self.settings = settings or LMSettings()
        self.prompts = PromptBuilder(vocabulary.tokenizer, model.config.prompt_style)
        self.audio = AudioEmbeddingCache()
        self._lm = SlotLM(model.llm_model, slots=capacity, settings=self.settings)
        self._embed = model.llm_model.model.embed_tokens

    def open(self, request: ReplyRequest, record: Record | None = None) -> StreamId:
        """Raises, before anything is computed, :class:`ContextLengthExceeded` for a conversation that does not fit a
        slot together with its longest reply; ``ValueError`` for a ``reply_text`` longer than the longest reply, an
        invalid prompt, a ``logit_bias`` outside the vocabulary, clips that are not float32 (n,) and a record of another
        model or request; ``TypeError`` for clips that are not arrays and a record of another stage;
        :class:`EngineFull`."""
        request.text.check_vocabulary(self.model.config.llm.vocab_size)
        prompt = self.prompts.prompt(request.messages, speak=request.speak, tools=request.tools)
        for clip in prompt.audios:
            check_clip(clip)
        lengths = [self.model.config.audio_positions(len(clip)) for clip in prompt.audios]
        content = np.array(expand_audio_slots(prompt.input_ids, lengths), dtype=np.int64)
        record = self._check_record(record, request)
        longest = request.text.max_tokens if request.reply_text is None else len(record.ids)
        if (needed := len(content) + longest) > self._lm.context:
            raise ContextLengthExceeded(
                f"the conversation takes {len(content)} positions and the reply up to {longest}: "
                f"{needed} are needed, {self._lm.context} are available"
            )
        self._check_capacity()
        clips = place_clips(prompt.input_ids, prompt.audios, lengths)
        for placed in clips:
            content[placed.start : placed.stop] = placed.key
        text = TextStream(self.vocabulary.tokenizer, request.stop)
        return self._admit(ThinkerStream(request, content, clips, record, self._lm.cache.take(content), text))

    def push(self, stream: StreamId, message: StageMessage) -> None:
        raise TypeError(f"the thinker is the first stage and takes no input, got {type(message).__name__}")

    def record(self, stream: StreamId) -> TextRecord:
        state = self._streams[stream]
        assert not state.output, "a record is available only after chunks()"
        before = state.record
        return TextRecord(
            max(tuple(state.generated), before.ids, key=len),
            groups=max(state.groups, before.groups),
            characters=max(state.characters, before.characters),
        )

    @torch.inference_mode()
    def step(self) -> bool:
        live = list(self._live())
        for stream in live:
            self._load_cached_clips(stream)
        plan = schedule([stream.work for stream in live], prefill_tokens=self.settings.prefill_tokens, max_prefills=1)
        if plan.encode is not None:
            self._encode_clip(live[plan.encode])
        decoding = [live[i] for i in plan.decode]
        streams = [*decoding, *(live[i] for i, _ in plan.prefill)]
        chunks = [*self._decode_chunks(decoding), *(self._prefill_chunk(live[i], count) for i, count in plan.prefill)]
        if chunks:
            self._accept(list(zip(streams, self._lm.forward(chunks), strict=True)))
        return bool(live)

    def _release(self, state: ThinkerStream) -> None:
        if state.failure is None and len(state.generated) > len(state.record.ids):
            generated = np.array(state.generated, dtype=np.int64)
            self._lm.cache.free(state.slot, np.concatenate([state.prompt, generated]))
        else:  # the contents of the slot may not be finite
            self._lm.cache.wipe(state.slot)
            self._lm.cache.free(state.slot)

    def _check_record(self, record: Record | None, request: ReplyRequest) -> TextRecord:
        """The checked record, extended to all tokens of the given reply text, if any."""
        given, longest = self._given_tokens(request), request.text.max_tokens
        if record is None:
            return TextRecord(given, groups=0, characters=0)
        if not isinstance(record, TextRecord):
            raise TypeError(f"the thinker resumes from a TextRecord, got {type(record).__name__}")
        if len(record.ids) > longest:
            raise ValueError(f"record of {len(record.ids)} tokens: expected at most the {longest} of the request")
        size = self.model.config.llm.vocab_size
        if outside := [token for token in record.ids if not 0 <= token < size]:
            raise ValueError(f"record with token {outside[0]}: expected tokens in [0, {size})")
        if given and record.ids != given[: len(record.ids)]:
            raise ValueError(f"record of {len(record.ids)} tokens: expected the first ones of the reply text")
        return replace(record, ids=given or record.ids)

    def _given_tokens(self, request: ReplyRequest) -> tuple[int, ...]:
        """All tokens of ``reply_text``, or none."""
        if request.reply_text is None:
            return ()
        ids = (*self.prompts.reply(request.reply_text, speak=request.speak), self.vocabulary.text_end_ids[0])
        if len(ids) > request.text.max_tokens:
            raise ValueError(
                f"reply text of {len(ids)} tokens: expected at most the {request.text.max_tokens} of the request"
            )
        return ids

    def _decode_chunks(self, streams: list[ThinkerStream]) -> list[ScheduledChunk]:
        if not streams:
            return []
        last = torch.tensor([stream.generated[-1] for stream in streams], device=self.model.device)
        embeddings = self._embed(last).split(1)
        return [ScheduledChunk(stream.slot, one) for stream, one in zip(streams, embeddings, strict=True)]

    def _load_cached_clips(self, stream: ThinkerStream) -> None:
        """Use the cached embeddings of the stream's clips."""
        if stream.to_prefill:
            for key in stream.pending_clips:
                embedding = self.audio.get(key)
                if embedding is not None:
                    stream.encoded[key] = embedding

    def _encode_clip(self, stream: ThinkerStream) -> None:
        """Encode the first pending clip of the stream."""
        clip = next(iter(stream.pending_clips.values()))
        features = self.model.audio_features([clip.waveform]).to(self.model.device)
        stream.encoded[clip.key] = self.model.embed_audio(features)[0].to(self._embed.weight.dtype)
        self.audio.put(clip.key, stream.encoded[clip.key])

    def _prefill_chunk(self, stream: ThinkerStream, count: int) -> ScheduledChunk:
        """The next ``count`` positions; hidden states are kept of those that predict a token of the reply."""
        cached = stream.slot.length
        if stream.embeddings is None:
            stream.embeddings = self._embed_all(stream, cached)
        part = stream.embeddings[len(stream.embeddings) - stream.to_prefill :][:count]
        if count == stream.to_prefill:  # after this chunk the slot holds the whole prompt
            stream.embeddings, stream.encoded = None, {}
        predicting = cached + count - max(cached, len(stream.prompt) - 1)
        return ScheduledChunk(stream.slot, part, keep=max(1, predicting))

    def _embed_all(self, stream: ThinkerStream, cached: int) -> Tensor:
        """Embeddings (T, D) of all positions after the first ``cached``."""
        ids = np.concatenate([np.maximum(stream.prompt, 0), np.array(stream.record.ids, dtype=np.int64)])[cached:]
        embeddings = self._embed(torch.from_numpy(ids).to(self.model.device))
        for clip in stream.clips:
            if clip.stop > cached:
                encoded = stream.encoded[clip.key][max(cached - clip.start, 0) :]
                embeddings[clip.stop - cached - len(encoded) : clip.stop - cached] = encoded
        return embeddings

    def _accept(self, computed: list[tuple[ThinkerStream, Tensor]]) -> None:
        """Append the tokens that the hidden states (keep, D) of each stream predict."""
        computed = [(stream, hidden) for stream, hidden in computed if stream.slot.length >= len(stream.prompt)]
        sampling = [(stream, hidden[-1:]) for stream, hidden in computed if not stream.to_prefill]
        chosen = iter(self._choose(sampling) if sampling else [])
        states = iter(torch.cat([hidden for _, hidden in computed]).float().cpu().numpy() if computed else [])
        for stream, hidden in computed:
            count = len(stream.generated)
            tokens: list[int | None] = [*stream.record.ids[count : count + len(hidden)]]
            if not stream.to_prefill:
                tokens.append(next(chosen))
            for token, state in zip(tokens, [next(states) for _ in tokens], strict=True):
                if stream.done:
                    break
                if token is None or not np.isfinite(state).all():  # logits are not computed for given tokens
                    self._end(stream, f"token {len(stream.generated)} of the reply: the model's logits are not finite")
                else:
                    self._append_token(stream, token, state)

    def _choose(self, sampling: list[tuple[ThinkerStream, Tensor]]) -> list[int | None]:
        head = self.model.llm_model.lm_head.weight
        logits = self._lm.logits(torch.cat([hidden for _, hidden in sampling]), head)
        # Tokens of a record are appended in the same step, before the sampled one.
        generated = [max(stream.generated, list(stream.record.ids), key=len) for stream, _ in sampling]
        requests = [stream.request.text for stream, _ in sampling]
        inputs = [SamplingInputs(text, RngStream.TEXT, ids) for text, ids in zip(requests, generated, strict=True)]
        return choose(logits, inputs)

    def _append_token(self, stream: ThinkerStream, token: int, hidden: NDArray[np.float32]) -> None:
        """Append a token and the hidden state (D,) that predicted it."""
        stream.generated.append(token)
        ended = token in self.vocabulary.text_end_ids
        last = ended or len(stream.generated) == stream.request.text.max_tokens
        stream.emit_text(stream.text.push(token, final=last))
        last |= stream.text.stopped
        if stream.request.speak:
            stream.group.append(hidden)
            stream.emit_hidden_states(self.model.config.interleave.hidden_states, last=last)
        if last:
            reason: FinishReason = "stop" if ended or stream.text.stopped else "length"
            stream.output.append(Finish(reason, len(stream.prompt), len(stream.generated)))
            self._end(stream)
