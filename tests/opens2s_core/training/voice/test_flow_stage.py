import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from opens2s_core.checkpoint.speech_tokenizer import load_speech_tokenizer
from opens2s_core.checkpoint.token2wav import load_token2wav, read_token2wav_config
from opens2s_core.models.flow import Flow, FlowNoise, mel_frames
from opens2s_core.training.loop import Progress
from opens2s_core.training.voice.corpus import SpeechCorpus
from opens2s_core.training.voice.features import corpus_units, log_mel
from opens2s_core.training.voice.flow_speech import speaker_vector
from opens2s_core.training.voice.flow_stage import FlowStage, FlowStageConfig, flow_losses, principal_components
from opens2s_core.training.voice.task import train_stage
from tests.opens2s_core.training.voice.vowels import MODEL, RATE, write_tokenizer, write_vowels

CONFIG = FlowStageConfig(
    steps=100,
    checkpoint_every=3,
    learning_rate=2e-3,
    warmup_steps=5,
    window_units=(4, 8),
    batch_units=64,
)


class Interrupted(Exception):
    pass


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Two voices, a tokenizer, and a place to keep units."""
    root = tmp_path_factory.mktemp("flow")
    write_vowels(root / "corpus", voices=("flite:slt", "other"))
    write_tokenizer(SpeechCorpus(root / "corpus", "train"), root / "tokenizer")
    return root


def make(data_dir, config=CONFIG, *, held_out=False):
    return FlowStage(
        config,
        MODEL,
        SpeechCorpus(data_dir / "corpus", "train"),
        SpeechCorpus(data_dir / "corpus", "held_out") if held_out else None,
        tokenizer=data_dir / "tokenizer",
        cache=data_dir / "cache",
    )


def test_losses_are_the_published_one_and_the_distance_of_mu(data_dir):
    stage = make(data_dir)
    flow = stage.flow.eval()
    for step in range(3):
        batch = stage.batch(step)
        noise = stage.noise(step, batch)
        matching, mean = flow_losses(flow, batch, noise)
        torch.testing.assert_close(matching, flow.loss(batch, noise))
        mu = flow.length_regulator(flow.encode(batch.units, batch.units >= 0), batch.mel.shape[2])
        torch.testing.assert_close(mean, (mu - batch.mel).abs().mean())


def test_windows_are_units_with_their_mel(data_dir):
    corpus = SpeechCorpus(data_dir / "corpus", "train")
    (units,) = corpus_units(corpus, [0], data_dir / "tokenizer", data_dir / "cache", torch.device("cpu"))
    samples = RATE * 2 // 25  # of a unit
    waveform = np.pad(corpus.waveform(0), (0, len(units) * samples - len(corpus.waveform(0))))
    mel = log_mel(torch.from_numpy(waveform), MODEL.hift)
    assert mel.shape[1] == mel_frames(len(units), MODEL)
    speech = make(data_dir).speech
    for start in range(len(units) - 3):
        batch = speech.batch([0], [start], 4)
        first = start * samples // 256
        assert batch.units.tolist() == [units[start : start + 4].tolist()]
        torch.testing.assert_close(batch.mel[0], mel[:, first : first + mel_frames(4, MODEL)])
        assert not batch.speaker.any()


def test_windows_of_a_step_have_one_length_and_all_units_are_sampled(data_dir):
    stage = make(data_dir)
    sizes, seen = set(), set()
    units = stage.speech.units[0].tolist()
    for step in range(60):
        batch = stage.batch(step)
        size = batch.units.shape[1]
        assert batch.units.numel() == CONFIG.batch_units
        assert batch.unit_lengths.tolist() == [size] * len(batch.units)
        assert (
            batch.mel_lengths.tolist()
            == [mel_frames(size, MODEL)] * len(batch.units)
            == [batch.mel.shape[2]] * len(batch.units)
        )
        sizes.add(size)
        for row in batch.units.tolist():
            seen |= {i for s in range(len(units) - size + 1) if units[s : s + size] == row for i in range(s, s + size)}
    assert sizes == set(CONFIG.window_units)
    assert seen == set(range(len(units)))


def test_noise_is_within_the_configured_range(data_dir):
    stage = make(data_dir, dataclasses.replace(CONFIG, batch_units=800, prefix_rate=0.5, prefix_share=0.6))
    noise = [stage.noise(step, stage.batch(step)) for step in range(20)]
    prefix = torch.cat([one.prefix / one.gaussian.shape[2] for one in noise])
    assert 0.4 < (prefix == 0).float().mean() < 0.6
    assert 0.5 < prefix.max() < 0.6
    time = torch.cat([one.time for one in noise])
    assert ((time >= 0) & (time < 1)).all()
    np.testing.assert_allclose(torch.histc(time, 4, 0, 1) / len(time), 0.25, atol=0.02)


def test_other_voices_have_their_own_vectors(data_dir):
    stage = make(data_dir, dataclasses.replace(CONFIG, other_voices=("other",)))
    batch = stage.speech.batch([0, 1, 2, 3], [0] * 4, 4)
    other = torch.from_numpy(speaker_vector("other", MODEL.flow.spk_embed_dim))
    assert torch.equal(batch.speaker, torch.stack([0 * other, 0 * other, other, other]))
    assert other.norm().item() == pytest.approx(1)
    assert not torch.equal(other, torch.from_numpy(speaker_vector("another", MODEL.flow.spk_embed_dim)))


@pytest.mark.slow
def test_flow_learns_the_mel_of_units(data_dir):
    torch.manual_seed(1)
    config = dataclasses.replace(CONFIG, window_units=(8,))
    stage, before = make(data_dir, config, held_out=True), torch.get_rng_state()
    history = [stage.step(step) for step in range(CONFIG.steps)]
    assert torch.equal(torch.get_rng_state(), before)
    validation = stage.validate(CONFIG.steps)

    def mean(name: str, part: slice) -> float:
        return float(np.mean([metrics[name] for metrics in history[part]]))

    first, last = slice(0, 10), slice(-10, None)
    print(f"flow: matching {mean('loss/matching', first):.2f} → {mean('loss/matching', last):.2f}, ", end="")
    print(f"mu {mean('loss/mean_l1', first):.2f} → {mean('loss/mean_l1', last):.2f}, {validation}")
    assert mean("loss/matching", last) < 0.8 * mean("loss/matching", first)
    assert mean("loss/mean_l1", last) < 0.7 * mean("loss/mean_l1", first)
    assert validation.keys() == {"sample_l1", *(f"matching_{band}" for band in range(4))}
    assert validation == stage.validate(0)


def test_a_flow_that_was_interrupted_ends_the_same(data_dir, tmp_path):
    config = dataclasses.replace(CONFIG, steps=8)

    def interrupt(progress: Progress) -> None:
        if progress.done == 5:
            raise Interrupted

    whole = train_stage(make(data_dir, config), config, tmp_path / "whole")
    with pytest.raises(Interrupted):
        train_stage(make(data_dir, config), config, tmp_path / "parts", on_step=interrupt)
    resumed = train_stage(make(data_dir, config), config, tmp_path / "parts")
    for name in ("flow", "hift"):
        assert (resumed / f"{name}.safetensors").read_bytes() == (whole / f"{name}.safetensors").read_bytes()


def test_the_export_is_a_decoder_that_is_marked_untrained(data_dir, tmp_path):
    stage = make(data_dir)
    stage.export(stage.averaged(), tmp_path)
    flow, _ = load_token2wav(tmp_path)
    assert all(torch.equal(value, stage.flow.state_dict()[name]) for name, value in flow.state_dict().items())
    assert read_token2wav_config(tmp_path) == dataclasses.replace(MODEL, trained=False)


def test_untrained_mel_is_the_mean_of_speech(data_dir):
    stage = make(data_dir)
    batch = stage.batch(0)
    start = stage.speech.mean_mel()
    fresh = Flow(MODEL.flow)
    noise = FlowNoise(
        prefix=torch.zeros(len(batch.units)),
        time=torch.full((len(batch.units),), 0.5),
        gaussian=torch.zeros_like(batch.mel),
        guidance=torch.ones(len(batch.units)),
    )
    assert stage.flow.loss(batch, noise) < 0.5 * fresh.loss(batch, noise)
    assert torch.equal(stage.flow.decoder.estimator.final_proj.bias, start)


def test_untrained_unit_embeddings_are_as_similar_as_their_codes(data_dir):
    codes = load_speech_tokenizer(data_dir / "tokenizer", torch.float32).codebook.weight
    parts = make(data_dir).flow.input_embedding.weight[:, : codes.shape[1]]
    assert parts.std().item() == pytest.approx(1, rel=1e-5)
    ours, theirs = torch.pdist(parts), torch.pdist(codes)
    torch.testing.assert_close(ours / ours.max(), theirs / theirs.max(), atol=1e-4, rtol=0)


@given(size=st.integers(1, 9), seed=st.integers(0, 99))
def test_principal_components_keep_most_of_the_variance(size, seed):
    vectors = torch.randn(20, 6, generator=torch.Generator().manual_seed(seed)) * torch.tensor([9.0, 5, 3, 1, 0.5, 0.1])
    parts = principal_components(vectors, size)
    assert parts.shape == (20, min(size, 6))
    torch.testing.assert_close(parts.mean(0), torch.zeros(parts.shape[1]), atol=1e-5, rtol=0)
    variances = parts.var(0)
    assert (variances.diff() <= 1e-6).all()
    gram = parts.T @ parts
    torch.testing.assert_close(gram, gram.diag().diag(), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window_units": (40, 50)}, "at least 40 units, the longest has 15"),
        ({"voice": "nobody"}, r"\['flite:slt', 'other'\]"),
    ],
)
def test_an_unsuitable_corpus_is_refused(data_dir, changes, message):
    with pytest.raises(ValueError, match=message):
        make(data_dir, dataclasses.replace(CONFIG, **changes))
