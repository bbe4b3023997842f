"""All three stages in one process: for use as a library, and as the reference for serving."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from opens2s_core.checkpoint.bundle import opens2s_directory
from opens2s_core.inference.engine import Engine, StreamFailed, StreamId
from opens2s_core.inference.family import OPENS2S, Records, is_final
from opens2s_core.inference.lm_settings import LMSettings
from opens2s_core.inference.loading import EngineSettings, build_engine, build_thinker
from opens2s_core.inference.messages import (
    AudioChunk,
    Finish,
    HiddenStates,
    ReplyRequest,
    StageMessage,
    TextDelta,
    Units,
)
from opens2s_core.storage import SETTINGS, fetch_directory

ReplyId = int


@dataclass(slots=True)
class _Reply:
    streams: list[StreamId]  # one per engine that the reply uses
    unfinished: int  # outputs that have not ended: the text and, for a spoken reply, the audio
    text_ended: bool = False
    hidden_state_messages: int = 0  # pushed to the speech decoder
    unit_messages: int = 0  # emitted by the speech decoder
    output: list[StageMessage] = field(default_factory=list)
    failure: str | None = None

    @property
    def needs_text(self) -> bool:
        """Whether more text is needed: the reply is not spoken, or the speech decoder has no pending hidden states."""
        return not self.text_ended and self.hidden_state_messages <= self.unit_messages


class Pipeline:
    """Thinker → speech decoder → token2wav, for as many concurrent replies as the engines have slots.

    The stages alternate in one thread. Audio has priority; text is generated only when a reply needs it, so that first
    audio does not wait for text that cannot be spoken yet.
    """

    def __init__(self, thinker: Engine, *speech: Engine) -> None:
        """``speech`` is the speech decoder and token2wav, or nothing: then no reply can be spoken."""
        self.engines = (thinker, *speech)
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

    @classmethod
    def load_text(cls, model: str | Path, *, capacity: int = 1, settings: LMSettings | None = None) -> "Pipeline":
        """The thinker alone, of a bundle or an OpenS2S directory, for replies that are not spoken."""
        return cls(build_thinker(opens2s_directory(model), capacity=capacity, settings=settings))

    def open(self, request: ReplyRequest, records: Records | None = None) -> ReplyId:
        """Start a reply, or resume one. Raises as :meth:`Engine.open` does, and ``ValueError`` for a spoken reply of a
        pipeline without the engines of speech."""
        if request.speak and len(self.engines) == 1:
            raise ValueError("a spoken reply was requested: expected speak=False of a pipeline that only has a thinker")
        reply = _Reply([], unfinished=2 if request.speak else 1)
        reply_id = next(self._ids)
        self._replies[reply_id] = reply
        try:
            resumed = OPENS2S.resume(records or {})
            for spec, engine in zip(OPENS2S.stages_for(speak=request.speak), self.engines, strict=False):
                reply.streams.append(engine.open(request, resumed.get(spec.name)))
        except BaseException:
            self.close(reply_id)
            raise
        return reply_id

    def step(self) -> bool:
        """Advance the replies; False if there was nothing to do."""
        thinker, *later = self.engines
        worked = False
        for engine in reversed(later):
            worked |= engine.step()
        if not worked or any(reply.needs_text for reply in self._replies.values()):
            worked |= thinker.step()
        for reply in self._replies.values():
            self._route(reply)
        return worked

    def chunks(self, reply: ReplyId) -> Sequence[StageMessage]:
        """Text deltas, audio chunks and the finish of a reply since the last call. :class:`StreamFailed` if it
        failed."""
        state = self._replies[reply]
        if state.failure is not None:
            raise StreamFailed(state.failure)
        output, state.output = state.output, []
        return output

    def ended(self, reply: ReplyId) -> bool:
        """Whether the reply is complete."""
        return not self._replies[reply].unfinished

    def records(self, reply: ReplyId) -> Records:
        """Resume records of the reply, valid after ``chunks`` and before the next step."""
        state = self._replies[reply]
        assert not state.output, "records are available only after chunks()"
        streams = zip(OPENS2S.names, self.engines, state.streams, strict=False)
        return {name: engine.record(stream) for name, engine, stream in streams}

    def close(self, reply: ReplyId) -> None:
        """Free the slots of a reply in all stages, whether it has ended or not."""
        state = self._replies.pop(reply, None)
        for engine, stream in zip(self.engines, state.streams if state else [], strict=False):
            engine.close(stream)

    def reply(self, request: ReplyRequest, records: Records | None = None) -> Iterator[StageMessage]:
        """Stream the text deltas, audio chunks and the finish of one reply."""
        reply_id = self.open(request, records)
        try:
            while not self.ended(reply_id):
                self.step()
                yield from self.chunks(reply_id)
        finally:
            self.close(reply_id)

    def _route(self, reply: _Reply) -> None:
        """Route each stage's output to the next stage, or to the client."""
        try:
            for i, stream in enumerate(reply.streams):
                for message in self.engines[i].chunks(stream):
                    if isinstance(message, HiddenStates | Units):
                        self.engines[i + 1].push(reply.streams[i + 1], message)
                    else:
                        reply.output.append(message)
                    reply.hidden_state_messages += isinstance(message, HiddenStates)
                    reply.unit_messages += isinstance(message, Units)
                    reply.text_ended |= isinstance(message, Finish)
                    reply.unfinished -= isinstance(message, Finish | AudioChunk) and is_final(message)
        except StreamFailed as error:
            reply.failure = str(error)


def reply_text(messages: Sequence[StageMessage]) -> str:
    return "".join(message.text for message in messages if isinstance(message, TextDelta))
