from pathlib import Path

import numpy as np
import pytest

from opens2s_core.checkpoint import TOKEN2WAV, read_token2wav_config
from opens2s_core.inference.engine import Engine
from opens2s_core.inference.messages import AudioChunk, Finish, ReplyRequest, Sampling, StageMessage, Units
from opens2s_core.inference.pipeline import Pipeline, reply_text
from opens2s_core.models.flow import mel_frames
from opens2s_core.models.vocoder import samples_per_frame
from opens2s_core.prompt import Message, Text

HELLO = (Message("user", (Text("Hello."),)),)


@pytest.fixture(scope="module")
def pipeline(tiny_bundle: Path) -> Pipeline:
    return Pipeline.load(tiny_bundle)


class CountingEngine:
    """Counts the units that pass into a token2wav engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.units = 0

    def push(self, stream: int, message: StageMessage) -> None:
        assert isinstance(message, Units)
        self.units += len(message.ids)
        self._engine.push(stream, message)

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)


def spoken(max_units: int = 40) -> ReplyRequest:
    return ReplyRequest(messages=HELLO, text=Sampling(max_tokens=9), units=Sampling(max_tokens=max_units))


def test_a_spoken_reply_is_text_and_exactly_the_sound_of_its_units(pipeline: Pipeline, tiny_bundle: Path) -> None:
    thinker, decoder, token2wav = pipeline.engines
    counting = CountingEngine(token2wav)
    messages = list(Pipeline(thinker, decoder, counting).reply(spoken()))  # type: ignore[arg-type]
    audio = [message for message in messages if isinstance(message, AudioChunk)]
    config = read_token2wav_config(tiny_bundle / TOKEN2WAV)
    expected = mel_frames(counting.units, config) * samples_per_frame(config.hift)
    assert counting.units > 0
    assert sum(len(chunk.samples) for chunk in audio) == expected
    assert [chunk.final for chunk in audio] == [False] * (len(audio) - 1) + [True]
    assert reply_text(messages)


def test_a_written_reply_ends_with_its_finish(pipeline: Pipeline) -> None:
    messages = list(pipeline.reply(ReplyRequest(messages=HELLO, speak=False, text=Sampling(max_tokens=9))))
    assert isinstance(messages[-1], Finish)
    assert not any(isinstance(message, AudioChunk) for message in messages)


def test_text_does_not_wait_for_sound(pipeline: Pipeline) -> None:
    kinds = [type(message) for message in pipeline.reply(spoken())]
    assert kinds.index(Finish) < len(kinds) - 1


def test_the_same_request_gives_the_same_reply(pipeline: Pipeline) -> None:
    def sound() -> np.ndarray:
        return np.concatenate([m.samples for m in pipeline.reply(spoken()) if isinstance(m, AudioChunk)])

    np.testing.assert_array_equal(sound(), sound())


def test_an_abandoned_reply_frees_every_slot(pipeline: Pipeline) -> None:
    for _ in range(3):
        reply = pipeline.reply(spoken())
        next(reply)
        reply.close()
    assert list(pipeline.reply(spoken()))
