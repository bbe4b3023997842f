import pytest
import torch

from opens2s_core.config import Token2WavConfig, parse_config
from opens2s_core.models.flow import Flow, FlowBatch, FlowDraws, mel_frames, time_steps
from opens2s_core.models.flow_encoder import LengthRegulator
from opens2s_core.models.flow_estimator import time_sinusoid
from tests.opens2s_core.parity import Golden, close

GOLDEN = Golden("token2wav_tiny")
ONE_PASS = 1e-4
SAMPLED = 5e-4
"""Tolerances of the golden data: one network pass, and ten steps of the sampler."""


@pytest.fixture(scope="module")
def golden():
    return GOLDEN.tensors()


@pytest.fixture(scope="module")
def meta():
    return GOLDEN.values("meta")


@pytest.fixture(scope="module")
def config():
    return parse_config(Token2WavConfig, GOLDEN.values("config"))


@pytest.fixture(scope="module")
def flow(config):
    flow = Flow(config.flow).eval()
    flow.load_state_dict(GOLDEN.tensors("flow"), strict=True)
    return flow


@pytest.fixture
def no_prompt(config):
    return torch.zeros(1, config.flow.output_size, 0)


@torch.no_grad()
def test_encoder(flow, golden):
    units, lengths = golden["enc.token"], golden["enc.token_len"]
    valid = torch.arange(units.shape[1]) < lengths[:, None]
    assert torch.equal(valid[:, None], golden["enc.out_mask"])
    embedded = flow.input_embedding(units.clamp(min=0)) * valid[:, :, None]
    close("enc.embedded", embedded, golden["enc.embedded"], ONE_PASS)
    close("enc.out", flow.encoder(embedded, valid), golden["enc.out"], ONE_PASS)
    close("enc.proj", flow.encode(units, valid), golden["enc.proj"], ONE_PASS)


@torch.no_grad()
def test_length_regulator(flow, golden):
    frames = golden["lr.len"]
    stretched = flow.length_regulator(golden["lr.in"], int(frames.max()))
    stretched = stretched * (torch.arange(stretched.shape[2]) < frames[:, None])[:, None]
    close("lr.out", stretched.transpose(1, 2), golden["lr.out"], ONE_PASS)


def test_frames_of_units(config, golden):
    counts = zip(golden["lr.token_counts"].tolist(), golden["lr.frame_counts"].tolist(), strict=True)
    assert all(mel_frames(units, config) == frames for units, frames in counts)


def test_frames_stay_exact_in_hours_of_speech():
    assert mel_frames(10**9 + 7, Token2WavConfig()) == 441 * (10**9 + 7) // 64


@torch.no_grad()
def test_estimator(flow, golden):
    estimator = flow.decoder.estimator
    sinusoid = time_sinusoid(golden["est.t"], estimator.in_channels)
    close("est.time_sinusoid", sinusoid, golden["est.time_sinusoid"], ONE_PASS)
    close("est.time_mlp", estimator.time_mlp(sinusoid), golden["est.time_mlp"], ONE_PASS)
    inputs = [golden[f"est.{name}"] for name in ("x", "mask", "mu", "t", "spks", "cond")]
    close("est.out", estimator(*inputs), golden["est.out"], ONE_PASS)
    expected = golden["est.out_item1_unpadded"]
    alone = [value[1:, ..., : expected.shape[2]] if value.dim() == 3 else value[1:] for value in inputs]
    close("est.out_item1_unpadded", estimator(*alone), expected, ONE_PASS)


@torch.no_grad()
def test_sampler(flow, golden):
    decoder, seen = flow.decoder, []

    def remember(_module, inputs, output):
        seen.append((inputs[0][:1], inputs[3][0], *output.chunk(2)))

    hook = decoder.estimator.register_forward_hook(remember)
    mel = decoder(golden["cfm.mu"], golden["cfm.spks"], golden["cfm.cond"], golden["cfm.z"])
    hook.remove()
    assert golden["cfm.mask"].bool().all()
    states, times, given, free = zip(*seen, strict=True)
    close("cfm.t_span", time_steps(10, mel), golden["cfm.t_span"], 1e-6)
    close("cfm.t_per_step", torch.stack(times), golden["cfm.t_per_step"], 1e-6)
    close("cfm.x_per_step", torch.cat(states), golden["cfm.x_per_step"], SAMPLED)
    for step in (0, 9):
        close(f"cfm.v_cond_step{step}", given[step], golden[f"cfm.v_cond_step{step}"], SAMPLED)
        close(f"cfm.v_uncond_step{step}", free[step], golden[f"cfm.v_uncond_step{step}"], SAMPLED)
    close("cfm.out", mel, golden["cfm.out"], SAMPLED)


@torch.no_grad()
@pytest.mark.parametrize("case", ["zero_spk", "spk"])
def test_flow_of_a_whole_utterance(flow, golden, no_prompt, case):
    units, noise = golden["flow.token"], golden[f"flow.{case}.z"]
    hidden = flow.encode(units, torch.ones_like(units, dtype=torch.bool))
    mu = flow.length_regulator(hidden, noise.shape[2])
    close(f"flow.{case}.mu", mu.transpose(1, 2), golden[f"flow.{case}.mu"], ONE_PASS)
    mel = flow(units, no_prompt, noise, golden[f"flow.{case}.embedding"])
    close(f"flow.{case}.mel", mel, golden[f"flow.{case}.mel"], SAMPLED)


@torch.no_grad()
def test_flow_after_a_prompt(flow, golden):
    units = torch.cat([golden["flow.prompt.token"], golden["flow.token"]], dim=1)
    noise, prompt = golden["flow.prompt.z"], golden["flow.prompt.feat"].transpose(1, 2)
    hidden = flow.encode(units, torch.ones_like(units, dtype=torch.bool))
    mu = flow.length_regulator(hidden, noise.shape[2])
    close("flow.prompt.mu", mu.transpose(1, 2), golden["flow.prompt.mu"], ONE_PASS)
    mel = flow(units, prompt, noise, golden["flow.spk.embedding"])
    close("flow.prompt.mel", mel, golden["flow.prompt.mel"], SAMPLED)


@torch.no_grad()
def test_negative_units_count_as_zero(flow, golden, no_prompt):
    noise, speaker = golden["flow.zero_spk.z"], golden["flow.zero_spk.embedding"]
    mel = flow(golden["flow.negative_token.token"], no_prompt, noise, speaker)
    close("flow.negative_token.mel", mel, golden["flow.negative_token.mel"], SAMPLED)


@torch.no_grad()
def test_flow_of_every_recorded_call_of_a_stream(flow, golden, meta, no_prompt):
    units, known, start = golden["stream.token"], no_prompt, 0
    speaker = golden["flow.zero_spk.embedding"]
    for k, chunk in enumerate(meta["stream"]["chunks"]):
        start += chunk["tokens"]
        mel = flow(units[:, :start], known, golden[f"stream.{k}.z"].float(), speaker)
        close(f"stream.{k}.mel_raw", mel, golden[f"stream.{k}.mel_raw"], SAMPLED)
        known = torch.cat([known, golden[f"stream.{k}.mel"]], dim=2)
    first = meta["offline"]["chunks"][0]["tokens"]
    mel = flow(units[:, :first], no_prompt, golden["offline.0.z"].float(), speaker)
    close("offline.0.mel_raw", mel, golden["offline.0.mel_raw"], SAMPLED)


def test_training_loss_and_its_gradients(flow, golden, meta):
    batch = FlowBatch(
        units=golden["train.speech_token"],
        unit_lengths=golden["train.speech_token_len"],
        mel=golden["train.speech_feat"].transpose(1, 2),
        mel_lengths=golden["train.speech_feat_len"],
        speaker=golden["train.embedding"],
    )
    draws = FlowDraws(
        prefix=golden["train.cond_prefix_frames"],
        time=golden["train.t_uniform"].flatten(),
        noise=golden["train.z"],
        guidance=golden["train.cfg_uniform"],
    )
    flow.zero_grad()
    loss = flow.loss(batch, draws)
    loss.backward()
    close("train.loss", loss.detach(), golden["train.loss"], ONE_PASS)
    gradients = {name: parameter.grad for name, parameter in flow.named_parameters() if parameter.grad is not None}
    recorded = {key.removeprefix("train.grad."): value for key, value in golden.items() if "train.grad." in key}
    for name, expected in recorded.items():
        close(f"train.grad.{name}", gradients[name], expected, ONE_PASS)
    norms = meta["train"]["grad_norms"]
    assert gradients.keys() == norms.keys()
    for name, gradient in gradients.items():
        assert gradient.norm().item() == pytest.approx(norms[name], rel=1e-3, abs=1e-6), name


def test_regulator_shape_follows_the_frames_asked_for(config):
    regulator = LengthRegulator(config.flow.length_regulator)
    assert regulator(torch.zeros(2, 3, config.flow.output_size), 17).shape == (2, config.flow.output_size, 17)
