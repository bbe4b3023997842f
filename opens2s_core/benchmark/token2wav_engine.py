"""Speed of token2wav's engine: by length of the reply, compared with the published streaming, and with many streams."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from opens2s_core.benchmark.report import Bound, Measurement
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


def token2wav_rows(flow: Flow, vocoder: Vocoder, repeats: int) -> list[Measurement]:
    """Each measured ``repeats`` times."""
    engine = Token2WavEngine(flow, vocoder, capacity=SLOTS)
    first = Measurement(
        name="token2wav, units needed for the first audio",
        value=_units_before_audio(engine),
        unit="units",
        bound=Bound("at most", 8),
    )
    return [first, *_length_rows(engine, repeats), *_streams_rows(engine, repeats)]


def reference_rows(flow: Flow, vocoder: Vocoder, repeats: int) -> list[Measurement]:
    """Both streaming modes in chunks of 24 units, each measured ``repeats`` times."""
    grid = ChunkGrid(first=(), size=_PUBLISHED_CHUNK, look_back=_PUBLISHED_CHUNK)
    engines: dict[str, Engine] = {
        "bounded": Token2WavEngine(flow, vocoder, capacity=1, grid=grid),
        "reference": ReferenceToken2WavEngine(flow, vocoder, capacity=1),
    }
    replies = _replies(flow, 1, _REFERENCE_UNITS)
    runs = {name: partial(_time_replies, engine, replies) for name, engine in engines.items()}
    seconds = alternate(runs, repeats, "token2wav, bounded and reference", warm=False)
    size = sum(weight.numel() for weight in flow.parameters()) / 1e6
    where = f"{_REFERENCE_UNITS} units, {size:.0f} M flow"
    return [
        Measurement(name=f"token2wav, time in reference mode, {where}", value=seconds["reference"], unit="s"),
        Measurement(name=f"token2wav, time in bounded mode, {where}", value=seconds["bounded"], unit="s"),
        Measurement(
            name="token2wav, ratio of time, reference to bounded mode",
            value=seconds["reference"] / seconds["bounded"],
            unit="times",
            bound=Bound("at least", 3),
        ),
    ]


def _units_before_audio(engine: Token2WavEngine) -> int:
    stream = engine.open(ReplyRequest(messages=()))
    pushed = 0
    while not any(isinstance(chunk, AudioChunk) and len(chunk.samples) for chunk in engine.chunks(stream)):
        engine.push(stream, _units(engine.flow, 1, seed=pushed))
        pushed += 1
        engine.step()
    engine.close(stream)
    return pushed


def _length_rows(engine: Token2WavEngine, repeats: int) -> list[Measurement]:
    """Time per chunk early and late in a reply, alternating between two replies."""
    streams = {_EARLY: engine.open(ReplyRequest(messages=())), _LATE: engine.open(ReplyRequest(messages=()))}
    size = engine.grid.size
    for seconds, stream in streams.items():
        known = engine.grid.end(round(seconds * engine.config.flow.input_frame_rate))
        engine.push(stream, _units(engine.flow, known))
    while engine.step():
        pass

    def chunk(seconds: int) -> float:
        engine.push(streams[seconds], _units(engine.flow, size))
        started = now()
        engine.step()
        return now() - started

    measured = alternate(
        {str(seconds): partial(chunk, seconds) for seconds in streams}, 3 * repeats, "token2wav, early and late"
    )
    for stream in streams.values():
        engine.close(stream)
    chunk_seconds = size / engine.config.flow.input_frame_rate
    return [
        Measurement(
            name=f"token2wav, real-time factor, 1 stream, chunk of {size} units",
            value=measured[str(_EARLY)] / chunk_seconds,
            unit="s/s",
        ),
        Measurement(
            name=f"token2wav, ratio of time per chunk, after {_LATE} s to after {_EARLY} s of speech",
            value=measured[str(_LATE)] / measured[str(_EARLY)],
            unit="times",
            bound=Bound("at most", 1.05),
        ),
    ]


def _streams_rows(engine: Token2WavEngine, repeats: int) -> list[Measurement]:
    units = round(_SPOKEN_SECONDS * engine.config.flow.input_frame_rate)
    runs = {str(count): partial(_time_replies, engine, _replies(engine.flow, count, units)) for count in (1, 8)}
    seconds = alternate(runs, repeats, "token2wav, streams")
    return [
        Measurement(
            name=f"token2wav, real-time factor, {count} concurrent {'stream' if count == 1 else 'streams'}",
            value=seconds[str(count)] / _SPOKEN_SECONDS,
            unit="s/s",
        )
        for count in (1, 8)
    ]


def _time_replies(engine: Engine, replies: Sequence[Units]) -> float:
    """Seconds until all replies are complete."""
    streams = [engine.open(ReplyRequest(messages=(), seed=seed)) for seed in range(len(replies))]
    for stream, units in zip(streams, replies, strict=True):
        engine.push(stream, units)
    started = now()
    while engine.step():
        pass
    seconds = now() - started
    for stream in streams:
        engine.close(stream)
    return seconds


def _replies(flow: Flow, count: int, units: int) -> list[Units]:
    """``count`` whole replies of ``units`` units."""
    return [_units(flow, units, final=True, seed=seed) for seed in range(count)]


def _units(flow: Flow, count: int, *, final: bool = False, seed: int = 0) -> Units:
    return Units(np.random.default_rng(seed).integers(0, flow.config.vocab_size, count), final=final)
