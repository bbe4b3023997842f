import gc
import pickle
import random
import weakref
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from opens2s_core.audio import resample
from opens2s_core.config import (
    EstimatorConfig,
    F0PredictorConfig,
    FlowConfig,
    FlowDecoderConfig,
    FlowEncoderConfig,
    LengthRegulatorConfig,
    Token2WavConfig,
    VocoderConfig,
)
from opens2s_core.inference.chunk_grid import ChunkGrid
from opens2s_core.inference.engine import EngineFull, StreamFailed
from opens2s_core.inference.messages import OutputFormat, ReplyRequest, TextDelta, Units
from opens2s_core.inference.noise import RngStream, normal_frames
from opens2s_core.inference.records import UnitsRecord
from opens2s_core.inference.token2wav import Token2WavEngine
from opens2s_core.inference.vocoder_stream import look_ahead, open_vocoder_stream, source_noise, vocode
from opens2s_core.models.flow import Flow, mel_frames
from opens2s_core.models.vocoder import Vocoder, decode_context, samples_per_frame
from tests.opens2s_core.parity import Golden, rounding

GOLDEN = Golden("token2wav_tiny")
WAVE = GOLDEN.tolerance("wav", 1e-3)
VOCABULARY = 32


def random_flow(mel, block):
    torch.manual_seed(0)
    return Flow(
        FlowConfig(
            input_size=16,
            output_size=mel,
            vocab_size=VOCABULARY,
            encoder=FlowEncoderConfig(
                input_size=16,
                output_size=16,
                attention_heads=2,
                linear_units=16,
                num_blocks=1,
                dropout_rate=0.5,
                block_size=block,
            ),
            length_regulator=LengthRegulatorConfig(channels=mel, sampling_ratios=(1,)),
            decoder=FlowDecoderConfig(
                estimator=EstimatorConfig(
                    in_channels=4 * mel,
                    out_channels=mel,
                    channels=(16, 16),
                    attention_head_dim=4,
                    n_blocks=1,
                    num_mid_blocks=1,
                    num_heads=2,
                )
            ),
        )
    )


@pytest.fixture(scope="module")
def engine(vocoder):
    """Its encoder's blocks divide neither a chunk nor the look-back."""
    return Token2WavEngine(random_flow(vocoder.config.in_channels, 7), vocoder, capacity=3)


@pytest.fixture
def even(vocoder):
    """Its encoder's blocks are the published ones, so that chunks can be computed together."""
    return Token2WavEngine(random_flow(vocoder.config.in_channels, 10), vocoder, capacity=6, batch=4)


@pytest.fixture(scope="module")
def tiny():
    """A tiny model for speed; its audio is not checked."""
    torch.manual_seed(0)
    vocoder = VocoderConfig(
        in_channels=8,
        base_channels=8,
        nb_harmonics=1,
        resblock_kernel_sizes=(3,),
        resblock_dilation_sizes=((1,),),
        source_resblock_kernel_sizes=(3, 3),
        source_resblock_dilation_sizes=((1,), (1,)),
        f0_predictor=F0PredictorConfig(in_channels=8, cond_channels=4),
    )
    return Token2WavEngine(random_flow(8, 10), Vocoder(vocoder), capacity=4, batch=3)


def request(seed=0, audio=OutputFormat()):  # noqa: B008 frozen
    return ReplyRequest(messages=(), seed=seed, audio=audio)


def units(n, seed=0):
    return np.random.default_rng(seed).integers(0, VOCABULARY, n)


def drain(engine):
    while engine.step():
        pass


def new_samples(engine, *streams):
    """The new samples (n,) of each stream."""
    return [np.concatenate([np.zeros(0), *(chunk.samples for chunk in engine.chunks(stream))]) for stream in streams]


def speak(engine, parts, seed=0, audio=OutputFormat()):  # noqa: B008 frozen
    """All samples of a reply whose units come in these messages; the last is final."""
    stream = engine.open(request(seed, audio))
    chunks = []
    for i, ids in enumerate(parts):
        engine.push(stream, Units(ids, final=i == len(parts) - 1))
        drain(engine)
        chunks.extend(engine.chunks(stream))
    engine.close(stream)
    assert [chunk.final for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    return np.concatenate([chunk.samples for chunk in chunks])


@torch.no_grad()
def oracle(engine, spoken, seed):
    """Chunk by chunk, everything counted from the reply's start; then the whole mel through the vocoder at once."""
    flow, config, grid = engine.flow, engine.config, engine.grid
    size, block = config.flow.output_size, config.flow.encoder.block_size
    hop = samples_per_frame(config.hift)
    units_per_frame = Fraction(config.flow.input_frame_rate) * hop / config.hift.sampling_rate
    ends = [0]
    while ends[-1] < len(spoken):
        ends.append(min(grid.end(ends[-1]), len(spoken)))
    mel, voice = torch.zeros(1, size, 0), flow.embed_speaker(torch.zeros(1, config.flow.spk_embed_dim))
    for start, stop in pairwise(ends):
        first = max(0, start - grid.look_back) // block * block
        end = mel_frames(stop, config)
        begin = max(0, end - mel_frames(grid.look_back + stop - start, config))
        hidden = flow.encode(torch.from_numpy(spoken[None, first:stop]), torch.ones(1, stop - first, dtype=torch.bool))
        places = [max(int(frame * units_per_frame), first) - first for frame in range(begin, end)]
        mu = flow.length_regulator.model(hidden[:, places].transpose(1, 2))
        noise = torch.from_numpy(normal_frames((seed, RngStream.FLOW), 0, end, size)).T[None, :, begin:]
        known = mel[:, :, begin:]
        cond = functional.pad(known, (0, end - begin - known.shape[2]))
        mel = torch.cat([mel, flow.decoder(mu, voice, cond, noise)[:, :, known.shape[2] :]], dim=2)
    return one_shot(engine.vocoder, mel, seed)


@torch.no_grad()
def one_shot(vocoder, mel, seed):
    stream = open_vocoder_stream(vocoder, seed)
    noise = source_noise(vocoder, seed, 0, mel.shape[2])
    return vocoder(mel, stream.phase_u[None], noise[None])[0].numpy()


@settings(max_examples=10)
@given(st.lists(st.integers(0, 30), max_size=4), st.booleans())
@example([8], True)
@example([20, 20], True)
def test_audio_does_not_depend_on_the_size_of_the_messages(engine, sizes, announced_late):
    spoken = units(sum(sizes))
    parts = np.split(spoken, np.cumsum(sizes)[:-1]) + [spoken[:0]] * announced_late
    np.testing.assert_array_equal(speak(engine, parts), speak(engine, [spoken]))


@pytest.mark.parametrize("n", [0, 1, 2, 7, 8, 9, 19, 20, 21, 23, 24, 39, 40, 41, 60, 80, 81])
def test_every_unit_is_rendered_in_full(engine, n):
    expected = mel_frames(n, engine.config) * samples_per_frame(engine.config.hift)
    samples = speak(engine, [units(n)])
    assert samples.dtype == np.float32
    assert samples.shape == (expected,)
    assert np.abs(samples).max(initial=0) <= engine.config.hift.audio_limit


@settings(max_examples=20)
@given(st.integers(0, 100))
def test_every_reply_is_rendered_in_full(tiny, n):
    assert speak(tiny, [units(n)]).shape == (mel_frames(n, tiny.config) * samples_per_frame(tiny.config.hift),)


@settings(max_examples=8)
@given(
    st.integers(1, 130), st.integers(0, 9), st.sampled_from([ChunkGrid(), ChunkGrid(first=(5,), size=9, look_back=3)])
)
def test_streamed_audio_is_the_flow_of_its_chunks_through_the_whole_vocoder(engine, n, seed, grid):
    other = Token2WavEngine(engine.flow, engine.vocoder, capacity=1, grid=grid)
    spoken = units(n, seed)
    np.testing.assert_allclose(speak(other, [spoken], seed), oracle(other, spoken, seed), atol=WAVE)


def test_in_the_first_chunk_frames_belong_to_the_units_that_the_published_model_gives_them(engine):
    """With the published rates the nearest unit, as the model repeats it, is the one in whose time the frame begins."""
    hidden, window = torch.randn(1, 8, engine.config.flow.output_size), engine._windows.window(0, 8)
    placed = engine.flow.length_regulator.forward_indexed(hidden, torch.tensor([engine._windows.units_of(window)]))
    assert torch.equal(placed, engine.flow.length_regulator(hidden, mel_frames(8, engine.config)))


@settings(max_examples=6)
@given(
    st.lists(st.tuples(st.integers(0, 70), st.integers(0, 99)), min_size=2, max_size=5),
    st.randoms(use_true_random=False),
)
def test_concurrent_replies_equal_those_alone(vocoder, replies, choose):
    even = Token2WavEngine(random_flow(vocoder.config.in_channels, 10), vocoder, capacity=5, batch=3)
    streams = [even.open(request(seed)) for _, seed in replies]
    left = [list(units(n, seed)) for n, seed in replies]
    waves, ended = [[] for _ in replies], [False] * len(replies)
    while not all(ended):
        for i in choose.sample(range(len(replies)), len(replies)):
            if not ended[i] and choose.random() < 0.7:
                count = choose.randrange(0, 30)
                ids, left[i] = left[i][:count], left[i][count:]
                ended[i] = not left[i]
                even.push(streams[i], Units(np.array(ids, dtype=np.int64), final=ended[i]))
        even.step()
        for wave, new in zip(waves, new_samples(even, *streams), strict=True):
            wave.append(new)
    drain(even)
    for wave, new, (n, seed) in zip(waves, new_samples(even, *streams), replies, strict=True):
        alone = speak(Token2WavEngine(even.flow, vocoder, capacity=1), [units(n, seed)], seed)
        np.testing.assert_allclose(np.concatenate([*wave, new]), alone, atol=rounding(alone))


def test_chunks_of_equal_shapes_are_one_batch_however_far_the_replies_are(even):
    batches = []
    hook = even.flow.decoder.register_forward_pre_hook(lambda _m, inputs: batches.append(tuple(inputs[0].shape)))
    streams = [even.open(request(seed)) for seed in range(6)]
    for i, stream in enumerate(streams[:5]):
        even.push(stream, Units(units(20 + 20 * (i % 3)), final=False))
        drain(even)
    batches.clear()
    for stream in streams[:5]:  # with 20, 40 or 60 units rendered
        even.push(stream, Units(units(20), final=False))
    even.push(streams[5], Units(units(8), final=False))
    drain(even)
    hook.remove()
    mel = even.config.flow.output_size
    assert sorted(batches) == [(1, mel, 55), (1, mel, 275), (4, mel, 275)]


def test_on_a_cpu_no_reply_waits_for_another_in_the_same_step(tiny):
    engine, batches = Token2WavEngine(tiny.flow, tiny.vocoder, capacity=5), []
    hook = tiny.flow.decoder.register_forward_pre_hook(lambda _m, inputs: batches.append(len(inputs[0])))
    for stream in [engine.open(request(seed)) for seed in range(5)]:
        engine.push(stream, Units(units(8), final=False))
    drain(engine)
    hook.remove()
    assert batches == [1, 1, 1, 1, 1]


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_the_reply_with_the_least_headroom_comes_first(tiny):
    clock = Clock()
    engine = Token2WavEngine(tiny.flow, tiny.vocoder, capacity=3, batch=1, clock=clock)
    rate, hop = tiny.config.hift.sampling_rate, samples_per_frame(tiny.config.hift)
    first = (mel_frames(8, tiny.config) - look_ahead(tiny.vocoder)) * hop / rate  # seconds of a first chunk

    def next_one():
        engine.step()
        (chosen,) = [i for i, wave in enumerate(new_samples(engine, *streams)) if len(wave)]
        return chosen

    streams = [engine.open(request(seed)) for seed in range(3)]
    for i in (2, 0):
        engine.push(streams[i], Units(units(200), final=False))
    assert next_one() == 0  # none has a lead: the oldest
    clock.now = first / 2
    assert next_one() == 2  # it has waited, and has nothing
    assert next_one() == 0  # equal again
    engine.push(streams[1], Units(units(200), final=False))
    assert next_one() == 1  # new: no lead at all
    clock.now = (
        10.0  # playback waits with an empty buffer: those of 1 and 2 ran empty at the same time, that of 0 later
    )
    assert next_one() == 1
    assert next_one() == 2


def test_waiting_for_units_gives_no_priority_before_the_first_chunk(tiny):
    clock = Clock()
    engine = Token2WavEngine(tiny.flow, tiny.vocoder, capacity=2, batch=1, clock=clock)
    early, late = engine.open(request()), engine.open(request())
    engine.push(early, Units(units(7), final=False))
    clock.now = 1.0
    engine.push(late, Units(units(8), final=False))
    clock.now = 2.0
    engine.push(early, Units(units(1), final=False))
    engine.step()
    assert [len(wave) > 0 for wave in new_samples(engine, early, late)] == [False, True]


def test_seed_alone_decides_the_audio(engine):
    first = speak(engine, [units(20)], seed=3)
    np.testing.assert_array_equal(speak(engine, [units(20)], seed=3), first)
    assert not np.array_equal(speak(engine, [units(20)], seed=4), first)


def test_global_random_state_is_neither_read_nor_written(engine):
    def state():
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()

    torch.manual_seed(1)
    first = speak(engine, [units(20)])
    torch.manual_seed(2)
    before = state()
    np.testing.assert_array_equal(speak(engine, [units(20)]), first)
    assert state() == before


def test_a_model_in_training_mode_is_run_without_dropout(engine):
    expected = speak(engine, [units(20)])
    left = Token2WavEngine(engine.flow.train(), engine.vocoder.train(), capacity=1)
    np.testing.assert_array_equal(speak(left, [units(20)]), expected)
    np.testing.assert_array_equal(speak(left, [units(20)]), expected)


@pytest.mark.parametrize("n", [1, 8, 20, 40, 44, 60, 100])
def test_every_frame_of_the_flow_reaches_the_vocoder_once_in_order_and_unscaled(engine, monkeypatch, n):
    frames = mel_frames(n, engine.config)
    mel, made, reached = torch.randn(1, engine.config.flow.output_size, frames), 0, []

    def decided(_units, _unit_of_frame, cond, _noise, _speaker):
        nonlocal made
        known = int((cond != 0).any(dim=1).sum())
        start, stop = made - known, made - known + cond.shape[2]
        assert torch.equal(cond[:, :, :known], mel[:, :, start:made])
        made = stop
        return mel[:, :, start:stop].clone()

    def listen(vocoder, streams, new, *, final):
        reached.extend(new)
        return vocode(vocoder, streams, new, final=final)

    monkeypatch.setattr(engine.flow, "forward_window", decided)
    monkeypatch.setattr("opens2s_core.inference.token2wav.vocode", listen)
    samples = speak(engine, [units(n)])
    assert torch.equal(torch.cat(reached, dim=1)[None], mel)
    np.testing.assert_allclose(samples, one_shot(engine.vocoder, mel, 0), atol=WAVE)


def test_harmonics_continue_over_chunks_without_a_break(engine, monkeypatch):
    vocoder, sources, pitch = engine.vocoder, [], 3 * engine.vocoder.config.nsf_voiced_threshold
    monkeypatch.setattr(vocoder, "f0", lambda mel: torch.full((1, mel.shape[2]), pitch))
    make = vocoder.source

    def remember(*inputs):
        sources.append(make(*inputs)[0])
        return make(*inputs)

    monkeypatch.setattr(vocoder, "source", remember)
    speak(engine, [units(50)])
    assert len(sources) > 2
    frames, opened = mel_frames(50, engine.config), open_vocoder_stream(vocoder, 0)
    noise = source_noise(vocoder, 0, 0, frames)
    whole, _ = make(torch.full((1, frames), pitch), opened.phase_u[None], noise[None], opened.phase[None])
    torch.testing.assert_close(torch.cat(sources, dim=2), whole, atol=1e-5, rtol=0)


def test_a_reply_does_not_depend_on_earlier_ones(engine):
    first = speak(engine, [units(30)])
    speak(engine, [units(48, seed=1)])
    abandoned = engine.open(request())
    engine.push(abandoned, Units(units(25, seed=2), final=False))
    drain(engine)
    engine.close(abandoned)
    np.testing.assert_array_equal(speak(engine, [units(30)]), first)


def test_cost_of_a_chunk_does_not_grow_with_the_reply(even):
    encoded, sampled, vocoded = [], [], []
    hooks = [
        even.flow.encoder.register_forward_pre_hook(lambda _m, inputs: encoded.append(inputs[0].shape[1])),
        even.flow.decoder.register_forward_pre_hook(lambda _m, inputs: sampled.append(inputs[0].shape[2])),
        even.vocoder.conv_pre.register_forward_pre_hook(lambda _m, inputs: vocoded.append(inputs[0].shape[2])),
    ]
    stream = even.open(request())
    for _ in range(50):
        even.push(stream, Units(units(8), final=False))
        drain(even)
        assert len(even._streams[stream].units) < 60
        assert even._streams[stream].mel.shape[1] <= 138
    for hook in hooks:
        hook.remove()
    assert encoded == [8, 20] + [40] * 19
    assert sampled == [55, 137] + [275] * 19
    assert max(vocoded) <= 138 + 2 * decode_context(even.vocoder.config)


def test_first_audio_needs_only_the_first_chunk(engine):
    stream = engine.open(request())
    engine.push(stream, Units(units(7), final=False))
    assert not engine.step()
    engine.push(stream, Units(units(1), final=False))
    assert engine.step()
    assert [len(chunk.samples) > 0 for chunk in engine.chunks(stream)] == [True]
    assert not engine.step()
    engine.close(stream)


FORMATS = [
    OutputFormat(),
    OutputFormat(samples="int16"),
    OutputFormat(rate=48000),
    OutputFormat(rate=16000, samples="int16"),
]


@pytest.mark.parametrize("asked", FORMATS)
def test_audio_has_the_requested_format(engine, asked):
    spoken, own = units(33), engine.config.hift.sampling_rate
    expected = resample(speak(engine, [spoken]), own, asked.rate or own).clip(-1, 1)
    if asked.samples == "int16":
        expected = np.round(expected * 32768).clip(-32768, 32767)
    samples = speak(engine, np.split(spoken, [5, 21]), audio=asked)
    assert samples.dtype == asked.samples
    assert samples.shape == expected.shape
    np.testing.assert_allclose(samples, expected, atol=1 if asked.samples == "int16" else 1e-5)


@pytest.mark.parametrize(
    ("asked", "n"), [(FORMATS[0], 0), (FORMATS[0], 8), (FORMATS[0], 60), *((asked, 45) for asked in FORMATS)]
)
def test_a_reply_can_be_resumed_by_another_engine_at_any_moment(engine, asked, n):
    spoken, seed = units(n), 5
    stream, wave, moments = engine.open(request(seed, asked)), [np.zeros(0)], []

    def leave():
        wave.extend(new_samples(engine, stream))
        record = pickle.dumps(engine.record(stream))
        moments.append((sum(map(len, wave)), record))

    leave()
    for start in range(0, n + 5, 5):
        engine.push(stream, Units(spoken[start : start + 5], final=start + 5 >= n + 5))
        leave()
        while engine.step():
            leave()
    engine.close(stream)
    whole, left = np.concatenate(wave), set()
    for made, kept in moments:
        record = pickle.loads(kept)
        fresh = Token2WavEngine(engine.flow, engine.vocoder, capacity=1)
        resumed = fresh.open(request(seed, asked), record)
        fresh.push(resumed, Units(spoken[record.received :], final=True))
        drain(fresh)
        (rest,) = new_samples(fresh, resumed)
        assert made + len(rest) == len(whole)
        np.testing.assert_allclose(rest, whole[made:], atol=rounding(whole) + (asked.samples == "int16"))
        left.add(len(rest))
    assert {0, len(whole)} <= left


def test_a_record_of_the_published_sizes_is_small():
    """Sizes alone matter: nothing is computed with the weights."""
    config = Token2WavConfig()
    small = EstimatorConfig(channels=(8,), n_blocks=1, num_mid_blocks=1, num_heads=1, attention_head_dim=4)
    flow = replace(config.flow, encoder=FlowEncoderConfig(num_blocks=1, linear_units=8), vocab_size=VOCABULARY)
    vocoder = Vocoder(replace(config.hift, base_channels=8, f0_predictor=F0PredictorConfig(cond_channels=4)))
    engine = Token2WavEngine(Flow(replace(flow, decoder=FlowDecoderConfig(estimator=small))), vocoder, capacity=1)
    stream, sizes = engine.open(request(audio=OutputFormat(rate=16000))), []
    for _ in range(12):
        engine.push(stream, Units(units(8), final=False))
        drain(engine)
        new_samples(engine, stream)
        sizes.append(len(pickle.dumps(engine.record(stream))))
    assert max(sizes) < 90_000


def test_invalid_records_are_refused(engine, tiny):
    stream = engine.open(request())
    engine.push(stream, Units(units(30), final=False))
    drain(engine)
    new_samples(engine, stream)
    record = engine.record(stream)
    engine.close(stream)
    with pytest.raises(TypeError, match="AudioRecord, got UnitsRecord"):
        engine.open(request(), UnitsRecord(ids=(), units=0))
    wrong = {
        "units must be in": {"units": record.units + VOCABULARY},
        "units int64 of shape": {"units": record.units[1:]},
        "units float32 of shape": {"units": record.units.astype(np.float32)},
        "mel float32 of shape": {"mel": record.mel[:, 1:]},
        "mel float64 of shape": {"mel": record.mel.astype(np.float64)},
        "source float32 of shape": {"source": record.source[1:]},
        "tail of samples": {"tail": record.source[:3]},
        "expected each count at most": {"rendered": record.received + 1},
        "each count at most the one": {"emitted": record.source_frames + 1},
    }
    for message, change in wrong.items():
        with pytest.raises(ValueError, match=message):
            engine.open(request(), replace(record, **change))
    with pytest.raises(ValueError, match="expected"):
        tiny.open(request(), record)
    with pytest.raises(ValueError, match="tail of samples"):
        engine.open(request(audio=OutputFormat(rate=16000)), record)
    assert not list(engine._live())


def test_a_record_resumes_after_the_emitted_chunks(tiny):
    stream = tiny.open(request())
    tiny.push(stream, Units(units(8), final=False))
    drain(tiny)
    with pytest.raises(AssertionError):
        tiny.record(stream)
    tiny.close(stream)


@pytest.mark.parametrize(
    ("poisoned", "found_in"), [("mel", "mel of units up to 40"), ("source", "audio of units up to")]
)
def test_a_reply_that_is_not_finite_does_not_affect_others(even, poisoned, found_in):
    """Its neighbours in the batch are as if alone."""
    source = even.open(request(seed=1))
    even.push(source, Units(units(20), final=False))
    drain(even)
    (first_samples,) = new_samples(even, source)
    healthy = even.record(source)
    even.close(source)
    values = getattr(healthy, poisoned).copy()
    values[..., -1] = np.nan
    batches = []
    hook = even.flow.decoder.register_forward_pre_hook(lambda _m, inputs: batches.append(len(inputs[0])))
    records = [healthy, replace(healthy, **{poisoned: values}), healthy]
    streams = [even.open(request(seed=1), record) for record in records]
    for stream in streams:
        even.push(stream, Units(units(45)[20:], final=True))
    drain(even)
    hook.remove()
    assert batches[0] == 3
    with pytest.raises(StreamFailed, match=f"{found_in}.* is not finite"):
        even.chunks(streams[1])
    with pytest.raises(StreamFailed, match="is not finite"):
        even.record(streams[1])
    expected = speak(Token2WavEngine(even.flow, even.vocoder, capacity=1), [units(45)], seed=1)
    for rest in new_samples(even, streams[0], streams[2]):
        np.testing.assert_allclose(np.concatenate([first_samples, rest]), expected, atol=rounding(expected))


def test_full_engine_refuses_until_a_reply_is_closed_or_complete(tiny):
    streams = [tiny.open(request()) for _ in range(tiny.capacity)]
    with pytest.raises(EngineFull):
        tiny.open(request())
    tiny.close(streams[0])
    streams.append(tiny.open(request()))
    tiny.push(streams[-1], Units(units(9), final=True))
    drain(tiny)
    streams.append(tiny.open(request()))
    assert len(new_samples(tiny, streams[-2])[0]) == mel_frames(9, tiny.config) * samples_per_frame(tiny.config.hift)
    for stream in streams:
        tiny.close(stream)


def test_close_frees_the_slot(engine):
    stream = engine.open(request())
    engine.push(stream, Units(units(30), final=False))
    drain(engine)
    held = weakref.ref(engine._streams[stream].vocoder.mel)
    assert held() is not None
    engine.close(stream)
    engine.close(stream)
    gc.collect()
    assert held() is None
    assert not engine.step()


def test_two_thousand_random_events_leak_nothing(tiny):
    def tensors():
        gc.collect()
        return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())

    speak(tiny, [units(30)])
    before, choose, opened, ended, refused = tensors(), random.Random(0), {}, 0, 0
    for event in range(2000):
        kind = choose.choices(["open", "push", "end", "cancel", "take", "step"], [3, 6, 1, 1, 2, 3])[0]
        stream = choose.choice(list(opened)) if opened else None
        if kind == "open":
            try:
                opened[tiny.open(request(seed=event))] = False
            except EngineFull:
                refused += 1
                assert len(list(tiny._live())) == tiny.capacity
        elif kind == "step":
            tiny.step()
        elif stream is None:
            continue
        elif kind in ("push", "end") and not opened[stream]:
            opened[stream] = kind == "end"
            tiny.push(stream, Units(units(choose.randrange(0, 9)), final=opened[stream]))
        elif kind == "cancel":
            tiny.close(stream)
            del opened[stream]
        elif any(chunk.final for chunk in tiny.chunks(stream)):
            ended += 1
            tiny.close(stream)
            del opened[stream]
    assert ended > 50
    assert refused > 50
    for stream in opened:
        tiny.close(stream)
    assert not tiny._streams
    assert not tiny.step()
    assert tensors() <= before


@pytest.mark.parametrize("outside", [-1, VOCABULARY])
def test_units_outside_the_codebook_are_refused_and_do_not_change_the_reply(engine, outside):
    stream = engine.open(request())
    engine.push(stream, Units(units(8), final=False))
    with pytest.raises(ValueError, match=str(outside)):
        engine.push(stream, Units(np.array([1, outside]), final=True))
    engine.push(stream, Units(units(0), final=True))
    drain(engine)
    (wave,) = new_samples(engine, stream)
    engine.close(stream)
    np.testing.assert_array_equal(wave, speak(engine, [units(8)]))


def test_other_messages_are_refused(engine):
    stream = engine.open(request())
    with pytest.raises(TypeError, match="TextDelta"):
        engine.push(stream, TextDelta("hello"))
    engine.close(stream)


def test_a_batch_size_below_1_is_refused(tiny):
    with pytest.raises(ValueError, match="got 0"):
        Token2WavEngine(tiny.flow, tiny.vocoder, capacity=1, batch=0)


# Why speech ended


@pytest.mark.parametrize("finish", [None, "stop", "length", "loop"])
def test_the_final_chunk_has_the_finish_reason(tiny, finish):
    for count in (0, 9, 45):
        stream = tiny.open(request())
        tiny.push(stream, Units(units(count), final=False))
        drain(tiny)
        chunks = list(tiny.chunks(stream))
        resumed = tiny.open(request(), tiny.record(stream))
        for end in (stream, resumed):
            tiny.push(end, Units(units(0), final=True, finish=finish))
        drain(tiny)
        for rest in (tiny.chunks(stream), tiny.chunks(resumed)):
            assert [chunk.finish for chunk in [*chunks, *rest]] == [None] * (len(chunks) + len(rest) - 1) + [finish]
        tiny.close(stream)
        tiny.close(resumed)
