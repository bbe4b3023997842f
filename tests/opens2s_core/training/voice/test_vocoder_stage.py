import dataclasses

import numpy as np
import pytest
import torch

from opens2s_core.checkpoint.token2wav import load_token2wav, read_token2wav_config
from opens2s_core.models.flow import Flow
from opens2s_core.training.loop import Progress
from opens2s_core.training.voice.corpus import SpeechCorpus
from opens2s_core.training.voice.discriminators import DiscriminatorsConfig
from opens2s_core.training.voice.export import export_flow, join_token2wav
from opens2s_core.training.voice.features import log_mel, pitch
from opens2s_core.training.voice.task import train_stage
from opens2s_core.training.voice.vocoder_stage import (
    VocoderStage,
    VocoderStageConfig,
    pitch_losses,
    spectral_losses,
)
from tests.opens2s_core.training.voice.vowels import MODEL, RATE, write_vowels

HOP = 256
CONFIG = VocoderStageConfig(
    steps=150,
    checkpoint_every=3,
    learning_rate=5e-3,
    warmup_steps=5,
    batch=4,
    frames=16,
    context=2,
    stft_sizes=(1024, 256),
    teacher_steps=100,
    discriminators=DiscriminatorsConfig(
        periods=(2, 3), period_channels=(4, 8), resolutions=((256, 64, 256),), resolution_channels=4
    ),
)
JUDGED = dataclasses.replace(CONFIG, adversarial_from=3)


class Interrupted(Exception):
    pass


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    root = tmp_path_factory.mktemp("vocoder")
    write_vowels(root / "corpus", each=1)
    return root


def make(data_dir, config=CONFIG):
    return VocoderStage(config, MODEL, SpeechCorpus(data_dir / "corpus", "train"), cache=data_dir / "cache")


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(before, module):
    return all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_crops_are_parts_of_utterances_with_their_context(data_dir):
    stage, corpus = make(data_dir), SpeechCorpus(data_dir / "corpus", "train")
    wave = torch.from_numpy(corpus.waveform(0))
    mel, hertz = log_mel(wave, MODEL.hift), torch.from_numpy(pitch(corpus.waveform(0), RATE, HOP))
    offsets, starts = set(), set()
    for step in range(40):
        batch = stage._speech.batch(np.random.default_rng(step), torch.device("cpu"))
        for row, offset in enumerate(batch.offset):
            window = next(
                i for i in range(mel.shape[1] - 19) if torch.allclose(mel[:, i : i + 20], batch.mel[row], atol=1e-5)
            )
            start = window + offset
            assert torch.equal(batch.pitch[row], hertz[window : window + 20])
            assert torch.equal(batch.wave[row], wave[start * HOP : (start + 16) * HOP])
            # only the utterance itself has no context
            assert offset == min(start, 2) or start > mel.shape[1] - 18
            offsets.add(offset)
            starts.add(start)
    assert offsets == {0, 2, 4} | (offsets & {1, 3})
    assert {min(starts), max(starts)} == {0, mel.shape[1] - 16}


def test_the_waveform_is_the_crop_without_its_context(data_dir):
    stage = make(data_dir)
    batch = stage._speech.batch(np.random.default_rng(0), torch.device("cpu"))
    seen = []
    decode = stage.vocoder.decode
    stage.vocoder.decode = lambda mel, source: seen.append(decode(mel, source)) or seen[-1]
    wave = stage._generate(0, batch, batch.pitch)
    expected = [row[o * HOP : (o + 16) * HOP] for row, o in zip(seen[0], batch.offset, strict=True)]
    assert torch.equal(wave, torch.stack(expected))


@pytest.mark.parametrize(("step", "share"), [(0, 1.0), (50, 0.5), (100, 0.0), (500, 0.0)])
def test_the_predicted_pitch_replaces_the_true_one(data_dir, step, share):
    stage = make(data_dir, dataclasses.replace(CONFIG, batch=200))
    batch = stage._speech.batch(np.random.default_rng(0), torch.device("cpu"))
    seen = []
    source = stage.vocoder.source
    stage.vocoder.source = lambda f0, *noise: seen.append(f0) or source(f0, *noise)
    stage._generate(step, batch, torch.full_like(batch.pitch, -1.0))
    true = (seen[0] == batch.pitch).all(1)
    assert true.float().mean().item() == pytest.approx(share, abs=0.1)
    assert ((seen[0] == -1).all(1) == ~true).all()


@torch.no_grad()
def resynthesis(stage, seed=0):
    """Mean absolute error of the mel of the whole utterance, spoken as in synthesis."""
    wave = torch.from_numpy(SpeechCorpus.waveform(stage._speech._corpus, 0))
    mel = log_mel(wave, MODEL.hift)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(1, 9, 1, generator=generator), torch.randn(1, 9, mel.shape[1] * HOP, generator=generator)
    return float((log_mel(stage.vocoder(mel[None], *noise)[0], MODEL.hift) - mel).abs().mean())


@pytest.mark.slow
def test_vocoder_learns_a_vowel_and_its_pitch(data_dir):
    torch.manual_seed(1)
    stage, before = make(data_dir), torch.get_rng_state()
    first = resynthesis(stage)
    history = [stage.step(step) for step in range(CONFIG.steps)]
    assert torch.equal(torch.get_rng_state(), before)
    last = resynthesis(stage)
    print(f"vocoder: mel L1 of the utterance {first:.2f} → {last:.2f}; {history[-1]}")
    assert last < 0.4 * first
    assert np.mean([metrics["loss/pitch"] for metrics in history[-10:]]) < 0.1 * history[0]["loss/pitch"]


def test_discriminators_are_trained_from_the_configured_step(data_dir):
    stage = make(data_dir, JUDGED)
    before = state(stage.discriminators)
    early = [stage.step(step) for step in range(3)]
    assert same(before, stage.discriminators)
    assert all("loss/adversarial" not in metrics for metrics in early)
    late = stage.step(3)
    assert not same(before, stage.discriminators)
    assert late.keys() >= {"loss/discriminator", "loss/adversarial", "loss/features"}


def test_adversarial_losses_have_gradients_of_the_vocoder_only(data_dir):
    stage = make(data_dir, JUDGED)
    batch = stage._speech.batch(np.random.default_rng(0), torch.device("cpu"))
    wave = stage._generate(0, batch, batch.pitch)
    adversarial, features = stage._adversarial_losses(stage.discriminators, batch.wave, wave)
    (adversarial + features).backward()
    assert all(p.grad.any() for p in stage.vocoder.ups.parameters())
    assert all(p.grad is None for p in stage.discriminators.parameters())
    assert all(p.grad is None for p in stage.vocoder.f0_predictor.parameters())


def test_every_parameter_belongs_to_one_optimizer(data_dir):
    stage = make(data_dir)
    owned = [id(p) for o in stage.optimizers().values() for group in o.param_groups for p in group["params"]]
    every = [id(p) for module in stage.modules().values() for p in module.parameters()]
    assert sorted(owned) == sorted(every)


def test_a_vocoder_that_was_interrupted_ends_the_same(data_dir, tmp_path):
    config = dataclasses.replace(JUDGED, steps=8)

    def interrupt(progress: Progress) -> None:
        if progress.done == 5:
            raise Interrupted

    whole = train_stage(make(data_dir, config), config, tmp_path / "whole")
    with pytest.raises(Interrupted):
        train_stage(make(data_dir, config), config, tmp_path / "parts", on_step=interrupt)
    resumed = train_stage(make(data_dir, config), config, tmp_path / "parts")
    assert (resumed / "hift.safetensors").read_bytes() == (whole / "hift.safetensors").read_bytes()


def test_bfloat16_learns_nearly_the_same(data_dir):
    full, half = (make(data_dir, dataclasses.replace(JUDGED, bf16=bf16)) for bf16 in (False, True))
    for step in range(5):
        expected, losses = full.step(step), half.step(step)
        assert losses["loss/mel"] == pytest.approx(expected["loss/mel"], rel=0.05)
    assert all(p.dtype == torch.float32 for p in half.vocoder.parameters())


def test_spectral_losses_are_zero_for_the_same_audio_and_measure_decibels_for_a_softer_one():
    wave = torch.randn(2, 16 * HOP) * 0.1
    assert spectral_losses(wave, wave, CONFIG, MODEL.hift) == {"mel": 0, "stft": 0}
    softer = spectral_losses(wave / 2, wave, CONFIG, MODEL.hift)
    np.testing.assert_allclose(softer["mel"], np.log(2), rtol=1e-3)
    np.testing.assert_allclose(softer["stft"], np.log(2) + 0.5, rtol=1e-2)


def test_pitch_losses_are_lowest_for_the_true_pitch_and_voicing():
    target = torch.tensor([[0.0, 200.0]])
    right, wrong = pitch_losses(target, target, MODEL.hift), pitch_losses(target.flip(1), target, MODEL.hift)
    assert right["pitch"] == 0
    assert right["voicing"] < 0.02
    assert wrong["pitch"] == 2
    assert wrong["voicing"] > 10


def test_flow_and_vocoder_of_two_stages_are_joined(data_dir, tmp_path):
    stage, flow = make(data_dir), Flow(MODEL.flow)
    stage.export(stage.averaged(), tmp_path / "vocoder")
    export_flow(flow, MODEL, tmp_path / "flow")
    assert not read_token2wav_config(tmp_path / "vocoder").trained
    assert not read_token2wav_config(tmp_path / "flow").trained
    join_token2wav(tmp_path / "flow", tmp_path / "vocoder", tmp_path / "token2wav", torch.float32)
    assert read_token2wav_config(tmp_path / "token2wav") == dataclasses.replace(MODEL, trained=True)
    joined_flow, joined_vocoder = load_token2wav(tmp_path / "token2wav")
    assert same(state(flow), joined_flow)
    assert same(state(stage.vocoder), joined_vocoder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"frames": 200}, "at least 204 frames, the longest has 86"), ({"voices": ("nobody",)}, "longest has 0")],
)
def test_an_unsuitable_corpus_is_refused(data_dir, changes, message):
    with pytest.raises(ValueError, match=message):
        make(data_dir, dataclasses.replace(CONFIG, **changes))
