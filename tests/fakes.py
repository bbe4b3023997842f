"""Tiny deterministic engines: real life cycles and message flow, no model. They pickle by name into replicas."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
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
from opens2s_core.prompt import Audio, Text
from serve_app.config import StageName
from serve_app.engine_thread import EngineThread, relay
from serve_app.stages import TAKES

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


class FakeEngine:
    """Slots and queues; a subclass says what one stream does in one step."""

    def __init__(self, capacity: int, step_seconds: float = 0.0) -> None:
        self._capacity = capacity
        self._step_seconds = step_seconds
        self._next = 0
        self.streams: dict[StreamId, FakeStream] = {}

    @property
    def capacity(self) -> int:
        return self._capacity

    def open(self, request: ReplyRequest) -> StreamId:
        if len(self.streams) == self._capacity:
            raise EngineFull(f"all {self._capacity} slots are taken")
        if said(request) == REFUSED:
            raise ValueError("the prompt is too long")
        self._next += 1
        self.streams[self._next] = FakeStream(request)
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

    def chunks(self, stream: StreamId) -> Sequence[StageMessage]:
        taken, self.streams[stream].outputs = self.streams[stream].outputs, []
        return taken

    def close(self, stream: StreamId) -> None:
        self.streams.pop(stream, None)


def said(request: ReplyRequest) -> str:
    """What the last message says: its text, and the length of each sound."""
    content = request.messages[-1].content
    parts = [item.text if isinstance(item, Text) else f"<{len(item.source)}>" for item in content]
    assert all(isinstance(item, Text | Audio) for item in content)
    return " ".join(parts)


def reply_words(request: ReplyRequest) -> list[str]:
    """The text of the fake thinker's reply: it repeats what it heard, at most ``max_tokens`` words of it."""
    return [f"{word} " for word in f"you said {said(request)}".split()][: request.text.max_tokens]


class FakeThinker(FakeEngine):
    """One word, and one group of hidden states, a step. The word ``poison`` breaks the engine."""

    def advance(self, stream: FakeStream) -> bool:
        words = reply_words(stream.request)
        if stream.steps > len(words):
            return False
        if stream.steps < len(words):
            if words[stream.steps].strip() == POISON:
                raise RuntimeError("poisoned")
            stream.outputs.append(TextDelta(words[stream.steps]))
            if stream.request.speak:
                stream.outputs.append(Hiddens(np.full((GROUP, 2), stream.steps, np.float32), final=False))
        else:
            if stream.request.speak:
                stream.outputs.append(Hiddens(np.zeros((0, 2), np.float32), final=True))
            limited = len(words) == stream.request.text.max_tokens
            stream.outputs.append(Finish("length" if limited else "stop", len(stream.request.messages), len(words)))
        stream.steps += 1
        return True


class FakeSpeechDecoder(FakeEngine):
    """Two units per hidden state, numbered after the word they belong to."""

    def advance(self, stream: FakeStream) -> bool:
        if not stream.inputs:
            return False
        message = stream.inputs.pop(0)
        assert isinstance(message, Hiddens), message
        ids = np.repeat(message.values[:, 0].astype(np.int64), 2)
        stream.outputs.append(Units(ids, message.final))
        return True


class FakeToken2Wav(FakeEngine):
    """A level per unit."""

    def advance(self, stream: FakeStream) -> bool:
        if not stream.inputs:
            return False
        message = stream.inputs.pop(0)
        assert isinstance(message, Units), message
        stream.outputs.append(AudioChunk(spoken(message.ids), message.final))
        return True


def spoken(ids: np.ndarray) -> np.ndarray:
    """The samples of the fake token2wav for speech units, float32."""
    return np.repeat((ids.astype(np.float32) + 1) / 64, SAMPLES_PER_UNIT)


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


class Joint:
    """A streaming handle's generator, within one process."""

    def __init__(self, messages: AsyncGenerator[StageMessage, None]) -> None:
        self._messages = messages

    def __aiter__(self) -> AsyncIterator[StageMessage]:
        return self

    async def __anext__(self) -> StageMessage:
        return await anext(self._messages)

    def cancel(self) -> None:
        self._closing = asyncio.get_running_loop().create_task(self._messages.aclose())


class Chain:
    """The three stages in this process, joined as the deployments join them."""

    def __init__(self, capacity: int) -> None:
        engines: dict[StageName, FakeEngine] = {
            "thinker": FakeThinker(capacity),
            "speech_decoder": FakeSpeechDecoder(capacity),
            "token2wav": FakeToken2Wav(capacity),
        }
        self.stages = {name: EngineThread(engine) for name, engine in engines.items()}

    def reply(self, request: ReplyRequest) -> AsyncGenerator[StageMessage, None]:
        """What leaves the last stage that the reply needs."""
        messages = relay(self.stages["thinker"], request, None, None)
        if request.speak:
            for name in ("speech_decoder", "token2wav"):
                messages = relay(self.stages[name], request, Joint(messages), TAKES[name])
        return messages

    def start(self, request: ReplyRequest) -> Joint:
        return Joint(self.reply(request))

    async def missing(self) -> list[str]:
        return []

    async def free(self) -> None:
        """Returns once every slot of every stage is free; its thread frees a slot soon after it is told to."""
        async with asyncio.timeout(SETTLE_SECONDS):
            while any(stage.open_streams for stage in self.stages.values()):
                await asyncio.sleep(0.01)

    def stop(self) -> None:
        for stage in self.stages.values():
            stage.stop()


@contextmanager
def local_chain(capacity: int = 4) -> Iterator[Chain]:
    made = Chain(capacity)
    yield made
    made.stop()
