from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from opens2s_core.audio import SAMPLE_RATE, encode_audio
from opens2s_core.checkpoint.speech_tokenizer import load_speech_tokenizer
from opens2s_core.config import ConfigError, SpeechTokenizerConfig
from opens2s_core.training.loop import Progress
from opens2s_core.training.voice.corpus import CorpusError, SpeechCorpus, Utterance, write_manifest
from opens2s_core.training.voice.task import train_stage
from opens2s_core.training.voice.tokenizer_stage import TokenizerStage, TokenizerStageConfig
from tests.opens2s_core.training.voice.speech_corpus import write_corpus

CODES = 64
MODEL = SpeechTokenizerConfig(
    d_model=64,
    encoder_attention_heads=2,
    encoder_ffn_dim=128,
    num_mel_bins=40,
    quantize_causal_block_size=40,
    quantize_position=1,
    pooling_position=1,
    quantize_vocab_size=CODES,
    quantize_ema_decay=0.9,
)
RUN = TokenizerStageConfig(
    steps=150,
    learning_rate=5e-3,
    warmup_steps=10,
    ema_decay=0.9,
    batch_units=120,
    head_layers=1,
    quantised_from=20,
    validate_every=60,
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "spoken", train=4)


def stage(corpus: Path, config: TokenizerStageConfig = RUN) -> TokenizerStage:
    return TokenizerStage(config, MODEL, SpeechCorpus(corpus, "train"), SpeechCorpus(corpus, "held_out"))


@pytest.fixture(scope="module")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, float]]]:
    """The export of a run, and the metrics of its steps."""
    history: list[dict[str, float]] = []
    directory = tmp_path_factory.mktemp("run")

    def keep(progress: Progress) -> None:
        history.append({**progress.metrics, **progress.validation})

    export = train_stage(stage(corpus), RUN, directory, on_step=keep)
    return export, history


def mean(history: list[dict[str, float]], name: str) -> float:
    return float(np.mean([metrics[name] for metrics in history]))


@pytest.mark.slow
def test_units_learn_the_words_and_the_mel(trained: tuple) -> None:
    _, history = trained
    assert mean(history[-10:], "loss/ctc") < 0.4 * mean(history[10:20], "loss/ctc")
    assert mean(history[-10:], "loss/mel") < 0.6 * mean(history[:10], "loss/mel")
    assert history[-1]["character_error"] < 1
    measured = [step for step, metrics in enumerate(history, 1) if "character_error" in metrics]
    assert measured == [60, 120, 150]


@pytest.mark.slow
def test_most_of_the_codebook_is_used(trained: tuple) -> None:
    _, history = trained
    assert not any("codes_alive" in metrics for metrics in history[: RUN.quantised_from])
    assert mean(history[-10:], "codes_alive") > 0.75 * CODES
    assert mean(history[-10:], "perplexity") > 0.5 * CODES


@pytest.mark.slow
def test_the_export_is_a_speech_tokenizer_that_encodes_differences(trained: tuple, corpus: Path) -> None:
    speech = SpeechCorpus(corpus, "train")
    tokenizer = load_speech_tokenizer(trained[0])
    encoded = tokenizer.encode([speech.waveform(index, SAMPLE_RATE) for index in range(len(speech))])
    assert tokenizer.config == MODEL
    for index, (units, utterance) in enumerate(zip(encoded, speech.utterances, strict=True)):
        assert len(units) == -(-len(speech.waveform(index, SAMPLE_RATE)) // 1280), utterance.id
    assert len({unit for units in encoded for unit in units}) > 0.4 * CODES


@pytest.mark.slow
def test_a_run_in_two_parts_has_the_same_bits(corpus: Path, tmp_path: Path) -> None:
    run = replace(RUN, steps=26, checkpoint_every=8, quantised_from=6, validate_every=10, restart_every=5)

    class Interrupted(Exception):
        pass

    def interrupt(progress: Progress) -> None:
        if progress.done == 19:
            raise Interrupted

    with pytest.raises(Interrupted):
        train_stage(stage(corpus, run), run, tmp_path / "pieces", on_step=interrupt)
    exports = [train_stage(stage(corpus, run), run, tmp_path / name) for name in ("pieces", "whole")]
    assert len({(export / "model.safetensors").read_bytes() for export in exports}) == 1


def test_steps_depend_on_the_seed_and_do_not_change_the_global_random_state(corpus: Path) -> None:
    state = torch.get_rng_state()
    losses = [stage(corpus, replace(RUN, seed=seed)).step(0)["loss"] for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), state)
    assert losses[0] == losses[1] != losses[2]


def test_bfloat16_learns_nearly_the_same(corpus: Path) -> None:
    exact, half = (stage(corpus, replace(RUN, bf16=bf16)) for bf16 in (False, True))
    assert half.step(0)["loss"] == pytest.approx(exact.step(0)["loss"], rel=0.05)
    assert all(parameter.dtype == torch.float32 for parameter in half.model.parameters())


def test_the_encoder_learns_from_the_text_through_the_quantiser(corpus: Path) -> None:
    """The encoder has a gradient of the text alone: it passes straight through the choice of a code."""
    trainee = stage(corpus, replace(RUN, quantised_from=0, mel_weight=0.0, commitment_weight=0.0))
    before = trainee.model.conv1.weight.detach().clone()
    assert trainee.step(0)["gradient_norm"] > 0
    assert not torch.equal(trainee.model.conv1.weight, before)


def test_an_utterance_longer_than_the_encoder_input_is_refused(tmp_path: Path) -> None:
    waveform = np.zeros(31 * SAMPLE_RATE, dtype=np.float32)
    (tmp_path / "long.flac").write_bytes(encode_audio(waveform, SAMPLE_RATE))
    utterance = Utterance(
        id="long",
        file="long.flac",
        text="and so on",
        voice="v",
        emotion="neutral",
        split="train",
        samples=len(waveform),
        rate=SAMPLE_RATE,
    )
    write_manifest(tmp_path, [utterance])
    with pytest.raises(CorpusError, match=r"long: expected at most 30 s, got 31\.0 s"):
        TokenizerStage(RUN, MODEL, SpeechCorpus(tmp_path, "train"))


def test_a_codebook_without_decay_cannot_be_trained(corpus: Path) -> None:
    with pytest.raises(ConfigError, match="quantize_ema_decay: expected a decay below 1"):
        TokenizerStage(RUN, replace(MODEL, quantize_ema_decay=None), SpeechCorpus(corpus, "train"))


def test_codes_must_be_learned_before_the_run_ends() -> None:
    with pytest.raises(ConfigError, match="quantised_from: expected a step of the 10, got 10"):
        replace(RUN, steps=10, quantised_from=10)
