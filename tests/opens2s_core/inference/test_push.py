"""Every engine refuses invalid messages before anything changes; other streams continue."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import pytest

from opens2s_core.checkpoint.token2wav import load_token2wav
from opens2s_core.inference.engine import Engine
from opens2s_core.inference.messages import Finish, HiddenStates, ReplyRequest, Sampling, StageMessage, TextDelta, Units
from opens2s_core.inference.reference_engine import ReferenceToken2WavEngine
from opens2s_core.inference.token2wav import Token2WavEngine
from opens2s_core.prompt import Audio, Message, Text
from tests.opens2s_core.inference import test_speech_decoder as decoders
from tests.opens2s_core.inference import test_thinker as thinkers
from tests.opens2s_core.parity import Golden

TOKEN2WAV = Golden("token2wav_tiny")
M, WIDTH = 4, 24
"""Hidden states of a group, and their width, of the random speech decoder."""


@dataclass(frozen=True, slots=True)
class Case:
    engine: Engine
    request: ReplyRequest
    inputs: tuple[StageMessage, ...]


def speech_decoder() -> Case:
    engine = decoders.random_decoder(capacity=2, ends=0)
    values = np.random.default_rng(0).normal(0, 1, (7, WIDTH)).astype(np.float32)
    inputs = (HiddenStates(values[:M], final=False), HiddenStates(values[M:], final=True))
    return Case(engine, ReplyRequest(messages=(), units=Sampling(max_tokens=20, temperature=0.8)), inputs)


def token2wav(make: Callable[..., Engine]) -> Case:
    engine = make(*load_token2wav(TOKEN2WAV.path), capacity=2)
    ids = np.arange(30, dtype=np.int64) % 16
    return Case(engine, ReplyRequest(messages=()), (Units(ids[:24], final=False), Units(ids[24:], final=True)))


def bounded() -> Case:
    return token2wav(Token2WavEngine)


def reference() -> Case:
    return token2wav(ReferenceToken2WavEngine)


def hidden_states(values: Any) -> HiddenStates:
    return HiddenStates(values, final=False)


def ones(*shape: int, value: float = 1.0, dtype: type = np.float32) -> HiddenStates:
    return hidden_states(np.full(shape, value, dtype))


def units(ids: Any) -> Units:
    return Units(ids, final=False)


NO_HIDDEN_STATES = [
    (TextDelta("a"), TypeError, "takes HiddenStates, got TextDelta"),
    (units(np.zeros(1, np.int64)), TypeError, "takes HiddenStates, got Units"),
    (None, TypeError, "takes HiddenStates, got NoneType"),
    (hidden_states([[1.0] * WIDTH]), TypeError, "must be an array, got list"),
    (ones(M, WIDTH + 1), ValueError, rf"shape \({M}, {WIDTH + 1}\): expected float32 of \(m, {WIDTH}\)"),
    (ones(WIDTH), ValueError, rf"shape \({WIDTH},\)"),
    (ones(1, M, WIDTH), ValueError, rf"shape \(1, {M}, {WIDTH}\)"),
    (ones(0, WIDTH), ValueError, rf"shape \(0, {WIDTH}\).*m from 1 to {M}"),
    (ones(M + 1, WIDTH), ValueError, rf"shape \({M + 1}, {WIDTH}\).*m from 1 to {M}"),
    (ones(M, WIDTH, dtype=np.float64), ValueError, "hidden states float64"),
    (ones(M, WIDTH, dtype=object), ValueError, "hidden states object"),
    (ones(M, WIDTH, value=np.nan), ValueError, "with nan: expected finite"),
    (ones(M, WIDTH, value=-np.inf), ValueError, "with -inf: expected finite"),
]
NO_UNITS = [
    (Finish("stop", 1, 1), TypeError, "takes Units, got Finish"),
    (ones(M, WIDTH), TypeError, "takes Units, got HiddenStates"),
    (units([1, 2]), TypeError, "must be an array, got list"),
    (units(np.zeros((1, 2), np.int64)), ValueError, r"int64 of shape \(1, 2\): expected int64 of \(n,\)"),
    (units(np.int64(3)), TypeError, "must be an array, got int64"),
    (units(np.zeros(2, np.float32)), ValueError, "units float32"),
    (units(np.zeros(2, np.int32)), ValueError, "units int32"),
    (units(np.array(["1"])), ValueError, "units <U1"),
    (units(np.array([0, -1])), ValueError, "got -1"),
    (units(np.array([0, 2**40])), ValueError, f"got {2**40}"),
]


def serve(case: Case, inputs: Sequence[StageMessage]) -> list[StageMessage]:
    stream = case.engine.open(case.request)
    for message in inputs:
        case.engine.push(stream, message)
    while case.engine.step():
        pass
    made = list(case.engine.chunks(stream))
    case.engine.close(stream)
    return made


def same(made: Sequence[StageMessage], expected: Sequence[StageMessage]) -> None:
    assert [type(message) for message in made] == [type(message) for message in expected]
    for one, other in zip(made, expected, strict=True):
        for name in ("ids", "samples"):
            if hasattr(one, name):  # samples differ by rounding: a neighbour changes the shapes
                np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=0, atol=1e-5)


def refuse_all(case: Case, refused: Sequence[tuple[Any, type[Exception], str]]) -> None:
    """Before every message of a reply: the reply, its neighbour and later ones are as if nothing had been pushed."""
    engine, expected = case.engine, serve(case, case.inputs)
    mine, neighbour = engine.open(case.request), engine.open(case.request)
    for own in case.inputs:
        for message, error, text in refused:
            with pytest.raises(error, match=text):
                engine.push(mine, message)
        engine.step()
        engine.push(mine, own)
        engine.push(neighbour, own)
    while engine.step():
        pass
    same(engine.chunks(mine), expected)
    same(engine.chunks(neighbour), expected)
    engine.close(mine)
    engine.close(neighbour)
    for message, error, text in refused:
        stream = engine.open(case.request)
        with pytest.raises(error, match=text):
            engine.push(stream, message)
        engine.close(stream)
    same(serve(case, case.inputs), expected)


def test_the_speech_decoder_refuses_what_is_no_group_of_hidden_states() -> None:
    refuse_all(speech_decoder(), NO_HIDDEN_STATES)


@pytest.mark.parametrize("make", [bounded, reference])
def test_token2wav_refuses_what_are_no_units(make: Callable[[], Case]) -> None:
    refuse_all(make(), NO_UNITS)


@pytest.mark.parametrize("make", [speech_decoder, bounded, reference])
def test_messages_after_the_final_one_are_refused(make: Callable[[], Case]) -> None:
    case = make()
    expected = serve(case, case.inputs)
    stream = case.engine.open(case.request)
    for message in case.inputs:
        case.engine.push(stream, message)
    for message in case.inputs:
        with pytest.raises(ValueError, match=f"message for stream {stream} after its final one"):
            case.engine.push(stream, message)
    while case.engine.step():
        pass
    same(case.engine.chunks(stream), expected)
    with pytest.raises(ValueError, match="after its final one"):
        case.engine.push(stream, case.inputs[0])
    case.engine.close(stream)


@pytest.mark.parametrize("make", [speech_decoder, bounded, reference])
def test_a_message_for_an_unknown_stream_changes_nothing(make: Callable[[], Case]) -> None:
    case = make()
    closed = case.engine.open(case.request)
    case.engine.close(closed)
    for stream in (closed, 12345):
        with pytest.raises(KeyError):
            case.engine.push(stream, case.inputs[0])
    assert not case.engine.step()
    same(serve(case, case.inputs), serve(case, case.inputs))


def test_the_thinker_takes_no_message() -> None:
    engine, asked = thinkers.random_thinker(capacity=2), thinkers.ask(Random(1))
    expected = thinkers.alone(engine, asked)
    stream = engine.open(asked.request)
    for message in (TextDelta("a"), ones(M, WIDTH), units(np.zeros(1, np.int64)), None):
        with pytest.raises(TypeError, match=f"takes no input, got {type(message).__name__}"):
            engine.push(stream, message)  # type: ignore[arg-type]
        engine.step()
    engine.close(stream)
    thinkers.same(thinkers.alone(engine, asked), expected)


@pytest.mark.parametrize(
    ("clip", "error", "text"),
    [
        (b"abc", TypeError, "must be an array, got bytes"),
        (None, TypeError, "must be an array, got NoneType"),
        (np.zeros((500, 2), np.float32), ValueError, r"float32 of shape \(500, 2\): expected float32 of \(n,\)"),
        (np.zeros(500), ValueError, "audio clip float64"),
        (np.zeros(500, np.int16), ValueError, "audio clip int16"),
    ],
)
def test_the_thinker_refuses_what_is_no_clip_when_the_stream_is_opened(
    clip: Any, error: type[Exception], text: str
) -> None:
    engine, asked = thinkers.random_thinker(capacity=1), thinkers.ask(Random(1))
    conversation = (Message("user", (Text("I feel"), Audio(clip))),)
    with pytest.raises(error, match=text):
        engine.open(ReplyRequest(messages=conversation))
    assert thinkers.alone(engine, asked).failure is None  # and no slot was taken
