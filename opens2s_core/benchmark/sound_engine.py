"""What token2wav's engine costs: over the length of a reply, beside the published way, and for many at once."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from opens2s_core.benchmark.report import Bound, Row
from opens2s_core.benchmark.timing import alternate, now
from opens2s_core.inference.chunk_grid import ChunkGrid
from opens2s_core.inference.engine import Engine
from opens2s_core.inference.messages import AudioChunk, ReplyRequest, Units
from opens2s_core.inference.reference_engine import ReferenceToken2WavEngine
from opens2s_core.inference.token2wav import Token2WavEngine
from opens2s_core.models.flow import Flow
from opens2s_core.models.vocoder import Vocoder

SLOTS = 8
_PUBLISHED_CHUNK = 24  # units
_REFERENCE_UNITS = 240
_EARLY, _LATE = 10, 60  # seconds of speech
_SPOKEN_SECONDS = 4.0


def sound_rows(flow: Flow, vocoder: Vocoder, repeats: int) -> list[Row]:
    """Each measured so many times."""
    engine = Token2WavEngine(flow, vocoder, capacity=SLOTS)
    first = Row(
        name="units before the first sound", value=_units_before_sound(engine), unit="units", bound=Bound("at most", 8)
    )
    return [first, *_length_rows(engine, repeats), *_streams_rows(engine, repeats)]


def reference_rows(flow: Flow, vocoder: Vocoder, repeats: int) -> list[Row]:
    """Both ways of streaming in chunks of 24 units, each measured so many times."""
    grid = ChunkGrid(first=(), then=_PUBLISHED_CHUNK, look_back=_PUBLISHED_CHUNK)
    engines: dict[str, Engine] = {
        "bounded": Token2WavEngine(flow, vocoder, capacity=1, grid=grid),
        "reference": ReferenceToken2WavEngine(flow, vocoder, capacity=1),
    }
    replies = _replies(flow, 1, _REFERENCE_UNITS)
    runs = {name: partial(_speaking, engine, replies) for name, engine in engines.items()}
    seconds = alternate(runs, repeats, "token2wav, bounded and reference", warm=False)
    size = sum(weight.numel() for weight in flow.parameters()) / 1e6
    where = f"{_REFERENCE_UNITS} units, {size:.0f} M flow"
    return [
        Row(name=f"token2wav, reference mode, {where}", value=seconds["reference"], unit="s"),
        Row(name=f"token2wav, bounded, {where}", value=seconds["bounded"], unit="s"),
        Row(
            name="token2wav, bounded to reference mode",
            value=seconds["reference"] / seconds["bounded"],
            unit="times as fast",
            bound=Bound("at least", 3),
        ),
    ]


def _units_before_sound(engine: Token2WavEngine) -> int:
    stream = engine.open(ReplyRequest(messages=()))
    given = 0
    while not any(isinstance(chunk, AudioChunk) and len(chunk.samples) for chunk in engine.chunks(stream)):
        engine.push(stream, _units(engine.flow, 1, seed=given))
        given += 1
        engine.step()
    engine.close(stream)
    return given


def _length_rows(engine: Token2WavEngine, repeats: int) -> list[Row]:
    """Two replies take turns, chunk by chunk, one of them far ahead."""
    streams = {_EARLY: engine.open(ReplyRequest(messages=())), _LATE: engine.open(ReplyRequest(messages=()))}
    size = engine.grid.then
    for seconds, stream in streams.items():
        known = engine.grid.end(round(seconds * engine.config.flow.input_frame_rate))
        engine.push(stream, _units(engine.flow, known))
    while engine.step():
        pass

    def chunk(seconds: int) -> float:
        engine.push(streams[seconds], _units(engine.flow, size))
        begun = now()
        engine.step()
        return now() - begun

    measured = alternate(
        {str(seconds): partial(chunk, seconds) for seconds in streams}, 3 * repeats, "token2wav, early and late"
    )
    for stream in streams.values():
        engine.close(stream)
    chunk_seconds = size / engine.config.flow.input_frame_rate
    return [
        Row(
            name=f"token2wav, a chunk of {size} units",
            value=measured[str(_EARLY)] / chunk_seconds,
            unit="s/s",
        ),
        Row(
            name=f"token2wav, cost of a frame at {_LATE} s to that at {_EARLY} s of speech",
            value=measured[str(_LATE)] / measured[str(_EARLY)],
            unit="times",
            bound=Bound("at most", 1.05),
        ),
    ]


def _streams_rows(engine: Token2WavEngine, repeats: int) -> list[Row]:
    units = round(_SPOKEN_SECONDS * engine.config.flow.input_frame_rate)
    runs = {str(count): partial(_speaking, engine, _replies(engine.flow, count, units)) for count in (1, 8)}
    seconds = alternate(runs, repeats, "token2wav, streams")
    return [
        Row(
            name=f"token2wav, {count} streams, a second of each",
            value=seconds[str(count)] / _SPOKEN_SECONDS,
            unit="s/s",
        )
        for count in (1, 8)
    ]


def _speaking(engine: Engine, replies: Sequence[Units]) -> float:
    """Seconds in which all replies are made."""
    streams = [engine.open(ReplyRequest(messages=(), seed=seed)) for seed in range(len(replies))]
    for stream, units in zip(streams, replies, strict=True):
        engine.push(stream, units)
    begun = now()
    while engine.step():
        pass
    seconds = now() - begun
    for stream in streams:
        engine.close(stream)
    return seconds


def _replies(flow: Flow, count: int, units: int) -> list[Units]:
    """``count`` whole replies of so many units."""
    return [_units(flow, units, final=True, seed=seed) for seed in range(count)]


def _units(flow: Flow, count: int, *, final: bool = False, seed: int = 0) -> Units:
    return Units(np.random.default_rng(seed).integers(0, flow.config.vocab_size, count), final=final)
