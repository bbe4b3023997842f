import gc
import random
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2s_core.config import (
    EstimatorConfig,
    FlowConfig,
    FlowDecoderConfig,
    FlowEncoderConfig,
    IstftConfig,
    LengthRegulatorConfig,
    Token2WavConfig,
    VocoderConfig,
    parse_config,
)
from opens2s_core.inference.engine import EngineFull
from opens2s_core.inference.messages import ReplyRequest, TextDelta, Units
from opens2s_core.inference.noise import normal_frames
from opens2s_core.inference.token2wav import CHUNKS, LOOK_BACK, Token2WavEngine, next_boundary
from opens2s_core.inference.vocoder_stream import look_ahead, open_vocoder_stream, source_noise, vocode
from opens2s_core.models.flow import Flow, mel_frames
from opens2s_core.models.vocoder import Vocoder, fold_weight_norm, samples_per_frame
from tests.opens2s_core.parity import Golden

GOLDEN = Golden("token2wav_tiny")
WAVE = GOLDEN.tolerance("wav", 1e-3)
VOCABULARY = 32


@pytest.fixture(scope="module")
def vocoder():
    """The golden vocoder: its pitch is voiced in parts, and its sound is loud enough to show a difference."""
    config = parse_config(Token2WavConfig, GOLDEN.values("config")).hift
    vocoder = Vocoder(config).eval()
    vocoder.load_state_dict(fold_weight_norm(GOLDEN.tensors("hift")))
    return vocoder


@pytest.fixture(scope="module")
def engine(vocoder):
    mel = vocoder.config.in_channels
    torch.manual_seed(0)
    flow = Flow(
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
                block_size=7,  # divides neither a chunk nor the look-back
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
    return Token2WavEngine(flow, vocoder, capacity=3)


def request(seed=0):
    return ReplyRequest(messages=(), seed=seed)


def units(n, seed=0):
    return np.random.default_rng(seed).integers(0, VOCABULARY, n)


def drain(engine):
    while engine.step():
        pass


def speak(engine, pieces, seed=0):
    """All samples of a reply whose units come in these pieces; the last is final."""
    stream = engine.open(request(seed))
    chunks = []
    for i, piece in enumerate(pieces):
        engine.push(stream, Units(piece, final=i == len(pieces) - 1))
        drain(engine)
        chunks.extend(engine.chunks(stream))
    engine.close(stream)
    assert [chunk.final for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    return np.concatenate([chunk.samples for chunk in chunks])


@settings(max_examples=10)
@given(st.lists(st.integers(0, 30), max_size=4), st.booleans())
def test_the_way_units_arrive_does_not_change_a_sample(engine, sizes, announced_late):
    spoken = units(sum(sizes))
    pieces = np.split(spoken, np.cumsum(sizes)[:-1]) + [spoken[:0]] * announced_late
    np.testing.assert_array_equal(speak(engine, pieces), speak(engine, [spoken]))


@pytest.mark.parametrize("n", [0, 1, 2, 7, 8, 9, 19, 20, 21, 23, 24, 25, 44, 48, 68, 72, 81])
def test_every_unit_is_heard_in_full(engine, n):
    expected = mel_frames(n, engine.config) * samples_per_frame(engine.config.hift)
    samples = speak(engine, [units(n)])
    assert samples.dtype == np.float32
    assert samples.shape == (expected,)
    assert np.abs(samples).max(initial=0) <= engine.config.hift.audio_limit


def test_streamed_sound_is_the_flow_of_its_chunks_through_the_whole_vocoder(engine):
    spoken, seed = units(50), 5
    block = engine.config.flow.encoder.block_size
    mel = torch.zeros(1, engine.config.flow.output_size, 0)
    for start, stop in [(0, 8), (8, 20), (20, 44), (44, 50)]:
        window = max(0, start - LOOK_BACK) // block * block
        first, last = mel_frames(window, engine.config), mel_frames(stop, engine.config)
        noise = torch.from_numpy(normal_frames((seed, 0), first, last, mel.shape[1])).T[None]
        ids = torch.from_numpy(spoken[window:stop])[None]
        with torch.no_grad():
            new = engine.flow(ids, mel[:, :, first:], noise, torch.zeros(1, engine.config.flow.spk_embed_dim))
        mel = torch.cat([mel, new], dim=2)
    np.testing.assert_allclose(speak(engine, [spoken], seed), one_shot(engine.vocoder, mel, seed), atol=WAVE)


@torch.no_grad()
def one_shot(vocoder, mel, seed):
    stream = open_vocoder_stream(vocoder, seed)
    return vocoder(mel, stream.phase_u, source_noise(vocoder, stream.key, 0, mel.shape[2]))[0].numpy()


@settings(max_examples=25)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=6).filter(sum), st.integers(0, 2**32))
def test_streamed_vocoder_equals_one_shot(vocoder, sizes, seed):
    mel = GOLDEN.tensors()["stream.0.mel"]
    mel = mel.repeat(1, 1, 1 + sum(sizes) // mel.shape[2])[:, :, : sum(sizes)]
    np.testing.assert_allclose(stream_mel(vocoder, mel, sizes, seed), one_shot(vocoder, mel, seed), atol=WAVE)


@settings(max_examples=10)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=6).filter(sum))
def test_streamed_vocoder_of_other_rates_equals_one_shot(other_vocoder, sizes):
    mel = torch.randn(1, other_vocoder.config.in_channels, sum(sizes), generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(stream_mel(other_vocoder, mel, sizes, 0), one_shot(other_vocoder, mel, 0), atol=1e-4)


@pytest.fixture(scope="module")
def other_vocoder():
    torch.manual_seed(0)
    config = VocoderConfig(
        base_channels=16,
        nb_harmonics=3,
        sampling_rate=24000,
        nsf_voiced_threshold=0.02,
        upsample_rates=(5, 3),
        upsample_kernel_sizes=(11, 7),
        istft_params=IstftConfig(n_fft=20, hop_len=5),
        resblock_kernel_sizes=(3, 5),
        resblock_dilation_sizes=((1, 3), (2,)),
        source_resblock_kernel_sizes=(3, 5),
        source_resblock_dilation_sizes=((1,), (1, 2)),
    )
    vocoder = Vocoder(config).eval()
    torch.nn.init.zeros_(vocoder.conv_post.bias)  # loud enough to show a difference
    return vocoder


@torch.no_grad()
def stream_mel(vocoder, mel, sizes, seed):
    stream, pieces = open_vocoder_stream(vocoder, seed), mel.split(sizes, dim=2)
    samples = [vocode(vocoder, stream, piece, final=i == len(pieces) - 1) for i, piece in enumerate(pieces)]
    return torch.cat(samples).numpy()


@torch.no_grad()
def test_vocoder_withholds_no_more_than_its_look_ahead(vocoder):
    stream, mel = open_vocoder_stream(vocoder, 0), torch.zeros(1, vocoder.config.in_channels, 60)
    samples = vocode(vocoder, stream, mel, final=False)
    assert len(samples) == (60 - look_ahead(vocoder)) * samples_per_frame(vocoder.config)


def test_interleaved_replies_are_each_as_if_alone(engine):
    replies = [(units(50, seed=1), 1), (units(33, seed=2), 2)]
    streams = [engine.open(request(seed)) for _, seed in replies]
    heard = [[], []]
    for start in range(0, 56, 7):
        for i, (spoken, _) in enumerate(replies):
            if start < len(spoken):
                engine.push(streams[i], Units(spoken[start : start + 7], final=start + 7 >= len(spoken)))
        engine.step()
        for i, stream in enumerate(streams):
            heard[i].extend(chunk.samples for chunk in engine.chunks(stream))
    drain(engine)
    for (spoken, seed), samples, stream in zip(replies, heard, streams, strict=True):
        samples.extend(chunk.samples for chunk in engine.chunks(stream))
        engine.close(stream)
        np.testing.assert_array_equal(np.concatenate(samples), speak(engine, [spoken], seed))


def test_seed_alone_decides_the_sound(engine):
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


def test_a_model_left_in_training_speaks_without_dropout(engine):
    expected = speak(engine, [units(20)])
    left = Token2WavEngine(engine.flow.train(), engine.vocoder.train(), capacity=1)
    np.testing.assert_array_equal(speak(left, [units(20)]), expected)
    np.testing.assert_array_equal(speak(left, [units(20)]), expected)


@pytest.mark.parametrize("n", [1, 8, 24, 44, 48, 72, 100])
def test_every_frame_of_the_flow_reaches_the_vocoder_once_in_order_and_unscaled(engine, monkeypatch, n):
    frames = mel_frames(n, engine.config)
    mel, made, heard = torch.randn(1, engine.config.flow.output_size, frames), 0, []

    def known(_units, prompt, noise, _speaker):
        nonlocal made
        assert torch.equal(prompt, mel[:, :, made - prompt.shape[2] : made])
        start, made = made, made - prompt.shape[2] + noise.shape[2]
        return mel[:, :, start:made].clone()

    def listen(vocoder, stream, new, *, final):
        heard.append(new)
        return vocode(vocoder, stream, new, final=final)

    monkeypatch.setattr(engine.flow, "forward", known)
    monkeypatch.setattr("opens2s_core.inference.token2wav.vocode", listen)
    samples = speak(engine, [units(n)])
    assert torch.equal(torch.cat(heard, dim=2), mel)
    np.testing.assert_allclose(samples, one_shot(engine.vocoder, mel, 0), atol=WAVE)


def test_harmonics_go_on_over_chunks_without_a_break(engine, monkeypatch):
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
    noise = source_noise(vocoder, opened.key, 0, frames)
    whole, _ = make(torch.full((1, frames), pitch), opened.phase_u, noise, opened.cycles)
    torch.testing.assert_close(torch.cat(sources, dim=2), whole, atol=1e-5, rtol=0)


def test_a_reply_knows_nothing_of_those_before_it(engine):
    first = speak(engine, [units(30)])
    speak(engine, [units(48, seed=1)])
    abandoned = engine.open(request())
    engine.push(abandoned, Units(units(25, seed=2), final=False))
    drain(engine)
    engine.close(abandoned)
    np.testing.assert_array_equal(speak(engine, [units(30)]), first)


def test_cost_of_a_chunk_does_not_grow_with_the_reply(engine):
    windows, vocoded = [], []
    hooks = [
        engine.flow.register_forward_pre_hook(lambda _m, inputs: windows.append(inputs[0].shape[1])),
        engine.vocoder.conv_pre.register_forward_pre_hook(lambda _m, inputs: vocoded.append(inputs[0].shape[2])),
    ]
    speak(engine, [units(400)])
    for hook in hooks:
        hook.remove()
    longest = LOOK_BACK + engine.config.flow.encoder.block_size - 1 + CHUNKS[-1]
    assert windows[:2] == [8, 20]
    assert max(windows) <= longest
    assert max(vocoded) <= mel_frames(CHUNKS[-1], engine.config) + 3 * look_ahead(engine.vocoder)


def test_first_sound_needs_only_the_first_chunk(engine):
    stream = engine.open(request())
    engine.push(stream, Units(units(CHUNKS[0] - 1), final=False))
    assert not engine.step()
    engine.push(stream, Units(units(1), final=False))
    assert engine.step()
    assert [len(chunk.samples) > 0 for chunk in engine.chunks(stream)] == [True]
    assert not engine.step()
    engine.close(stream)


def test_boundaries_are_the_same_for_every_reply():
    boundaries = [0]
    while boundaries[-1] < 100:
        boundaries.append(next_boundary(boundaries[-1]))
    assert boundaries == [0, 8, 20, 44, 68, 92, 116]


def test_full_engine_refuses_until_a_reply_is_closed(engine):
    streams = [engine.open(request()) for _ in range(engine.capacity)]
    with pytest.raises(EngineFull):
        engine.open(request())
    engine.close(streams[0])
    streams.append(engine.open(request()))
    for stream in streams:
        engine.close(stream)


def test_close_frees_what_the_reply_held(engine):
    stream = engine.open(request())
    engine.push(stream, Units(units(30), final=False))
    drain(engine)
    held = weakref.ref(engine._slots[stream].vocoder.mel)
    assert held() is not None
    engine.close(stream)
    engine.close(stream)
    gc.collect()
    assert held() is None
    assert not engine.step()


@pytest.mark.parametrize("outside", [-1, VOCABULARY])
def test_units_outside_the_codebook_are_refused_and_leave_the_reply_whole(engine, outside):
    stream = engine.open(request())
    engine.push(stream, Units(units(8), final=False))
    with pytest.raises(ValueError, match=str(outside)):
        engine.push(stream, Units(np.array([1, outside]), final=True))
    engine.push(stream, Units(units(0), final=True))
    drain(engine)
    heard = np.concatenate([chunk.samples for chunk in engine.chunks(stream)])
    engine.close(stream)
    np.testing.assert_array_equal(heard, speak(engine, [units(8)]))


def test_other_messages_and_negative_seeds_are_refused(engine):
    with pytest.raises(ValueError, match="-1"):
        engine.open(replace(request(), seed=-1))
    stream = engine.open(request())
    with pytest.raises(TypeError, match="TextDelta"):
        engine.push(stream, TextDelta("hello"))
    engine.close(stream)
