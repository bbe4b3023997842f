"""All three stages in this process: for use as a library, and as the reference for serving."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from opens2s_core.inference.engine import Engine, StreamFailed, StreamId
from opens2s_core.inference.family import OPENS2S, Records
from opens2s_core.inference.loading import EngineSettings, build_engine
from opens2s_core.inference.messages import AudioChunk, Finish, Hiddens, ReplyRequest, StageMessage, TextDelta, Units
from opens2s_core.storage import SETTINGS, fetch_directory

ReplyId = int


@dataclass(slots=True)
class _Reply:
    streams: list[StreamId]  # one in each engine that takes part
    to_come: int  # final messages: of the text and, where it is spoken, of the audio
    text_ended: bool = False
    groups: int = 0  # of hidden states pushed to the speech decoder
    answers: int = 0  # messages of units made from them
    output: list[StageMessage] = field(default_factory=list)
    failure: str | None = None

    @property
    def needs_text(self) -> bool:
        """Whether the speech decoder has no pending hidden states, or the reply is not spoken."""
        return not self.text_ended and self.groups <= self.answers


class Pipeline:
    """Thinker → speech decoder → token2wav, for as many replies at once as the engines have slots.

    The stages alternate in one thread. Audio comes first, and text is generated only where a reply needs it: so first
    audio does not wait for text that cannot be spoken yet.
    """

    def __init__(self, thinker: Engine, speech_decoder: Engine, token2wav: Engine) -> None:
        self.engines = (thinker, speech_decoder, token2wav)
        self._replies: dict[ReplyId, _Reply] = {}
        self._ids = itertools.count()

    @classmethod
    def load(cls, bundle: str | Path, *, capacity: int = 1, settings: EngineSettings | None = None) -> "Pipeline":
        directory = fetch_directory(bundle, *SETTINGS)  # later calls add files of the same version
        return cls(
            build_engine("thinker", directory, capacity=capacity, settings=settings),
            build_engine("speech_decoder", directory, capacity=capacity, settings=settings),
            build_engine("token2wav", directory, capacity=capacity, settings=settings),
        )

    def open(self, request: ReplyRequest, records: Records | None = None) -> ReplyId:
        """Start a reply, or resume one. Raises as :meth:`Engine.open` does."""
        reply = _Reply([], to_come=2 if request.speak else 1)
        identity = next(self._ids)
        self._replies[identity] = reply
        try:
            known = OPENS2S.resume(records or {})
            for spec, engine in zip(OPENS2S.taking_part(speak=request.speak), self.engines, strict=False):
                reply.streams.append(engine.open(request, known.get(spec.name)))
        except BaseException:
            self.close(identity)
            raise
        return identity

    def step(self) -> bool:
        """Advance the replies; False when there was nothing to do."""
        thinker, *later = self.engines
        worked = False
        for engine in reversed(later):
            worked |= engine.step()
        if not worked or any(reply.needs_text for reply in self._replies.values()):
            worked |= thinker.step()
        for reply in self._replies.values():
            self._carry(reply)
        return worked

    def chunks(self, reply: ReplyId) -> Sequence[StageMessage]:
        """Text deltas, audio chunks and the finish of a reply since the last call. Raises :class:`StreamFailed`."""
        state = self._replies[reply]
        if state.failure is not None:
            raise StreamFailed(state.failure)
        output, state.output = state.output, []
        return output

    def ended(self, reply: ReplyId) -> bool:
        """Whether it is complete."""
        return not self._replies[reply].to_come

    def records(self, reply: ReplyId) -> Records:
        """How to resume after what ``chunks`` has returned; to be taken right after it."""
        state = self._replies[reply]
        assert not state.output, "records need all chunks to be taken first"
        streams = zip(OPENS2S.names, self.engines, state.streams, strict=False)
        return {name: engine.record(stream) for name, engine, stream in streams}

    def close(self, reply: ReplyId) -> None:
        """Free what the reply holds in every stage, ended or not."""
        state = self._replies.pop(reply, None)
        for engine, stream in zip(self.engines, state.streams if state else [], strict=False):
            engine.close(stream)

    def reply(self, request: ReplyRequest, records: Records | None = None) -> Iterator[StageMessage]:
        """Text deltas, audio chunks and the finish of one reply, as they come."""
        identity = self.open(request, records)
        try:
            while not self.ended(identity):
                self.step()
                yield from self.chunks(identity)
        finally:
            self.close(identity)

    def _carry(self, reply: _Reply) -> None:
        """Route each stage's output to the next stage, or to the client."""
        try:
            for i, stream in enumerate(reply.streams):
                for message in self.engines[i].chunks(stream):
                    if isinstance(message, Hiddens | Units):
                        self.engines[i + 1].push(reply.streams[i + 1], message)
                    else:
                        reply.output.append(message)
                    reply.groups += isinstance(message, Hiddens)
                    reply.answers += isinstance(message, Units)
                    reply.text_ended |= isinstance(message, Finish)
                    reply.to_come -= isinstance(message, Finish) or (isinstance(message, AudioChunk) and message.final)
        except StreamFailed as error:
            reply.failure = str(error)


def reply_text(messages: Sequence[StageMessage]) -> str:
    return "".join(message.text for message in messages if isinstance(message, TextDelta))
