"""Tiny deterministic engines: real life cycles and message flow, no model. They pickle by name into replicas."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import numpy as np

from opens2s_core.inference.engine import Engine, EngineFull, StreamId
from opens2s_core.inference.messages import (
    AudioChunk,
    Finish,
    Hiddens,
    ReplyRequest,
    StageMessage,
    TextDelta,
    Units,
)
from opens2s_core.inference.records import Record, ReplyRecord, SoundRecord, TextRecord, UnitsRecord
from opens2s_core.prompt import Audio, Text
from serve_app.config import STAGES, StageName
from serve_app.errors import StageLost
from serve_app.gateway.calls import Attempt, Caller, Made
from serve_app.gateway.chain import Chain
from serve_app.observability.metrics import IngressMetrics
from serve_app.stages.engine_thread import EngineStream, EngineThread

SAMPLES_PER_UNIT = 1764
GROUP = 4
REFUSED = "refuse me"
POISON = "poison"
SETTLE_SECONDS = 2.0


@dataclass
class FakeStream:
    request: ReplyRequest
    inputs: list[StageMessage] = field(default_factory=list)
    outputs: list[StageMessage] = field(default_factory=list)
    steps: int = 0
    made: int = 0  # characters of text, units, or units made into sound: what a record counts
    skipped: int = 0  # of these, handed out by an earlier stream


class FakeEngine:
    """Slots and queues; a subclass says what one stream does in one step, and what a record of it holds."""

    def __init__(self, capacity: int, step_seconds: float = 0.0) -> None:
        self._capacity = capacity
        self._step_seconds = step_seconds
        self._next = 0
        self.streams: dict[StreamId, FakeStream] = {}

    @property
    def capacity(self) -> int:
        return self._capacity

    def open(self, request: ReplyRequest, record: Record | None = None) -> StreamId:
        if len(self.streams) == self._capacity:
            raise EngineFull(f"all {self._capacity} slots are taken")
        if REFUSED in (request.say, request.messages and said(request)):
            raise ValueError("the prompt is too long")
        self._next += 1
        self.streams[self._next] = stream = FakeStream(request)
        if record is not None:
            self.go_on(stream, record)
        return self._next

    def push(self, stream: StreamId, message: StageMessage) -> None:
        self.streams[stream].inputs.append(message)

    def step(self) -> bool:
        worked = [self.advance(stream) for stream in self.streams.values()]
        if any(worked) and self._step_seconds:
            time.sleep(self._step_seconds)
        return any(worked)

    def advance(self, stream: FakeStream) -> bool:
        raise NotImplementedError

    def go_on(self, stream: FakeStream, record: Record) -> None:
        raise NotImplementedError

    def record_of(self, stream: FakeStream) -> Record:
        raise NotImplementedError

    def chunks(self, stream: StreamId) -> Sequence[StageMessage]:
        taken, self.streams[stream].outputs = self.streams[stream].outputs, []
        return taken

    def record(self, stream: StreamId) -> Record:
        return self.record_of(self.streams[stream])

    def close(self, stream: StreamId) -> None:
        self.streams.pop(stream, None)


def said(request: ReplyRequest) -> str:
    """What the last message says: its text, and the length of each sound."""
    content = request.messages[-1].content
    parts = [item.text if isinstance(item, Text) else f"<{len(item.source)}>" for item in content]
    assert all(isinstance(item, Text | Audio) for item in content)
    return " ".join(parts)


def reply_words(request: ReplyRequest) -> list[str]:
    """The text of the fake thinker's reply: what it is to say, or what it heard, at most ``max_tokens`` words of it."""
    return [f"{word} " for word in (request.say or f"you said {said(request)}").split()][: request.text.max_tokens]


class FakeThinker(FakeEngine):
    """One word, and one group of hidden states, a step. The word ``poison`` breaks the engine."""

    def advance(self, stream: FakeStream) -> bool:
        words = reply_words(stream.request)
        if stream.steps > len(words):
            return False
        if stream.steps < len(words):
            word = words[stream.steps]
            if word.strip() == POISON:
                raise RuntimeError("poisoned")
            if stream.made >= stream.skipped:
                stream.outputs.append(TextDelta(word))
            stream.made += len(word)
            if stream.request.speak:
                stream.outputs.append(Hiddens(np.full((GROUP, 2), stream.steps, np.float32), final=False))
        else:
            if stream.request.speak:
                stream.outputs.append(Hiddens(np.zeros((0, 2), np.float32), final=True))
            limited = len(words) == stream.request.text.max_tokens
            stream.outputs.append(Finish("length" if limited else "stop", len(stream.request.messages), len(words)))
        stream.steps += 1
        return True

    def go_on(self, stream: FakeStream, record: Record) -> None:
        assert isinstance(record, TextRecord), record
        assert record.groups == 0  # a speech decoder that starts anew hears all
        stream.skipped = record.characters

    def record_of(self, stream: FakeStream) -> Record:
        return TextRecord(tuple(range(stream.steps)), stream.steps, max(stream.made, stream.skipped))


class FakeSpeechDecoder(FakeEngine):
    """Two units per hidden state, numbered after the word they belong to."""

    def advance(self, stream: FakeStream) -> bool:
        if not stream.inputs:
            return False
        message = stream.inputs.pop(0)
        assert isinstance(message, Hiddens), message
        ids = np.repeat(message.values[:, 0].astype(np.int64), 2)
        if message.final or stream.made >= stream.skipped:
            stream.outputs.append(Units(ids, message.final))
        stream.made += len(ids)
        return True

    def go_on(self, stream: FakeStream, record: Record) -> None:
        assert isinstance(record, UnitsRecord), record
        stream.skipped = record.units

    def record_of(self, stream: FakeStream) -> Record:
        made = max(stream.made, stream.skipped)
        return UnitsRecord(tuple(range(made)), made)


class FakeToken2Wav(FakeEngine):
    """A level per unit."""

    def advance(self, stream: FakeStream) -> bool:
        if not stream.inputs:
            return False
        message = stream.inputs.pop(0)
        assert isinstance(message, Units), message
        stream.outputs.append(AudioChunk(spoken(message.ids), message.final))
        stream.made += len(message.ids)
        return True

    def go_on(self, stream: FakeStream, record: Record) -> None:
        assert isinstance(record, SoundRecord), record
        stream.made = record.received

    def record_of(self, stream: FakeStream) -> Record:
        nothing = np.zeros(0, np.float32)
        return SoundRecord(
            received=stream.made,
            rendered=stream.made,
            sourced=0,
            emitted=0,
            resampled=0,
            cycles=0.0,
            units=np.zeros(0, np.int64),
            mel=nothing,
            source=nothing,
            tail=nothing,
        )


def spoken(ids: np.ndarray) -> np.ndarray:
    """The samples of the fake token2wav for speech units, int16."""
    return np.repeat(((ids + 1) * 512).astype(np.int16), SAMPLES_PER_UNIT)


def whole_reply(request: ReplyRequest) -> tuple[str, np.ndarray]:
    """The oracle of the fake chain: the reply's text and samples."""
    words = reply_words(request)
    return "".join(words), spoken(np.repeat(np.arange(len(words)), 2 * GROUP))


def build_fake_engine(stage: str, bundle: str, *, capacity: int) -> Engine:
    """In the place of the real ``build_engine``; ``bundle`` is not read."""
    engines: dict[str, type[FakeEngine]] = {
        "thinker": FakeThinker,
        "speech_decoder": FakeSpeechDecoder,
        "token2wav": FakeToken2Wav,
    }
    return engines[stage](capacity, step_seconds=0.01)


class LocalCall:
    """A call to a stage in this process. Behind so many answers the stage is ``lost`` as a process is."""

    def __init__(self, stage: StageName, engine: EngineThread, lost: int | None) -> None:
        self.attempt: str | None = None
        self._stage = stage
        self._engine = engine
        self._lost = lost
        self._stream: EngineStream | None = None

    async def begin(self, attempt: Attempt) -> None:
        self.attempt = attempt.id
        self._stream = self._engine.open(attempt)

    async def send(self, message: StageMessage) -> None:
        assert self._stream is not None
        self._stream.push(message)

    async def __aiter__(self) -> AsyncIterator[Made]:
        assert self._stream is not None
        answers = 0
        with closing(self._stream):
            async for made in self._stream:
                if answers == self._lost:
                    raise StageLost(self._stage, "ActorDiedError")
                answers += 1
                yield made

    def cancel(self) -> None:
        if self._stream is not None:
            self._stream.close()


class Stages:
    """The three stages in this process.

    ``losses`` says for each attempt which stage is lost behind how many of its answers; later attempts lose none.
    """

    def __init__(self, engines: Sequence[Engine], losses: Sequence[tuple[StageName, int]] = ()) -> None:
        self.metrics = IngressMetrics()
        self.draining = False
        self.thinker_calls: list[LocalCall] = []  # one for each attempt
        self.losses = list(losses)
        self.threads = {name: EngineThread(engine, name) for name, engine in zip(STAGES, engines, strict=True)}
        self._loss: tuple[StageName, int] | None = None

    def ask(self, stage: StageName) -> LocalCall:
        if stage == "thinker":  # an attempt asks it first, unless in a crowd
            self._loss = self.losses.pop(0) if self.losses else None
        lost, answers = self._loss or (None, None)
        call = LocalCall(stage, self.threads[stage], answers if stage == lost else None)
        if stage == "thinker":
            self.thinker_calls.append(call)
        return call

    def start(self, attempt: Attempt, caller: Caller | None = None) -> Chain:
        return Chain(attempt, self.ask, caller or Caller())

    async def missing(self) -> list[str]:
        return []

    async def free(self) -> None:
        """Returns once every slot of every stage is free; its thread frees a slot soon after it is told to."""
        async with asyncio.timeout(SETTLE_SECONDS):
            while any(thread.open_streams for thread in self.threads.values()):
                await asyncio.sleep(0.01)

    def stop(self) -> None:
        for thread in self.threads.values():
            thread.stop()


def attempt(request: ReplyRequest, record: ReplyRecord | None = None) -> Attempt:
    return Attempt(id="test", request=request, sample_rate=22_050, record=record or ReplyRecord())


@contextmanager
def local_stages(capacity: int = 4) -> Iterator[Stages]:
    made = Stages([FakeThinker(capacity), FakeSpeechDecoder(capacity), FakeToken2Wav(capacity)])
    yield made
    made.stop()
