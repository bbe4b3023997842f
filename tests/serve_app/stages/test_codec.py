"""Messages between gateway and stages as bytes: each comes back as it was, and nothing else is ever made."""

import pickle
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from opens2s_core.inference.messages import (
    AudioChunk,
    Finish,
    HiddenStates,
    OutputFormat,
    ReplyRequest,
    Sampling,
    TextDelta,
    Units,
)
from opens2s_core.inference.records import AudioRecord, TextRecord, UnitsRecord
from opens2s_core.prompt import SPEAKER_DIM, Audio, Message, Spoken, Text, ToolCall
from serve_app.stages.codec import decode, encode
from serve_app.stages.messages import Accepted, EndOfStream, Failure, Heartbeat, Probe, StageOutput, StageRequest

counts = st.integers(0, 2**31)
numbers = st.floats(0, 1e6)
texts = st.text(st.characters(), max_size=8)  # surrogates too: JSON of clients may hold them
finishes = st.sampled_from([None, "stop", "length", "loop"])


def floats(shape: Any) -> st.SearchStrategy[Any]:
    return arrays(np.float32, shape, elements=st.floats(-1, 1, width=32))


ids = arrays(np.int64, st.integers(0, 9), elements=st.integers(0, 2**40))
samples = arrays(np.int16, st.integers(0, 9)) | floats(st.integers(0, 9))
contents = (
    st.builds(Text, texts)
    | st.builds(Audio, floats(5))
    | st.builds(Spoken, st.text(min_size=1, max_size=8))
    | st.builds(ToolCall, texts, texts, st.just("{}"))
)
messages = st.builds(Message, st.sampled_from(["user", "assistant"]), st.lists(contents, max_size=2).map(tuple))
samplings = st.builds(
    Sampling,
    temperature=numbers,
    top_k=st.none() | st.integers(1, 99),
    logit_bias=st.dictionaries(counts, st.floats(-9, 9), max_size=2).map(lambda biases: tuple(biases.items())),
    seed=counts,
)
requests = st.builds(
    ReplyRequest,
    messages=st.lists(messages, max_size=2).map(tuple),
    speak=st.booleans(),
    reply_text=st.none() | st.text(min_size=1, max_size=9),
    tools=st.lists(texts, max_size=2).map(tuple),
    text=samplings,
    units=samplings,
    stop=st.lists(st.text(min_size=1, max_size=3), max_size=2).map(tuple),
    audio=st.builds(OutputFormat, rate=st.sampled_from([None, 16000]), samples=st.sampled_from(["float32", "int16"])),
    seed=counts,
    speaker=st.none() | floats(SPEAKER_DIM),
)
records = (
    st.builds(TextRecord, st.lists(counts, max_size=4).map(tuple), counts, counts)
    | st.builds(UnitsRecord, st.lists(counts, max_size=4).map(tuple), counts)
    | st.builds(
        AudioRecord,
        **dict.fromkeys(("received", "rendered", "source_frames", "emitted", "resampled"), counts),
        phase=st.floats(0, 1),
        units=ids,
        mel=floats(array_shapes(min_dims=2, max_dims=2, max_side=4)),
        source=floats(3),
        tail=floats(0),
    )
)
stage_messages = (
    st.builds(TextDelta, texts)
    | st.builds(HiddenStates, floats(array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=4)), st.booleans())
    | st.builds(Units, ids, st.booleans(), finishes)
    | st.builds(AudioChunk, samples, st.booleans(), finishes)
    | st.builds(Finish, st.sampled_from(["stop", "length"]), counts, counts)
)
anything_sent = (
    st.builds(
        StageRequest,
        id=texts,
        request=requests,
        sample_rate=counts,
        units_per_second=numbers,
        record=st.none() | records,
    )
    | st.builds(StageOutput, messages=st.lists(stage_messages, max_size=3).map(tuple), record=records)
    | stage_messages
    | st.sampled_from([Probe(), Accepted(), EndOfStream()])
    | st.builds(Heartbeat, numbers)
    | st.builds(Failure, kind=st.sampled_from(["refused", "busy", "stage_lost"]), message=texts)
)


def plain(value: Any) -> Any:
    """What two values are compared by: arrays, which have no truth of their own, by type, shape and bytes."""
    if isinstance(value, np.ndarray):
        return value.dtype.name, value.shape, value.tobytes()
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    if is_dataclass(value):
        return type(value), {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return value


@given(message=anything_sent)
def test_every_message_comes_back_as_it_was(message: Any) -> None:
    seconds, decoded = decode(encode(message))
    assert plain(decoded) == plain(message)
    assert 0 <= seconds < 60


@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=f"a message of {len(data)} bytes cannot be read"):
        decode(data)


plain_values = st.recursive(
    st.none() | st.integers(-(2**60), 2**64 - 1) | st.floats() | st.text(max_size=9) | st.binary(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["dtype", "shape", "data", "text", "values", "ids", "speaker"]), inner)
        | st.builds(
            lambda kind, fields: {"!": kind, **fields},
            st.sampled_from(
                ["array", "TextDelta", "ReplyRequest", "Sampling", "StageOutput", "OutputFormat", "Audio", "?"]
            ),
            st.dictionaries(
                st.sampled_from(["dtype", "shape", "data", "text", "messages", "speaker", "samples", "source"]), inner
            ),
        )
    ),
    max_leaves=8,
)


@given(value=plain_values)
def test_what_is_not_as_it_is_encoded_is_a_value_error_or_one_of_the_messages(value: Any) -> None:
    try:
        _, decoded = decode(msgpack.packb((0.0, value)))
    except ValueError:
        return
    assert type(decoded).__module__ in {
        "opens2s_core.inference.messages",
        "opens2s_core.inference.records",
        "opens2s_core.prompt",
        "serve_app.stages.messages",
    }


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"!": "array", "dtype": "float32", "shape": [2**63], "data": b""}, "dimension"),
        ({"!": "array", "dtype": "object", "shape": [1], "data": b"12345678"}, "array of 'object'"),
        ({"!": "ReplyRequest", "messages": [], "speaker": "a name"}, "shape"),
        ("a text", "str: expected one of the messages"),
        ({"!": "array", "dtype": "int16", "shape": [0], "data": b""}, "ndarray: expected one of the messages"),
        ({"!": "EngineFull"}, "a message of type 'EngineFull'"),
        ({"text": "no type"}, "a message of type None"),
        ({"!": "TextDelta"}, "text"),
        ({"!": "TextDelta", "text": "a", "colour": "red"}, "colour"),
    ],
)
def test_a_message_that_nobody_encodes_is_refused_with_the_reason(value: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decode(msgpack.packb((0.0, value)))


def test_nothing_is_unpickled() -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return pytest.fail, ("it was unpickled",)

    for data in (pickle.dumps(Trap()), msgpack.packb((0.0, msgpack.ExtType(1, pickle.dumps(Trap()))))):
        with pytest.raises(ValueError, match="cannot be read"):
            decode(data)


@dataclass
class Stranger:
    text: str


@pytest.mark.parametrize("message", [Stranger("a"), object(), TextDelta(Stranger("a")), Units(np.zeros(1), True)])  # type: ignore[arg-type]
def test_what_is_not_one_of_the_messages_is_not_encoded(message: Any) -> None:
    with pytest.raises(TypeError, match="expected one of"):
        encode(message)


def test_arrays_that_were_received_are_not_written_to() -> None:
    _, units = decode(encode(Units(np.arange(3), final=True)))
    with pytest.raises(ValueError, match="read-only"):
        units.ids[0] = 1
