"""Tiny deterministic engines: real life phase and message flow, no model. They pickle by name into replicas."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from opens2s_core.inference.engine import Engine, EngineFull, StreamId
from opens2s_core.inference.family import OPENS2S
from opens2s_core.inference.messages import (
    AudioChunk,
    Finish,
    HiddenStates,
    ReplyRequest,
    SpeechFinish,
    StageMessage,
    TextDelta,
    Units,
)
from opens2s_core.inference.records import AudioRecord, Record, TextRecord, UnitsRecord
from opens2s_core.prompt import Audio, Message, Text
from serve_app.config import Pacing, StageConfig
from serve_app.errors import StageLost
from serve_app.gateway.admission import Admission
from serve_app.gateway.attempt import Stages
from serve_app.gateway.pacing import Pacer
from serve_app.gateway.transcripts import Transcripts
from serve_app.observability.metrics import GatewayMetrics
from serve_app.stages.engine_thread import EngineStream, EngineThread
from serve_app.stages.messages import Accepted, StageOutput, StageRequest

SAMPLES_PER_UNIT = 1764
GROUP = 4
REFUSED = "refuse me"
POISON = "poison"
SETTLE_SECONDS = 2.0
_PACING = Pacing()


@dataclass
class FakeClock:
    """Seconds that pass only when a test lets them."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class FakeStream:
    request: ReplyRequest
    inputs: list[StageMessage] = field(default_factory=list)
    outputs: list[StageMessage] = field(default_factory=list)
    steps: int = 0
    done: int = 0  # characters of text, units, or units made into sound: what a record counts
    skipped: int = 0  # of these, given to an earlier stream
    cut: bool = False  # ended before its input did


class FakeEngine:
    """Slots and queues; a subclass says what one stream does in a step, and what its resume record holds."""

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
        if REFUSED in (request.reply_text, request.messages and last_text(request)):
            raise ValueError("the prompt is too long")
        self._next += 1
        self.streams[self._next] = stream = FakeStream(request)
        if record is not None:
            self.resume(stream, record)
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

    def resume(self, stream: FakeStream, record: Record) -> None:
        raise NotImplementedError

    def record_of(self, stream: FakeStream) -> Record:
        raise NotImplementedError

    def chunks(self, stream: StreamId) -> Sequence[StageMessage]:
        outputs, self.streams[stream].outputs = self.streams[stream].outputs, []
        return outputs

    def record(self, stream: StreamId) -> Record:
        return self.record_of(self.streams[stream])

    def close(self, stream: StreamId) -> None:
        self.streams.pop(stream, None)


def last_text(request: ReplyRequest) -> str:
    """The text of the last message, and the length of each of its clips."""
    content = request.messages[-1].content
    parts = [item.text if isinstance(item, Text) else f"<{len(item.source)}>" for item in content]
    assert all(isinstance(item, Text | Audio) for item in content)
    return " ".join(parts)


def reply_words(request: ReplyRequest) -> list[str]:
    """The words of the fake thinker's reply: those given, or the user's; at most ``max_tokens``."""
    return [f"{word} " for word in (request.reply_text or f"you said {last_text(request)}").split()][
        : request.text.max_tokens
    ]


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
            if stream.done >= stream.skipped:
                stream.outputs.append(TextDelta(word))
            stream.done += len(word)
            if stream.request.speak:
                stream.outputs.append(HiddenStates(np.full((GROUP, 2), stream.steps, np.float32), final=False))
        else:
            if stream.request.speak:
                stream.outputs.append(HiddenStates(np.zeros((0, 2), np.float32), final=True))
            limited = len(words) == stream.request.text.max_tokens
            stream.outputs.append(Finish("length" if limited else "stop", len(stream.request.messages), len(words)))
        stream.steps += 1
        return True

    def resume(self, stream: FakeStream, record: Record) -> None:
        assert isinstance(record, TextRecord), record
        assert record.groups == 0  # a fresh speech decoder reads all of them
        stream.skipped = record.characters

    def record_of(self, stream: FakeStream) -> Record:
        return TextRecord(tuple(range(stream.steps)), stream.steps, max(stream.done, stream.skipped))


class FakeSpeechDecoder(FakeEngine):
    """Two units per hidden state, numbered after the word they belong to. With ``cut_after`` units it ends the speech,
    for the reason ``finish``."""

    def __init__(
        self,
        capacity: int,
        step_seconds: float = 0.0,
        *,
        cut_after: int | None = None,
        finish: SpeechFinish = "length",
    ) -> None:
        super().__init__(capacity, step_seconds)
        self._cut_after = cut_after
        self._finish = finish

    def advance(self, stream: FakeStream) -> bool:
        if not stream.inputs:
            return False
        message = stream.inputs.pop(0)
        assert isinstance(message, HiddenStates), message
        ids = np.repeat(message.values[:, 0].astype(np.int64), 2)
        cut = self._cut_after is not None and stream.done + len(ids) >= self._cut_after
        if stream.cut:
            return False
        if cut or message.final or stream.done >= stream.skipped:
            stream.outputs.append(Units(ids, cut or message.final, self._finish if cut else None))
        stream.done += len(ids)
        stream.cut = cut
        return True

    def resume(self, stream: FakeStream, record: Record) -> None:
        assert isinstance(record, UnitsRecord), record
        stream.skipped = record.units

    def record_of(self, stream: FakeStream) -> Record:
        done = max(stream.done, stream.skipped)
        return UnitsRecord(tuple(range(done)), done)


class FakeToken2Wav(FakeEngine):
    """A level per unit."""

    def advance(self, stream: FakeStream) -> bool:
        if not stream.inputs:
            return False
        message = stream.inputs.pop(0)
        assert isinstance(message, Units), message
        stream.outputs.append(AudioChunk(samples_of(message.ids), message.final, message.finish))
        stream.done += len(message.ids)
        return True

    def resume(self, stream: FakeStream, record: Record) -> None:
        assert isinstance(record, AudioRecord), record
        stream.done = record.received

    def record_of(self, stream: FakeStream) -> Record:
        nothing = np.zeros(0, np.float32)
        return AudioRecord(
            received=stream.done,
            rendered=stream.done,
            source_frames=0,
            emitted=0,
            resampled=0,
            phase=0.0,
            units=np.zeros(0, np.int64),
            mel=nothing,
            source=nothing,
            tail=nothing,
        )


def samples_of(ids: np.ndarray) -> np.ndarray:
    """The samples of the fake token2wav for speech units, int16."""
    return np.repeat(((ids + 1) * 512).astype(np.int16), SAMPLES_PER_UNIT)


def whole_reply(request: ReplyRequest) -> tuple[str, np.ndarray]:
    """The expected text and samples of a reply that the fake engines make."""
    words = reply_words(request)
    return "".join(words), samples_of(np.repeat(np.arange(len(words)), 2 * GROUP))


def build_fake_engine(stage: str, bundle: str, config: StageConfig) -> Engine:
    """In the place of the real ``build_stage_engine``; ``bundle`` is not read."""
    engines: dict[str, type[FakeEngine]] = {
        "thinker": FakeThinker,
        "speech_decoder": FakeSpeechDecoder,
        "token2wav": FakeToken2Wav,
    }
    return engines[stage](config.capacity, step_seconds=0.01)


class LocalConnection:
    """A connection to a stage in this process, whose replica is lost after ``lost_after`` outputs."""

    def __init__(self, stage: str, engine: EngineThread, lost_after: int | None) -> None:
        self.request: StageRequest | None = None
        self.stage = stage
        self._engine = engine
        self._lost_after = lost_after
        self._stream: EngineStream | None = None

    async def send(self, message: StageRequest | StageMessage) -> None:
        if isinstance(message, StageRequest):
            self.request = message
            self._stream = self._engine.open(message)
            self._items = aiter(self._stream)
        else:
            assert self._stream is not None
            self._stream.push(message)

    async def accepted(self) -> None:
        assert isinstance(await anext(self._items), Accepted)

    async def __aiter__(self) -> AsyncIterator[StageOutput]:
        outputs = 0
        async for item in self._items:
            if outputs == self._lost_after:
                raise StageLost(self.stage, "the connection broke")
            outputs += 1
            assert isinstance(item, StageOutput)
            yield item

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()


class LocalClient:
    """Connects to a stage in this process, by connections of this ``kind``. ``losses`` has one entry for each
    connection to come: after how many outputs it is lost, or None."""

    def __init__(self, stage: str, engine: EngineThread) -> None:
        self.connections: list[LocalConnection] = []
        self.losses: list[int | None] = []
        self.kind = LocalConnection
        self.engine = engine
        self._stage = stage

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[LocalConnection]:
        connection = self.kind(self._stage, self.engine, self.losses.pop(0) if self.losses else None)
        self.connections.append(connection)
        try:
            yield connection
        finally:
            connection.close()


class LocalBackend:
    """The stages of a reply in this process, and what else the endpoints need.

    ``losses`` says for each attempt which stage is lost after how many of its outputs; later attempts lose none.
    ``queue`` requests may wait, and each key may have ``per_client`` at once.
    """

    def __init__(
        self,
        engines: Sequence[Engine],
        losses: Iterable[tuple[str, int]] = (),
        *,
        queue: int = 4,
        per_client: int = 16,
        coalesce_seconds: float = 0.0,
        pacing: Pacing = _PACING,
    ) -> None:
        self.threads = {
            spec.name: EngineThread(engine, spec, coalesce_seconds=coalesce_seconds)
            for spec, engine in zip(OPENS2S.stages, engines, strict=True)
        }
        self.clients = {name: LocalClient(name, thread) for name, thread in self.threads.items()}
        for stage, after in losses:
            for name, client in self.clients.items():
                client.losses.append(after if name == stage else None)
        self.stages = Stages(family=OPENS2S, clients=self.clients, pacer=Pacer(pacing))
        self.metrics = GatewayMetrics()
        self.admission = Admission(min(engine.capacity for engine in engines), queue, per_client)
        self.draining = False
        self.missing_stages: list[str] = []
        self._transcripts = Transcripts()

    async def missing(self) -> list[str]:
        return self.missing_stages

    def keep_transcript(self, audio_id: str, client: bytes | None, text: str) -> None:
        self._transcripts.put(audio_id, client, text)

    async def transcripts(self, audio_ids: Sequence[str], client: bytes | None) -> dict[str, str]:
        return self._transcripts.find(audio_ids, client)

    async def free(self) -> None:
        """Returns once every slot of every stage is free; its thread frees a slot soon after it is asked to."""
        async with asyncio.timeout(SETTLE_SECONDS):
            while any(thread.open_streams for thread in self.threads.values()):
                await asyncio.sleep(0.01)

    def stop(self) -> None:
        for thread in self.threads.values():
            thread.stop()


@contextmanager
def local_backend(
    capacity: int = 4, losses: Iterable[tuple[str, int]] = (), engines: Sequence[Engine] | None = None, **options: Any
) -> Iterator[LocalBackend]:
    """``engines`` (default: fake ones with ``capacity`` slots) in this process; ``options`` are those of
    :class:`LocalBackend`."""
    fakes = [FakeThinker(capacity), FakeSpeechDecoder(capacity), FakeToken2Wav(capacity)]
    backend = LocalBackend(engines or fakes, losses, **options)
    try:
        yield backend
    finally:
        backend.stop()


def reply_request(text: str = "one two three", *, speak: bool = True) -> ReplyRequest:
    """What a user wrote, to be answered."""
    return ReplyRequest(messages=(Message("user", (Text(text),)),), speak=speak)


def stage_request(request: ReplyRequest, record: Record | None = None) -> StageRequest:
    return StageRequest(id="test", request=request, sample_rate=22_050, units_per_second=12.5, record=record)
