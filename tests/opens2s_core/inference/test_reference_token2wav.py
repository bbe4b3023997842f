import re
from dataclasses import fields, replace

import pytest
import torch

from opens2s_core.config import Token2WavConfig, parse_config
from opens2s_core.inference.reference_token2wav import (
    ReferenceNoise,
    ReferenceStreaming,
    ReferenceToken2Wav,
    cross_fade,
    fade_window,
    seeded_noise,
)
from opens2s_core.models.vocoder import samples_per_frame
from tests.opens2s_core.parity import Golden, close

GOLDEN = Golden("token2wav_tiny")
MEL = GOLDEN.tolerance("mel", 5e-4)
WAVE = GOLDEN.tolerance("wav", 1e-3)


@pytest.fixture(scope="module")
def config():
    return parse_config(Token2WavConfig, GOLDEN.values("config"))


@pytest.fixture(scope="module")
def streaming(config, golden, meta):
    """The published rates where the golden data counts frames by them, otherwise the vocoder's own."""
    counts = list(zip(golden["lr.token_counts"].tolist(), golden["lr.frame_counts"].tolist(), strict=True))
    own = ReferenceStreaming.from_config(config, config.hift.sampling_rate, samples_per_frame(config.hift))
    found = [
        s for s in (ReferenceStreaming.from_config(config), own) if all(s.frames(n) == frames for n, frames in counts)
    ]
    assert found, "frame counts follow neither rule"
    lengths = meta["audio_decoder"]
    return replace(
        found[0],
        mel_overlap=lengths["mel_overlap_len"],
        mel_cache=lengths["mel_cache_len"],
        source_cache=lengths["source_cache_len"],
    )


@pytest.fixture(scope="module")
def reference(flow_and_vocoder, streaming):
    return ReferenceToken2Wav(*flow_and_vocoder, streaming)


def recorded(golden, call):
    z, phase_u, source_noise = (golden[f"{call}.{name}"].float() for name in ("z", "phase_u", "noise"))
    return ReferenceNoise(z=z, phase_u=phase_u, source_noise=source_noise)


def replay(reference, golden, meta, run):
    """Every call of a recorded run from its units and noise alone: (name, bookkeeping, what it made, the stream)."""
    stream = reference.open()
    for k, chunk in enumerate(meta[run]["chunks"]):
        start = chunk["prompt_tokens"]
        if start == 0:
            stream = reference.open()
        units = golden["stream.token"][:, start : start + chunk["tokens"]]
        made = reference.call(stream, units, final=chunk["finalize"], noise=recorded(golden, f"{run}.{k}"))
        yield f"{run}.{k}", chunk, made, stream


@pytest.mark.parametrize("run", ["stream", "offline"])
def test_every_recorded_call_is_reproduced_from_units_and_noise_alone(reference, golden, meta, run):
    for name, _, made, _ in replay(reference, golden, meta, run):
        for quantity, tolerance in (("mel_raw", MEL), ("mel", MEL), ("speech", WAVE)):
            close(f"{name}.{quantity}", getattr(made, quantity), golden[f"{name}.{quantity}"], tolerance)
        for key in golden:
            if match := re.fullmatch(rf"{re.escape(name)}\.source_(first|last)(\d+)", key):
                size = int(match[2])
                part = made.source[:, :, :size] if match[1] == "first" else made.source[:, :, -size:]
                close(key, part, golden[key], WAVE)


@pytest.mark.parametrize("run", ["stream", "offline"])
def test_every_recorded_count_is_met(reference, golden, meta, run):
    samples, returned = 0, 0
    for _, chunk, made, stream in replay(reference, golden, meta, run):
        returned = returned if chunk["prompt_tokens"] else 0
        assert returned == chunk["prompt_frames"]
        assert reference.streaming.frames(stream.units.shape[1]) == chunk["total_frames_flow"]
        assert made.mel_raw.shape[2] == chunk["mel_raw_frames"]
        assert made.mel.shape[2] == chunk["mel_returned_frames"] == chunk["hift_input_frames"]
        assert made.speech.shape[1] == chunk["speech_samples"]
        tails = stream.tails and {f.name: list(getattr(stream.tails, f.name).shape) for f in fields(stream.tails)}
        assert tails == chunk["state_after"]
        samples, returned = samples + made.speech.shape[1], returned + made.mel.shape[2]
    if run == "stream":
        whole = reference.streaming.frames(stream.units.shape[1]) * samples_per_frame(reference.config.hift)
        assert samples == meta["stream"]["total_samples"]
        assert whole == meta["stream"]["samples_if_decoded_whole"]


def test_overlap_is_so_many_units_long(streaming, meta):
    lengths = meta["audio_decoder"]
    # at rates other than the published ones, the overlap may have been rounded in another precision than frame counts
    assert abs(streaming.frames(lengths["token_overlap_len"]) - lengths["mel_overlap_len"]) <= 1


def test_published_rates_give_the_published_overlap():
    numbers = ReferenceStreaming.from_config(Token2WavConfig())
    assert (numbers.mel_overlap, numbers.mel_cache, numbers.source_cache) == (34, 1, 256)


def test_recorded_noise_is_that_of_the_seed(config, golden, meta):
    for run in ("stream", "offline"):
        for k, chunk in enumerate(meta[run]["chunks"]):
            expected = [golden[f"{run}.{k}.{name}"] for name in ("z", "phase_u", "noise")]
            noise = seeded_noise(config, chunk["total_frames_flow"], chunk["hift_input_frames"])
            for drawn, kept in zip((noise.z, noise.phase_u, noise.source_noise), expected, strict=True):
                assert torch.equal(drawn.to(kept.dtype), kept)


def test_noise_defaults_to_that_of_the_seed(reference):
    units = torch.arange(9)[None] % reference.config.flow.vocab_size
    frames = reference.streaming.frames(9)
    given = seeded_noise(reference.config, frames, frames)
    speech = reference.call(reference.open(), units, final=True).speech
    assert torch.equal(speech, reference.call(reference.open(), units, final=True, noise=given).speech)


def test_global_random_state_is_neither_read_nor_written(reference):
    units = torch.arange(9)[None] % reference.config.flow.vocab_size
    torch.manual_seed(1)
    first = reference.call(reference.open(), units, final=True).speech
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert torch.equal(reference.call(reference.open(), units, final=True).speech, first)
    assert torch.equal(torch.get_rng_state(), before)


def test_window_of_the_cross_fade(golden, streaming):
    window = fade_window(streaming.mel_overlap, golden["cfm.z"])
    close("stream.mel_window", window, golden["stream.mel_window"], 1e-12)


def test_cross_fade_is_too_loud_and_only_where_two_calls_overlap():
    faded = cross_fade(torch.ones(1, 2, 50), torch.ones(1, 2, 34))
    assert faded[:, :, :34].min() > 1.058
    assert faded[:, :, :34].max() < 1.080
    assert torch.equal(faded[:, :, 34:], torch.ones(1, 2, 16))
    mel = torch.randn(1, 2, 50)
    assert torch.equal(cross_fade(mel, mel[:, :, :0]), mel)


def test_a_steady_mel_comes_out_louder_wherever_two_calls_meet(reference, golden, meta, monkeypatch):
    monkeypatch.setattr(
        reference.flow,
        "forward",
        lambda _units, prompt, noise, _speaker: torch.ones_like(noise[:, :, prompt.shape[2] :]),
    )
    overlap, cached = reference.streaming.mel_overlap, reference.streaming.mel_cache
    window = fade_window(overlap, golden["cfm.z"])
    faded = (window[:overlap] + window[overlap:]).float()
    for _, chunk, made, _ in replay(reference, golden, meta, "stream"):
        expected = torch.ones_like(made.mel)
        if chunk["prompt_tokens"]:
            fresh = expected[:, :, cached:]
            fresh[:, :, :overlap] = faded[: fresh.shape[2]]
        torch.testing.assert_close(made.mel, expected)


def test_a_frame_is_vocoded_twice(reference, golden, meta):
    known = None
    for _, chunk, made, _ in replay(reference, golden, meta, "stream"):
        cached = reference.streaming.mel_cache
        if chunk["prompt_tokens"]:
            assert torch.equal(made.mel[:, :, :cached], known[:, :, -cached:])
        known = made.mel


def test_units_for_too_few_frames_are_refused_and_leave_the_stream_as_it_was(reference):
    units = torch.arange(30)[None] % reference.config.flow.vocab_size
    stream = reference.open()
    with pytest.raises(ValueError, match="got 1 units"):
        reference.call(stream, units[:, :1], final=False)
    interrupted = reference.call(stream, units, final=False).speech
    assert torch.equal(interrupted, reference.call(reference.open(), units, final=False).speech)
