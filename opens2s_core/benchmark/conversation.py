"""Whole replies in one process: how soon they are heard, alone, beside others, and late in a conversation."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tqdm import tqdm

from opens2s_core.benchmark.engine_models import EngineModels, question, spoken
from opens2s_core.benchmark.language_engines import build_engines
from opens2s_core.benchmark.report import Bound, Row
from opens2s_core.benchmark.timing import now
from opens2s_core.inference.messages import AudioChunk, ReplyRequest
from opens2s_core.inference.pipeline import Pipeline
from opens2s_core.inference.token2wav import Token2WavEngine
from opens2s_core.prompt import Message, Spoken

_TOKENS, _UNITS = 48, 120  # 9.6 s of speech
_TURNS = 10
_ANSWER = "That sounds hard. I would go for a walk first, and then call a friend."


@dataclass(frozen=True, slots=True)
class Goals:
    """What is promised, by how many replies there are at once; times in milliseconds."""

    first_audio: Mapping[int, Bound] = field(default_factory=dict)
    real_time_factor: Mapping[int, Bound] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Heard:
    """Seconds since some replies were asked for, all at once."""

    first_audio: float  # median over the replies
    whole: float  # until the last sound of all
    sound: float  # that a reply lasts

    @property
    def real_time_factor(self) -> float:
        """Seconds until all were there per second that one lasts."""
        return self.whole / self.sound


def conversation_rows(name: str, models: EngineModels, streams: Sequence[int], goals: Goals, repeats: int) -> list[Row]:
    """Of a model called ``name``, for so many replies at once, and for a conversation of one; each measured so many
    times."""
    capacity = max(streams)
    token2wav = Token2WavEngine(models.flow, models.vocoder, capacity=capacity)
    pipeline = Pipeline(*build_engines(models, capacity), token2wav)
    rate = models.vocoder.config.sampling_rate
    rows: list[Row] = []
    for count in streams:
        what = f"{name} model, {count} at once"
        heard = [
            answer(pipeline, [_ask(question(100 * i + j), seed=j) for j in range(count)], rate)
            for i in tqdm(range(repeats + 1), desc=what, unit="round")
        ][1:]
        factor = statistics.median(each.real_time_factor for each in heard)
        first_audio = 1e3 * statistics.median(each.first_audio for each in heard)
        rows += [
            Row(name=f"{what}: first audio", value=first_audio, unit="ms", bound=goals.first_audio.get(count)),
            Row(name=f"{what}: real-time factor", value=factor, unit="s/s", bound=goals.real_time_factor.get(count)),
        ]
    return [*rows, _turn_row(name, pipeline, rate, repeats)]


def _turn_row(name: str, pipeline: Pipeline, rate: int, repeats: int) -> Row:
    """First audio of the tenth turn of conversations, to that of the first."""
    first: list[float] = []
    last: list[float] = []
    for i in tqdm(range(repeats), desc=f"{name} model, conversations", unit="conversation"):
        messages: list[Message] = []
        for turn in range(_TURNS):
            messages.append(question(1000 * i + turn + 1))
            seconds = answer(pipeline, [_ask(*messages)], rate, only_begin=True).first_audio
            messages.append(Message("assistant", (Spoken(_ANSWER),)))
            if turn == 0:
                first.append(seconds)
        last.append(seconds)
    return Row(
        name=f"{name} model: first audio of turn {_TURNS} to that of turn 1",
        value=statistics.median(last) / statistics.median(first),
        unit="times",
        bound=Bound("at most", 1.3),
    )


def _ask(*messages: Message, seed: int = 0) -> ReplyRequest:
    return spoken(*messages, tokens=_TOKENS, units=_UNITS, seed=seed)


def answer(pipeline: Pipeline, requests: Sequence[ReplyRequest], rate: int, *, only_begin: bool = False) -> Heard:
    """All replies, or only until each has begun to be heard."""
    begun = now()
    replies = [pipeline.open(request) for request in requests]
    first_audio: dict[int, float] = {}
    samples = 0
    while not all(pipeline.ended(reply) or (only_begin and reply in first_audio) for reply in replies):
        pipeline.step()
        for reply in replies:
            for message in pipeline.chunks(reply):
                if isinstance(message, AudioChunk) and len(message.samples):
                    first_audio.setdefault(reply, now() - begun)
                    samples += len(message.samples)
    whole = now() - begun
    for reply in replies:
        pipeline.close(reply)
    return Heard(
        first_audio=statistics.median(first_audio.values()),
        whole=whole,
        sound=samples / rate / len(requests),
    )
