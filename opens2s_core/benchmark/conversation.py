"""Whole replies in one process: time to first audio and real-time factor of one reply, of concurrent ones and of later
turns."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tqdm import tqdm

from opens2s_core.benchmark.engine_models import EngineModels, question, spoken_request
from opens2s_core.benchmark.language_engines import build_engines
from opens2s_core.benchmark.report import Bound, Measurement
from opens2s_core.benchmark.timing import now
from opens2s_core.inference.messages import AudioChunk, ReplyRequest
from opens2s_core.inference.pipeline import Pipeline
from opens2s_core.inference.token2wav import Token2WavEngine
from opens2s_core.prompt import Message, Spoken

_TOKENS, _UNITS = 48, 120  # 9.6 s of speech
_TURNS = 10
_ANSWER = "That seems hard. I would go for a walk first, and then call a friend."


@dataclass(frozen=True, slots=True)
class Goals:
    """Bounds by number of concurrent replies; times in milliseconds."""

    first_audio: Mapping[int, Bound] = field(default_factory=dict)
    real_time_factor: Mapping[int, Bound] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RepliesTiming:
    """Seconds since concurrent replies were requested."""

    first_audio: float  # median over the replies
    total: float  # until the last audio of all replies
    audio: float  # duration of one reply

    @property
    def real_time_factor(self) -> float:
        """Seconds until all replies are complete, per second of audio of one."""
        return self.total / self.audio


def conversation_rows(
    name: str, models: EngineModels, streams: Sequence[int], goals: Goals, repeats: int
) -> list[Measurement]:
    """Rows of the model ``name`` for each number of concurrent replies in ``streams``, and for a conversation. Each is
    measured ``repeats`` times."""
    capacity = max(streams)
    token2wav = Token2WavEngine(models.flow, models.vocoder, capacity=capacity)
    pipeline = Pipeline(*build_engines(models, capacity), token2wav)
    rate = models.vocoder.config.sampling_rate
    rows: list[Measurement] = []
    for count in streams:
        what = f"{name} model, {count} concurrent {'reply' if count == 1 else 'replies'}"
        rounds = [
            run_replies(pipeline, [_request(question(100 * i + j), seed=j) for j in range(count)], rate)
            for i in tqdm(range(repeats + 1), desc=what, unit="round")
        ][1:]
        factor = statistics.median(each.real_time_factor for each in rounds)
        first_audio = 1e3 * statistics.median(each.first_audio for each in rounds)
        rows += [
            Measurement(
                name=f"{what}: time to first audio, median",
                value=first_audio,
                unit="ms",
                bound=goals.first_audio.get(count),
            ),
            Measurement(
                name=f"{what}: real-time factor, median",
                value=factor,
                unit="s/s",
                bound=goals.real_time_factor.get(count),
            ),
        ]
    return [*rows, _turn_row(name, pipeline, rate, repeats)]


def _turn_row(name: str, pipeline: Pipeline, rate: int, repeats: int) -> Measurement:
    """Time to first audio in the tenth turn of conversations, divided by that in the first."""
    first: list[float] = []
    last: list[float] = []
    for i in tqdm(range(repeats), desc=f"{name} model, conversations", unit="conversation"):
        messages: list[Message] = []
        for turn in range(_TURNS):
            messages.append(question(1000 * i + turn + 1))
            seconds = run_replies(pipeline, [_request(*messages)], rate, first_audio_only=True).first_audio
            messages.append(Message("assistant", (Spoken(_ANSWER),)))
            if turn == 0:
                first.append(seconds)
        last.append(seconds)
    return Measurement(
        name=f"{name} model: ratio of time to first audio, turn {_TURNS} to turn 1",
        value=statistics.median(last) / statistics.median(first),
        unit="times",
        bound=Bound("at most", 1.3),
    )


def _request(*messages: Message, seed: int = 0) -> ReplyRequest:
    return spoken_request(*messages, tokens=_TOKENS, units=_UNITS, seed=seed)


def run_replies(
    pipeline: Pipeline, requests: Sequence[ReplyRequest], rate: int, *, first_audio_only: bool = False
) -> RepliesTiming:
    """Run all replies to their end, or until each has its first audio."""
    started = now()
    replies = [pipeline.open(request) for request in requests]
    first_audio: dict[int, float] = {}
    samples = 0
    while not all(pipeline.ended(reply) or (first_audio_only and reply in first_audio) for reply in replies):
        pipeline.step()
        for reply in replies:
            for message in pipeline.chunks(reply):
                if isinstance(message, AudioChunk) and len(message.samples):
                    first_audio.setdefault(reply, now() - started)
                    samples += len(message.samples)
    total = now() - started
    for reply in replies:
        pipeline.close(reply)
    return RepliesTiming(
        first_audio=statistics.median(first_audio.values()),
        total=total,
        audio=samples / rate / len(requests),
    )
