"""The experiment on distillation: what it measures is what the stages compute."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from opens2s_core.audio import SAMPLE_RATE, encode_audio
from opens2s_core.benchmark import distillation
from opens2s_core.benchmark.__main__ import main
from opens2s_core.benchmark.distillation import (
    DistillationBenchmark,
    agreement,
    mean_interval,
    measure_distillation,
    similar_sentences,
)
from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.opens2s import load_opens2s
from opens2s_core.checkpoint.vocabulary import read_vocabulary
from opens2s_core.prompt import PromptBuilder, Text
from opens2s_core.training.batch import CollateConfig, EncodedSample, collate
from opens2s_core.training.distillation import DistillationConfig
from opens2s_core.training.objective import Objective
from opens2s_core.training.stages import STAGE1A
from opens2s_core.training.voice.corpus import Utterance, write_manifest
from tests.opens2s_core.training.samples import encode, kinds_of_samples, turn

SENTENCES = ("The cat is here.", "A dog is there.", "The cat is asleep.", "A dog runs.", "It rains.", "The sun shines.")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    (tmp_path / "audio").mkdir()
    utterances = []
    for number, text in enumerate(SENTENCES):
        noise = np.random.default_rng(number).normal(0, 0.1, SAMPLE_RATE).astype(np.float32)
        (tmp_path / f"audio/{number}.flac").write_bytes(encode_audio(noise, SAMPLE_RATE))
        utterances.append(
            Utterance(
                id=str(number),
                file=f"audio/{number}.flac",
                text=text,
                voice="v",
                emotion="neutral",
                split="train",
                samples=SAMPLE_RATE,
                rate=SAMPLE_RATE,
            )
        )
    write_manifest(tmp_path, utterances)
    return tmp_path


def test_the_similar_sentence_shares_the_rarest_words() -> None:
    found = dict(zip(SENTENCES, similar_sentences(SENTENCES), strict=True))
    assert found["The cat is here."] == "The cat is asleep."
    assert found["The cat is asleep."] == "The cat is here."
    assert found["A dog runs."] == "A dog is there."


def test_the_interval_is_student_s() -> None:
    low, high = mean_interval([1.0, 2.0, 3.0])
    assert (low, high) == (pytest.approx(2 - 2.484, abs=1e-3), pytest.approx(2 + 2.484, abs=1e-3))


@torch.no_grad()
def test_the_measured_losses_are_those_of_the_stage(tiny_bundle: Path) -> None:
    model, vocabulary = load_opens2s(tiny_bundle / OPENS2S).eval(), read_vocabulary(tiny_bundle / OPENS2S)
    samples = clips_with_words(PromptBuilder(vocabulary.tokenizer, "training"))
    kl = DistillationConfig(loss="kl")
    stage = replace(STAGE1A, losses={"text": 1.0, "distillation": 1.0}, distillation=kl)
    batch = collate(samples, model.config, vocabulary, CollateConfig(teacher=True))
    losses = {name: float(value) for name, value in Objective(model, stage, seed=0)(batch).items()}
    count = batch.counts()["text"]
    found = agreement(model, vocabulary, samples)
    assert found.text_loss == pytest.approx(losses["text"] / count, rel=1e-5)
    assert found.kl == pytest.approx(losses["distillation"] / count, rel=1e-4)
    assert 0 <= found.same_token < 1


def clips_with_words(prompts: PromptBuilder) -> list[EncodedSample]:
    clip = kinds_of_samples(prompts)["speech to text"]
    read = encode(prompts, turn([Text("It began well."), Text("continue")], Text("the story goes on")))
    return [replace(clip, teacher_ids=read.input_ids, teacher_labels=read.labels)] * 2


def test_every_loss_is_measured_for_every_seed(corpus: Path) -> None:
    config = DistillationBenchmark(corpus=str(corpus), held_out=2, seeds=2, first_steps=2, steps=2)
    rows = {row.name: row for row in measure_distillation(config)}
    for name in ("untrained adapter", *distillation.LOSSES):
        row = rows[f"{name}: KL from transcripts to speech"]
        assert row.value is not None
        assert row.value > 0
        assert row.interval is not None
        assert row.interval[0] <= row.value <= row.interval[1]
    values = [rows[f"{name}: loss on continuations"].value for name in ("untrained adapter", *distillation.LOSSES)]
    assert len(set(values)) == len(values), "every loss trains an adapter of its own"
    difference = rows["KL less text: loss on continuations"].value
    assert difference == pytest.approx((values[2] or 0) - (values[1] or 0))


def test_too_few_sentences_or_seeds_are_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected more than 6 sentences, got 6"):
        measure_distillation(DistillationBenchmark(corpus=str(corpus), held_out=6))
    with pytest.raises(SystemExit, match="seeds: expected 2 to 10, got 1"):
        main(["distillation", "--corpus", str(corpus), "--json", str(tmp_path / "report.json"), "--seeds", "1"])


def test_the_command_writes_a_report(corpus: Path, tmp_path: Path) -> None:
    sizes = ("--held-out", "2", "--seeds", "2", "--first-steps", "1", "--steps", "1", "--threads", "1")
    main(["distillation", "--corpus", str(corpus), "--json", str(tmp_path / "report.json"), *sizes])
    report = json.loads((tmp_path / "report.json").read_bytes())
    assert report["config"]["seeds"] == 2
    assert len(report["rows"]) == 19
