"""Typed messages as bytes: msgpack, arrays as their raw memory. Only types that are named here are ever made."""

import time
from dataclasses import fields, is_dataclass
from typing import Any

import msgpack
import numpy as np

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
from opens2s_core.prompt import Audio, Message, Spoken, Text, ToolCall
from serve_app.stages.messages import Accepted, EndOfStream, Failure, Heartbeat, Probe, StageOutput, StageRequest

_TYPE = "!"  # the key that names the type of a map
_ARRAY = "array"
_DTYPES = ("float32", "int16", "int64")
_TYPES: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        *(StageRequest, Probe, Accepted, StageOutput, Heartbeat, EndOfStream, Failure),
        *(ReplyRequest, Sampling, OutputFormat, Message, Text, Audio, Spoken, ToolCall),
        *(TextDelta, HiddenStates, Units, AudioChunk, Finish),
        *(TextRecord, UnitsRecord, AudioRecord),
    )
}


def encode(message: Any) -> bytes:
    """With the time. ``TypeError`` for what is not one of the messages, or holds something else."""
    return msgpack.packb((time.time(), message), default=_to_plain, unicode_errors="surrogatepass")


def decode(data: bytes) -> tuple[float, Any]:
    """How many seconds ago the message in ``data`` was encoded, by the clocks of both machines, and the message; its
    arrays are read-only. ``ValueError`` for anything that :func:`encode` does not make."""
    try:
        sent, message = msgpack.unpackb(
            data, object_hook=_from_plain, ext_hook=_refuse, use_list=False, unicode_errors="surrogatepass"
        )
        if _TYPES.get(type(message).__name__) is not type(message):
            raise ValueError(f"{type(message).__name__}: expected one of the messages")
        return max(0.0, time.time() - sent), message
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, msgpack.UnpackException) as error:
        raise ValueError(f"a message of {len(data)} bytes cannot be read: {error}") from error


def _to_plain(value: Any) -> dict[str, Any]:
    if isinstance(value, np.ndarray):
        if value.dtype.name not in _DTYPES:
            raise TypeError(f"array of {value.dtype}: expected one of {', '.join(_DTYPES)}")
        return {_TYPE: _ARRAY, "dtype": value.dtype.name, "shape": value.shape, "data": value.tobytes()}
    if is_dataclass(value) and _TYPES.get(type(value).__name__) is type(value):
        return {_TYPE: type(value).__name__, **{field.name: getattr(value, field.name) for field in fields(value)}}
    raise TypeError(f"{type(value).__name__}: expected one of the messages between gateway and stages")


def _from_plain(plain: dict[str, Any]) -> Any:
    name = plain.pop(_TYPE, None)
    if name == _ARRAY:
        if plain["dtype"] not in _DTYPES:
            raise ValueError(f"array of {plain['dtype']!r}: expected one of {', '.join(_DTYPES)}")
        return np.frombuffer(plain["data"], dtype=plain["dtype"]).reshape(plain["shape"])
    if name not in _TYPES:
        raise ValueError(f"a message of type {name!r}")
    return _TYPES[name](**plain)


def _refuse(code: int, data: bytes) -> Any:
    raise ValueError(f"{len(data)} bytes of msgpack's extension type {code}")
