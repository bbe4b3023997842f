import numpy as np
import pytest
import torch

from opens2s_core.audio import resample
from opens2s_core.inference.engine import EngineFull, StreamFailed
from opens2s_core.inference.messages import OutputFormat, ReplyRequest, TextDelta, Units
from opens2s_core.inference.records import UnitsRecord
from opens2s_core.inference.reference_engine import CHUNK, ReferenceToken2WavEngine
from tests.opens2s_core.parity import Golden

GOLDEN = Golden("token2wav_tiny")


@pytest.fixture
def engine(flow_and_vocoder):
    return ReferenceToken2WavEngine(*flow_and_vocoder, capacity=2)


def request(audio=OutputFormat()):  # noqa: B008 frozen
    return ReplyRequest(messages=(), audio=audio)


def units(engine, n):
    return np.random.default_rng(0).integers(0, engine.config.flow.vocab_size, n)


def speak(engine, parts, audio=OutputFormat()):  # noqa: B008 frozen
    stream = engine.open(request(audio))
    chunks = []
    for i, ids in enumerate(parts):
        engine.push(stream, Units(ids, final=i == len(parts) - 1))
        while engine.step():
            pass
        chunks.extend(engine.chunks(stream))
    engine.close(stream)
    assert [chunk.final for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    return [chunk.samples for chunk in chunks]


@pytest.mark.parametrize("n", [1, 23, 25, 47, 55])
def test_it_is_called_for_every_24_units_and_for_those_that_are_left(engine, n):
    spoken, stream = units(engine, n), engine.reference.open()
    expected = [
        engine.reference.call(stream, torch.from_numpy(spoken[None, at : at + CHUNK]), final=at + CHUNK > n).speech[0]
        for at in range(0, n, CHUNK)
    ]
    for parts in ([spoken], np.split(spoken, range(0, n, 7))):
        for samples, call in zip(speak(engine, parts), expected, strict=True):
            np.testing.assert_array_equal(samples, call.numpy())


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_a_reply_that_ends_with_a_call_is_emitted_to_its_end(engine, calls):
    *before, last = speak(engine, [units(engine, CHUNK * calls)])
    assert len(before) == calls
    numbers = engine.reference.streaming
    assert len(last) == numbers.hop * (numbers.mel_overlap + numbers.mel_cache)
    lost = max(0, calls - 2)  # a known fault: every later call is a frame short
    frames = numbers.frames(CHUNK * calls)
    assert abs(sum(map(len, before)) + len(last) - (frames - lost) * numbers.hop) <= 2 * numbers.hop
    assert np.abs(last).max() > 0


def test_what_the_last_call_held_back_is_vocoded_as_it_is(engine):
    stream, seen = engine.reference.open(), []
    engine.reference.call(stream, torch.from_numpy(units(engine, CHUNK)[None]), final=False)
    tails, vocoder = stream.tails, engine.reference.vocoder
    hook = vocoder.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs))
    engine.reference.flush(stream)
    hook.remove()
    ((mel, _, _, source),) = seen
    assert torch.equal(mel, torch.cat([tails.mel, tails.mel_overlap], dim=2))
    assert torch.equal(source, tails.source)
    assert stream.tails is None


def test_a_reply_without_units_has_empty_audio(engine):
    assert [len(samples) for samples in speak(engine, [units(engine, 0)])] == [0]


def test_audio_has_the_requested_format(engine):
    spoken = units(engine, 30)
    expected = resample(np.concatenate(speak(engine, [spoken])), 22050, 16000).clip(-1, 1) * 32768
    samples = np.concatenate(speak(engine, [spoken], OutputFormat(rate=16000, samples="int16")))
    assert samples.dtype == np.int16
    np.testing.assert_allclose(samples, expected, atol=1)


def test_a_chunk_that_is_too_short_for_the_published_code_ends_its_own_reply(flow_and_vocoder):
    engine = ReferenceToken2WavEngine(*flow_and_vocoder, capacity=2, chunk=3)
    long, short = engine.open(request()), engine.open(request())
    engine.push(long, Units(units(engine, 3), final=False))
    engine.push(short, Units(units(engine, 2), final=True))
    while engine.step():
        pass
    with pytest.raises(StreamFailed, match="cannot continue: expected units for at least"):
        engine.chunks(long)
    assert engine.chunks(short)[-1].final


def test_slots_are_taken_and_freed(engine):
    streams = [engine.open(request()) for _ in range(2)]
    with pytest.raises(EngineFull):
        engine.open(request())
    engine.push(streams[0], Units(units(engine, 3), final=True))
    assert engine.step()
    assert not engine.step()
    engine.close(engine.open(request()))
    engine.close(streams[1])
    engine.close(streams[1])
    assert [len(chunk.samples) > 0 for chunk in engine.chunks(streams[0])] == [True]


def test_invalid_inputs_are_refused(engine):
    with pytest.raises(TypeError, match="got UnitsRecord"):
        engine.open(request(), UnitsRecord(ids=(), units=0))
    with pytest.raises(ValueError, match="at least 1 unit, got 0"):
        ReferenceToken2WavEngine(engine.reference.flow, engine.reference.vocoder, capacity=1, chunk=0)
    stream = engine.open(request())
    with pytest.raises(TypeError, match="has no resume records"):
        engine.record(stream)
    with pytest.raises(TypeError, match="got TextDelta"):
        engine.push(stream, TextDelta("hello"))
    with pytest.raises(ValueError, match="got -1"):
        engine.push(stream, Units(np.array([-1]), final=False))


@pytest.mark.parametrize("n", [5, CHUNK, CHUNK + 3])
def test_the_final_chunk_has_the_finish_reason(engine, n):
    stream = engine.open(request())
    engine.push(stream, Units(units(engine, n), final=True, finish="loop"))
    while engine.step():
        pass
    *before, last = engine.chunks(stream)
    assert [chunk.finish for chunk in before] == [None] * len(before)
    assert (last.final, last.finish) == (True, "loop")
