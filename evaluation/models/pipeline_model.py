"""One pipeline that answers items in this process."""

import math
from collections.abc import Iterator

from evaluation.items import Answer, Item, Reply, Turn
from evaluation.models.model import IncomingReply, ModelConfig
from opens2s_core.checkpoint.bundle import OPENS2S, TOKEN2WAV, opens2s_directory, read_bundle_info
from opens2s_core.checkpoint.opens2s import read_config
from opens2s_core.inference.engine import StreamFailed
from opens2s_core.inference.messages import AudioChunk, ReplyRequest, Sampling, TextDelta
from opens2s_core.inference.pipeline import Pipeline
from opens2s_core.inference.transcription import transcription_request
from opens2s_core.prompt import Audio, Content, Message, Spoken, Text
from opens2s_core.storage import SETTINGS, fetch_directory
from opens2s_core.training.batch import load_clip

_UNITS_FACTOR = 4
"""As in serving: speech ends at three times its expected length, and this only bounds it."""


class PipelineModel:
    """``model`` is a path or URL of a bundle, a published directory or an OpenS2S directory; the last one has the text
    of spoken replies alone. Text is greedy, units are sampled at the temperature of the checkpoint with the configured
    seed."""

    def __init__(self, model: str, config: ModelConfig) -> None:
        self._config = config
        self._transcription_prompt = read_config(opens2s_directory(model)).transcription_prompt
        if config.spoken and has_voice(model):
            info = read_bundle_info(model)
            self._rate = info.sample_rate
            most = math.ceil(_UNITS_FACTOR * info.units_per_token * config.max_tokens)
            self._units = Sampling(temperature=info.units_temperature, max_tokens=most, seed=config.seed)
            self._pipeline = Pipeline.load(model)
        else:
            self._rate, self._units = 0, Sampling()
            self._pipeline = Pipeline.load_text(model)

    def answer(self, item: Item) -> Answer:
        try:
            return Answer(item=item.id, replies=tuple(self._replies(item)))
        except (ValueError, StreamFailed) as error:  # AudioError and ContextLengthExceeded are ValueErrors
            return Answer(item=item.id, error=str(error))

    def _replies(self, item: Item) -> Iterator[Reply]:
        if item.transcribe:
            yield self._generated(self._transcription(item.turns[0].audio))
            return
        messages = [Message("system", (Text(item.system),))] if item.system else []
        for turn in item.turns:
            messages.append(Message("user", tuple(_content(turn))))
            reply = self._reply(tuple(messages))
            spoken = self._config.spoken and reply.text
            messages.append(Message("assistant", (Spoken(reply.text) if spoken else Text(reply.text),)))
            yield reply

    def _reply(self, messages: tuple[Message, ...]) -> Reply:
        request = ReplyRequest(
            messages=messages,
            speak=self._config.spoken,
            text=Sampling(max_tokens=self._config.max_tokens),
            units=self._units,
            seed=self._config.seed,
        )
        return self._generated(request)

    def _transcription(self, clip: bytes) -> ReplyRequest:
        if not self._transcription_prompt:
            raise ValueError(
                "the model was not trained to transcribe: its config.json has no transcription_prompt. Expected one, "
                "or the suite's option instruction"
            )
        return transcription_request(
            self._transcription_prompt, load_clip(clip), max_tokens=self._config.max_tokens, seed=self._config.seed
        )

    def _generated(self, request: ReplyRequest) -> Reply:
        reply = IncomingReply()
        for message in self._pipeline.reply(request):
            match message:
                case TextDelta(text):
                    reply.add_text(text)
                case AudioChunk(samples):
                    reply.add_audio(samples, self._rate)
        return reply.complete()


def has_voice(model: str) -> bool:
    """Whether ``model`` has what replies are spoken with."""
    path = fetch_directory(model, *SETTINGS)
    return (path / OPENS2S).is_dir() and (path / TOKEN2WAV).is_dir()


def _content(turn: Turn) -> Iterator[Content]:
    if turn.instruction:
        yield Text(turn.instruction)
    yield Audio(load_clip(turn.audio)) if turn.audio else Text(turn.text)
