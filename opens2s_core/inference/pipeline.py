"""All three stages in this process: a library call, and the oracle for whatever serves them apart."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from opens2s_core.inference.engine import Engine
from opens2s_core.inference.loading import build_engine
from opens2s_core.inference.messages import AudioChunk, Finish, Hiddens, ReplyRequest, StageMessage, TextDelta, Units


class Pipeline:
    """Thinker → speech decoder → token2wav, chained by hand."""

    def __init__(self, thinker: Engine, speech_decoder: Engine, token2wav: Engine) -> None:
        self.engines = (thinker, speech_decoder, token2wav)

    @classmethod
    def load(cls, bundle: str | Path, *, capacity: int = 1) -> "Pipeline":
        return cls(
            build_engine("thinker", bundle, capacity=capacity),
            build_engine("speech_decoder", bundle, capacity=capacity),
            build_engine("token2wav", bundle, capacity=capacity),
        )

    def reply(self, request: ReplyRequest) -> Iterator[StageMessage]:
        """Text deltas, audio chunks and the finish of one reply, as they come."""
        engines = self.engines if request.speak else self.engines[:1]
        with ExitStack() as closing:
            streams = []
            for engine in engines:
                streams.append(engine.open(request))
                closing.callback(engine.close, streams[-1])
            to_come = 2 if request.speak else 1  # the end of the text and, where it is spoken, of the sound
            while to_come:
                for i, (engine, stream) in enumerate(zip(engines, streams, strict=True)):
                    engine.step()
                    for message in engine.chunks(stream):
                        if isinstance(message, Hiddens | Units):
                            engines[i + 1].push(streams[i + 1], message)
                            continue
                        yield message
                        to_come -= isinstance(message, Finish) or (isinstance(message, AudioChunk) and message.final)


def reply_text(messages: list[StageMessage]) -> str:
    return "".join(message.text for message in messages if isinstance(message, TextDelta))
