"""The thinker's engine: hears and reads a conversation, writes the reply, hands out hidden states in groups of M.

The hidden state handed out for a token is the one that predicted it, so n tokens (the end token included) give n
hidden states: the layout on which the speech decoder was trained.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache

from opens2s_core.checkpoint import Vocabulary
from opens2s_core.inference.engine import StreamId
from opens2s_core.inference.messages import Finish, Hiddens, ReplyRequest, StageMessage, TextDelta
from opens2s_core.inference.sampling import new_generator, sample
from opens2s_core.inference.slots import SlotEngine
from opens2s_core.models.thinker import Thinker, expand_audio_slots
from opens2s_core.prompt import Prompt, PromptBuilder


@dataclass(slots=True)
class _Stream:
    request: ReplyRequest
    prompt: Prompt
    input_ids: list[int]  # of the prompt, audio slots already repeated
    cache: DynamicCache
    generator: torch.Generator
    generated: list[int] = field(default_factory=list)
    told: str = ""  # text handed out so far
    group: list[NDArray[np.float32]] = field(default_factory=list)
    output: list[StageMessage] = field(default_factory=list)
    done: bool = False


class ThinkerEngine(SlotEngine[_Stream]):
    """Serves up to ``capacity`` replies. A step decodes one token of every stream and prefills at most one prompt."""

    def __init__(self, model: Thinker, vocabulary: Vocabulary, *, capacity: int) -> None:
        super().__init__(capacity)
        self.model = model
        self.vocabulary = vocabulary
        self.prompts = PromptBuilder(vocabulary.tokenizer, model.config.prompt_style)

    def open(self, request: ReplyRequest) -> StreamId:
        """``ValueError`` for a conversation that, with its longest reply, does not fit the model's context."""
        prompt = self.prompts.prompt(request.messages, speak=request.speak)
        config = self.model.config
        lengths = [config.audio_positions(len(clip)) for clip in prompt.audios]
        input_ids = expand_audio_slots(prompt.input_ids, lengths)
        limit = config.llm.max_position_embeddings
        if len(input_ids) + request.text.max_tokens > limit:
            raise ValueError(
                f"the conversation takes {len(input_ids)} positions and the reply up to {request.text.max_tokens}: "
                f"together more than the model's {limit}"
            )
        generator = new_generator(request.text)
        return self._slots.take(_Stream(request, prompt, input_ids, DynamicCache(), generator))

    def push(self, stream: StreamId, message: StageMessage) -> None:
        raise TypeError(f"the thinker is the first stage and takes no input, got {type(message).__name__}")

    @torch.inference_mode()
    def step(self) -> bool:
        live = [stream for stream in self._slots.states() if not stream.done]
        waiting = [stream for stream in live if not stream.generated]
        for stream in live:
            if stream.generated:
                self._advance(stream, self._last_token(stream))
        for stream in waiting[:1]:
            self._advance(stream, self._prompt(stream))
        return bool(live)

    def _prompt(self, stream: _Stream) -> Tensor:
        audio: list[Tensor] = []
        if stream.prompt.audios:
            audio = self.model.embed_audio(self.model.audio_features(stream.prompt.audios).to(self.model.device))
        return self.model.embed_prompt(torch.tensor([stream.input_ids], device=self.model.device), audio)

    def _last_token(self, stream: _Stream) -> Tensor:
        last = torch.tensor([stream.generated[-1:]], device=self.model.device)
        return self.model.llm_model.get_input_embeddings()(last)

    def _advance(self, stream: _Stream, embeddings: Tensor) -> None:
        """Run ``embeddings`` (1, T, D) through the LLM and take the token that its last position predicts."""
        llm = self.model.llm_model
        hidden = llm.model(inputs_embeds=embeddings, past_key_values=stream.cache).last_hidden_state[0, -1]
        token = sample(llm.lm_head(hidden), stream.request.text, stream.generator)
        stream.generated.append(token)
        ended = token in self.vocabulary.text_end_ids
        stream.done = ended or len(stream.generated) == stream.request.text.max_tokens
        self._tell_text(stream)
        if stream.request.speak:
            stream.group.append(hidden.float().cpu().numpy())
            if stream.done or len(stream.group) == self.model.config.interleave.hiddens:
                stream.output.append(Hiddens(np.stack(stream.group), final=stream.done))
                stream.group = []
        if stream.done:
            stream.output.append(Finish("stop" if ended else "length", len(stream.input_ids), len(stream.generated)))

    def _tell_text(self, stream: _Stream) -> None:
        text = str(self.vocabulary.tokenizer.decode(stream.generated, skip_special_tokens=True))
        if text.endswith("\ufffd") and not stream.done:  # the rest of a character is still to come
            return
        if len(text) > len(stream.told):
            stream.output.append(TextDelta(text[len(stream.told) :]))
            stream.told = text
