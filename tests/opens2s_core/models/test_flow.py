import copy
import itertools
import re
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from opens2s_core.config import (
    EstimatorConfig,
    FlowEncoderConfig,
    IstftConfig,
    LengthRegulatorConfig,
    Token2WavConfig,
    VocoderConfig,
    parse_config,
)
from opens2s_core.models.flow import (
    Flow,
    FlowBatch,
    FlowNoise,
    frames_per_unit,
    mel_frames,
    time_steps,
    with_unconditional,
)
from opens2s_core.models.flow_encoder import FlowEncoder, LengthRegulator, block_causal
from opens2s_core.models.flow_estimator import Attention, Downsample, Estimator, GeluProjection, time_sinusoid
from opens2s_core.models.vocoder import samples_per_frame
from tests.opens2s_core.parity import Golden, close, close_relative, rounding

GOLDEN = Golden("token2wav_tiny")
ENCODER = GOLDEN.tolerance("encoder", 1e-4)
REGULATOR = GOLDEN.tolerance("regulator", 1e-4)
ESTIMATOR = GOLDEN.tolerance("estimator", 1e-4)
ODE = GOLDEN.tolerance("ODE", 5e-4)
MEL = GOLDEN.tolerance("mel", 5e-4)
SCHEDULE = 1e-6
"""Of times in [0, 1], for which the golden data names no tolerance."""


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
    close("enc.embedded", embedded, golden["enc.embedded"], ENCODER)
    close("enc.out", flow.encoder(embedded, valid), golden["enc.out"], ENCODER)
    close("enc.proj", flow.encode(units, valid), golden["enc.proj"], ENCODER)


@torch.no_grad()
def test_length_regulator(flow, golden):
    frames = golden["lr.len"]
    stretched = flow.length_regulator(golden["lr.in"], int(frames.max()))
    stretched = stretched * (torch.arange(stretched.shape[2]) < frames[:, None])[:, None]
    close("lr.out", stretched.transpose(1, 2), golden["lr.out"], REGULATOR)


@torch.no_grad()
def test_estimator(flow, golden):
    estimator = flow.decoder.estimator
    sinusoid = time_sinusoid(golden["est.t"], estimator.in_channels)
    close("est.time_sinusoid", sinusoid, golden["est.time_sinusoid"], ESTIMATOR)
    close("est.time_mlp", estimator.time_mlp(sinusoid), golden["est.time_mlp"], ESTIMATOR)
    inputs = [golden[f"est.{name}"] for name in ("x", "mask", "mu", "t", "spks", "cond")]
    close("est.out", estimator(*inputs), golden["est.out"], ESTIMATOR)


@torch.no_grad()
def test_padding_takes_part_in_the_estimator_as_it_did_in_training(flow, golden, meta):
    inputs = [golden[f"est.{name}"] for name in ("x", "mask", "mu", "t", "spks", "cond")]
    expected = golden["est.out_item1_unpadded"]
    frames = expected.shape[2]
    assert golden["est.mask"][1].sum() == frames
    alone = flow.decoder.estimator(*(v[1:, ..., :frames] if v.dim() == 3 else v[1:] for v in inputs))
    close("est.out_item1_unpadded", alone, expected, ESTIMATOR)
    padded = flow.decoder.estimator(*inputs)[1:, :, :frames]
    recorded = meta["scalars"]["est.padded_vs_unpadded_maxdiff_on_valid_frames"]
    assert (padded - alone).abs().max().item() == pytest.approx(recorded, abs=2 * ESTIMATOR)


@torch.no_grad()
def test_sampler(flow, golden):
    decoder, seen = flow.decoder, []

    def remember(_module, inputs, output):
        seen.append((inputs[0][:1], inputs[3][0], *output.chunk(2)))

    hook = decoder.estimator.register_forward_hook(remember)
    steps = len(golden["cfm.t_per_step"])
    mel = decoder(golden["cfm.mu"], golden["cfm.spks"], golden["cfm.cond"], golden["cfm.z"], steps)
    hook.remove()
    assert golden["cfm.mask"].bool().all()
    states, times, given, free = zip(*seen, strict=True)
    close("cfm.t_span", time_steps(steps, mel), golden["cfm.t_span"], SCHEDULE)
    close("cfm.t_per_step", torch.stack(times), golden["cfm.t_per_step"], SCHEDULE)
    close("cfm.x_per_step", torch.cat(states), golden["cfm.x_per_step"], ODE)
    velocities = {"cond": given, "uncond": free}
    recorded = [key for key in golden if key.startswith("cfm.v_")]
    assert recorded
    for key in recorded:
        kind, step = re.fullmatch(r"cfm\.v_(\w+)_step(\d+)", key).groups()
        close(key, velocities[kind][int(step)], golden[key], ODE)
    close("cfm.out", mel, golden["cfm.out"], ODE)


@torch.no_grad()
def test_temperature_scales_the_noise(flow, golden):
    decoder = copy.deepcopy(flow.decoder)
    decoder.params = replace(decoder.params, temperature=0.5)
    given = [golden[f"cfm.{name}"] for name in ("mu", "spks", "cond", "z")]
    torch.testing.assert_close(decoder(*given), flow.decoder(*given[:3], 0.5 * given[3]))


def utterances(golden):
    return [key.split(".")[1] for key in golden if re.fullmatch(r"flow\.\w+\.embedding", key)]


@torch.no_grad()
def test_flow_of_a_whole_utterance(flow, golden, no_prompt):
    assert utterances(golden)
    for case in utterances(golden):
        units, noise = golden["flow.token"], golden[f"flow.{case}.z"]
        close(f"flow.{case}.mu", suggested(flow, units, noise), golden[f"flow.{case}.mu"], REGULATOR)
        mel = flow(units, no_prompt, noise, golden[f"flow.{case}.embedding"])
        close(f"flow.{case}.mel", mel, golden[f"flow.{case}.mel"], MEL)


@torch.no_grad()
def test_flow_after_a_prompt(flow, golden):
    units = torch.cat([golden["flow.prompt.token"], golden["flow.token"]], dim=1)
    noise, prompt = golden["flow.prompt.z"], golden["flow.prompt.feat"].transpose(1, 2)
    close("flow.prompt.mu", suggested(flow, units, noise), golden["flow.prompt.mu"], REGULATOR)
    mel = flow(units, prompt, noise, golden["flow.spk.embedding"])
    close("flow.prompt.mel", mel, golden["flow.prompt.mel"], MEL)


def suggested(flow, units, noise):
    hidden = flow.encode(units, torch.ones_like(units, dtype=torch.bool))
    return flow.length_regulator(hidden, noise.shape[2]).transpose(1, 2)


@torch.no_grad()
def test_negative_units_count_as_zero(flow, golden, no_prompt):
    units = golden["flow.negative_token.token"]
    assert (units < 0).any()
    noise, speaker = golden["flow.zero_spk.z"], golden["flow.zero_spk.embedding"]
    mel = flow(units, no_prompt, noise, speaker)
    close("flow.negative_token.mel", mel, golden["flow.negative_token.mel"], MEL)
    assert torch.equal(mel, flow(units.clamp(min=0), no_prompt, noise, speaker))


def test_training_loss_and_its_gradients(flow, golden, meta):
    batch = FlowBatch(
        units=golden["train.speech_token"],
        unit_lengths=golden["train.speech_token_len"],
        mel=golden["train.speech_feat"].transpose(1, 2),
        mel_lengths=golden["train.speech_feat_len"],
        speaker=golden["train.embedding"],
    )
    noise = FlowNoise(
        prefix=golden["train.cond_prefix_frames"],
        time=golden["train.t_uniform"].flatten(),
        gaussian=golden["train.z"],
        guidance=golden["train.cfg_uniform"],
    )
    flow.zero_grad()
    loss = flow.loss(batch, noise)
    loss.backward()
    close("train.loss", loss.detach(), golden["train.loss"], ESTIMATOR)
    gradients = {name: parameter.grad for name, parameter in flow.named_parameters() if parameter.grad is not None}
    for key, expected in golden.items():
        if key.startswith("train.grad."):
            close(key, gradients[key.removeprefix("train.grad.")], expected, ESTIMATOR)
    norms = meta["train"]["grad_norms"]
    assert gradients.keys() == norms.keys()
    for name, gradient in gradients.items():
        close_relative("train.grad_norms", gradient.norm().item(), norms[name], 1e-3, floor=1e-3)


def test_frames_of_units_are_exact_in_hours_of_speech():
    assert [mel_frames(n, Token2WavConfig()) for n in (0, 1, 5, 10**9 + 7)] == [0, 6, 34, 441 * (10**9 + 7) // 64]


@given(st.integers(0, 10**7), st.sampled_from([(22050, 4), (24000, 5), (16000, 5), (16000, 2)]))
def test_frames_of_units_are_those_that_fit_in_their_time(units, rates):
    vocoder = VocoderConfig(sampling_rate=rates[0], istft_params=IstftConfig(hop_len=rates[1]))
    frames, hop = mel_frames(units, Token2WavConfig(hift=vocoder)), samples_per_frame(vocoder)
    assert frames * hop <= Fraction(2, 25) * units * vocoder.sampling_rate < (frames + 1) * hop


@torch.no_grad()
def test_speaker_vectors_are_normalised_and_zero_gives_the_bias(flow, config):
    speaker = torch.randn(2, config.flow.spk_embed_dim)
    torch.testing.assert_close(flow.embed_speaker(3 * speaker), flow.embed_speaker(speaker))
    assert torch.equal(flow.embed_speaker(torch.zeros_like(speaker))[0], flow.spk_embed_affine_layer.bias)
    assert not torch.allclose(*flow.embed_speaker(speaker))


@given(st.integers(1, 30), st.integers(1, 12), st.integers(1, 30))
def test_a_unit_sees_what_came_before_and_its_own_block(length, block, valid):
    visible = block_causal((torch.arange(length) < valid)[None], block)[0, 0]
    for query, key in itertools.product(range(length), repeat=2):
        assert visible[query, key] == (key < valid and (key <= query or key // block == query // block))


@pytest.mark.parametrize(("block", "blocks"), [(1, 1), (3, 2), (7, 3), (10, 1)])
@torch.no_grad()
def test_the_encoder_does_not_depend_on_later_blocks(block, blocks):
    torch.manual_seed(0)
    width = 12
    encoder = FlowEncoder(
        FlowEncoderConfig(
            input_size=8, output_size=width, attention_heads=3, linear_units=16, num_blocks=blocks, block_size=block
        )
    ).eval()
    x, valid = torch.randn(1, 25, 8), torch.ones(1, 25, dtype=torch.bool)
    whole = encoder(x, valid)
    end = 2 * block
    torch.testing.assert_close(encoder(x[:, :end], valid[:, :end]), whole[:, :end])
    changed = x.clone()
    changed[:, end - 1] += 1
    before = (encoder(changed, valid) - whole).abs().amax(2)[0] > 1e-6
    assert before.tolist() == [False] * (end - block) + [True] * (25 - end + block)


@settings(max_examples=30)
@given(st.integers(1, 12), st.integers(1, 3), st.lists(st.integers(1, 15), min_size=2, max_size=5))
@torch.no_grad()
def test_complete_blocks_are_the_same_however_many_units_follow(block, layers, parts):
    torch.manual_seed(0)
    encoder = FlowEncoder(
        FlowEncoderConfig(
            input_size=8, output_size=12, attention_heads=3, linear_units=16, num_blocks=layers, block_size=block
        )
    ).eval()
    x, valid = torch.randn(2, sum(parts), 8), torch.ones(2, sum(parts), dtype=torch.bool)
    whole = encoder(x, valid)
    for stop in itertools.accumulate(parts):
        complete = stop // block * block
        soon = encoder(x[:, :stop], valid[:, :stop])[:, :complete]
        torch.testing.assert_close(soon, whole[:, :complete], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_window_of_all_frames_equals_the_whole(flow, config, golden):
    units, noise = golden["flow.token"], golden["flow.zero_spk.z"]
    frames, count = noise.shape[2], units.shape[1]
    nearest = functional.interpolate(torch.arange(count)[None, None].float(), size=frames)[0].long()
    prompt, speaker = torch.randn(1, config.flow.output_size, 7), torch.zeros(1, config.flow.spk_embed_dim)
    whole = flow(units, prompt, noise, speaker)
    cond = functional.pad(prompt, (0, frames - 7))
    assert torch.equal(flow.forward_window(units, nearest, cond, noise, speaker)[:, :, 7:], whole)


@torch.no_grad()
def test_windows_of_several_replies_equal_those_alone(flow, config):
    mel, frames = config.flow.output_size, 30
    units = torch.randint(0, config.flow.vocab_size, (3, 5))
    places = torch.stack([torch.arange(frames) * 5 // (frames + i) for i in range(3)])
    cond, noise = torch.randn(2, 3, mel, frames)
    cond[1, :, 10:] = 0
    speaker = torch.zeros(3, config.flow.spk_embed_dim)
    together = flow.forward_window(units, places, cond, noise, speaker)
    for i in range(3):
        alone = flow.forward_window(*(value[i : i + 1] for value in (units, places, cond, noise, speaker)))
        torch.testing.assert_close(together[i : i + 1], alone, atol=rounding(alone, 1e-4), rtol=0)


@given(st.integers(0, 10**7))
def test_frames_are_counted_by_an_exact_rate(units):
    assert frames_per_unit(Token2WavConfig()) == Fraction(441, 64)
    assert mel_frames(units, Token2WavConfig()) == 441 * units // 64


@given(st.integers(1, 20), st.integers(1, 90))
@torch.no_grad()
def test_regulator_repeats_the_nearest_unit_before(units, frames):
    regulator = LengthRegulator(LengthRegulatorConfig(channels=3, sampling_ratios=()))
    regulator.model[0].weight.copy_(torch.eye(3)[:, :, None])
    regulator.model[0].bias.zero_()
    x = torch.randn(2, units, 3)
    # the published weights know positions that are rounded in float32
    expected = x[:, (torch.arange(frames) * (torch.tensor(units) / frames)).long()]
    torch.testing.assert_close(regulator(x, frames).transpose(1, 2), expected)


@pytest.mark.parametrize("layers", [0, 1, 3])
@torch.no_grad()
def test_regulator_smooths_once_for_each_ratio(layers):
    regulator = LengthRegulator(LengthRegulatorConfig(channels=4, sampling_ratios=(1,) * layers))
    x = torch.randn(1, 5, 4)
    y = x.transpose(1, 2).repeat_interleave(3, dim=2)
    for i in range(layers):
        conv, norm = regulator.model[3 * i : 3 * i + 2]
        y = functional.conv1d(y, conv.weight, conv.bias, padding=1)
        y = (y - y.mean()) / (y.var(correction=0) + norm.eps).sqrt()
        y = functional.mish(y * norm.weight[:, None] + norm.bias[:, None])
    y = functional.conv1d(y, regulator.model[-1].weight, regulator.model[-1].bias)
    torch.testing.assert_close(regulator(x, 15), y)


def small_estimator(channels, mel=16):
    config = EstimatorConfig(
        in_channels=4 * mel,
        out_channels=mel,
        channels=channels,
        attention_head_dim=4,
        n_blocks=1,
        num_mid_blocks=1,
        num_heads=3,
    )
    return Estimator(config).eval()


def random_inputs(frames, valid, mel=16):
    mask = (torch.arange(frames) < torch.tensor([frames, valid])[:, None])[:, None].float()
    x, mu, cond = torch.randn(3, 2, mel, frames)
    return x * mask, mask, mu * mask, torch.rand(2), torch.randn(2, mel), cond * mask


@settings(max_examples=30)
@given(st.sampled_from([(16,), (8, 16), (24, 32, 40), (8, 16, 8, 16)]), st.integers(1, 40), st.data())
@torch.no_grad()
def test_levels_halve_any_length_rounding_up_and_restore_it(channels, frames, data):
    estimator, lengths = small_estimator(channels), []
    for module in estimator.modules():
        if isinstance(module, Downsample):
            module.register_forward_hook(lambda _m, inputs, output: lengths.append(output.shape[2]))
    inputs = random_inputs(frames, data.draw(st.integers(1, frames)))
    velocity = estimator(*inputs)
    assert velocity.shape == inputs[0].shape
    assert lengths == [-(-frames // 2**i) for i in range(1, len(channels))]
    assert not velocity[1, :, inputs[1][1, 0] == 0].any()


@pytest.mark.parametrize("channels", [(16,), (8, 16), (24, 32, 40)])
@torch.no_grad()
def test_an_item_without_padding_does_not_depend_on_its_neighbours(channels):
    estimator, inputs = small_estimator(channels), random_inputs(21, 13)
    alone = estimator(*(value[:1] for value in inputs))
    torch.testing.assert_close(estimator(*inputs)[:1], alone, atol=rounding(alone, 1e-4), rtol=0)


@torch.no_grad()
def test_mask_is_added_to_the_attention_scores():
    attention = Attention(8, replace(EstimatorConfig(), num_heads=1, attention_head_dim=8))
    x, mask = torch.randn(1, 5, 8), torch.tensor([1.0, 1, 1, 0, 0])
    q, k, v = attention.to_q(x), attention.to_k(x), attention.to_v(x)
    weights = (q @ k.transpose(1, 2) / 8**0.5 + mask[:, None] * mask).softmax(-1)
    torch.testing.assert_close(attention(x, (mask[:, None] * mask)[None, None]), attention.to_out(weights @ v))
    assert torch.allclose(attention(x, torch.ones(1, 1, 5, 5)), attention(x, torch.zeros(1, 1, 5, 5)), atol=1e-6)


@pytest.mark.parametrize("channels", [(16,), (24, 32, 40)])
@torch.no_grad()
def test_without_a_mask_everything_is_valid(channels):
    x, _, *rest = random_inputs(21, 21)
    estimator = small_estimator(channels)
    torch.testing.assert_close(estimator(x, None, *rest), estimator(x, torch.ones(2, 1, 21), *rest))


@torch.no_grad()
def test_gelu_is_exact():
    projection = GeluProjection(1, 1)
    projection.proj.weight.fill_(1)
    projection.proj.bias.zero_()
    x = torch.linspace(-4, 4, 50)[:, None]
    torch.testing.assert_close(projection(x), x * (1 + torch.erf(x / 2**0.5)) / 2)


@torch.no_grad()
def test_prompt_frames_are_given_to_the_sampler_and_taken_off_its_mel(flow, config, monkeypatch):
    mel, seen = config.flow.output_size, []
    monkeypatch.setattr(flow.decoder, "forward", lambda mu, speaker, cond, noise: seen.append(cond) or noise)
    prompt, noise = torch.randn(1, mel, 7), torch.randn(1, mel, 20)
    new = flow(torch.zeros(1, 3, dtype=torch.long), prompt, noise, torch.zeros(1, config.flow.spk_embed_dim))
    assert torch.equal(new, noise[:, :, 7:])
    assert torch.equal(seen[0], torch.cat([prompt, torch.zeros(1, mel, 13)], dim=2))


@torch.no_grad()
def test_guidance_extrapolates_from_the_unconditional_velocity(flow, golden, monkeypatch):
    monkeypatch.setattr(flow.decoder.estimator, "forward", lambda x, mask, mu, t, speaker, cond: mu + cond)
    mu, cond = golden["cfm.mu"], golden["cfm.cond"]
    given = [with_unconditional(value) for value in (mu, golden["cfm.spks"], cond)]
    velocity = flow.decoder.velocity(golden["cfm.z"], given[0], torch.tensor(0.5), *given[1:])
    rate = flow.config.decoder.cfm_params.inference_cfg_rate
    torch.testing.assert_close(velocity, (1 + rate) * (mu + cond))
