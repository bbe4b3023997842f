"""The voice that comes with the package."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from opens2s_core.checkpoint.bundle import SPEECH_TOKENIZER, TOKEN2WAV, read_bundle_info
from opens2s_core.checkpoint.codebooks import codebook_sizes
from opens2s_core.training.voice.corpus import SpeechCorpus
from opens2s_core.voices import HELD_OUT, SLT

WEIGHTS = (SPEECH_TOKENIZER, TOKEN2WAV)


def weight_files() -> list[Path]:
    return [path for part in WEIGHTS for path in (SLT / part).rglob("*.safetensors")]


def test_it_is_whole_and_trained() -> None:
    sizes = codebook_sizes(SLT)
    assert sizes.keys() == set(WEIGHTS)
    assert len(set(sizes.values())) == 1
    assert read_bundle_info(SLT).voice_trained


def test_it_is_kept_in_half_precision_and_ten_megabytes() -> None:
    tensors = [tensor for file in weight_files() for tensor in load_file(file).values()]
    assert {tensor.dtype for tensor in tensors} == {torch.float16}
    assert all(tensor.isfinite().all() for tensor in tensors)
    assert sum(path.stat().st_size for part in WEIGHTS for path in (SLT / part).rglob("*")) <= 10e6


def test_its_scores_hold_and_are_in_the_card() -> None:
    report, card = json.loads((SLT / "benchmark.json").read_text()), (SLT / "README.md").read_text()
    bounded = {row["name"] for row in report["rows"] if row["bound"]}
    assert bounded == {"word error added, one-shot", "word error added, streamed", "codes alive"}
    assert all(row["holds"] for row in report["rows"] if row["bound"])
    for row in report["rows"]:
        [line] = [line for line in card.splitlines() if line.startswith(f"| {row['name']} |")]
        assert line.endswith(" yes |") == bool(row["bound"])
    assert "make voice" in card
    assert report["commit"] in card
    assert "changed" not in report["commit"]


def test_its_sentences_are_those_it_was_measured_on() -> None:
    report, held_out = json.loads((SLT / "benchmark.json").read_text()), SpeechCorpus(HELD_OUT, "held_out")
    assert len(held_out) >= report["config"]["sentences"] >= 100
    assert {utterance.voice for utterance in held_out.utterances} == {report["config"]["speaker"]} == {"slt"}
    seconds = sum(utterance.samples / utterance.rate for utterance in held_out.utterances)
    [measured] = [row["value"] for row in report["rows"] if row["name"] == "speech measured"]
    assert seconds == pytest.approx(measured, abs=0.1)


def test_its_word_error_is_that_of_the_card() -> None:
    pytest.importorskip("pocketsphinx")
    from opens2s_core.benchmark.recogniser import PocketSphinx
    from opens2s_core.benchmark.voice import VoiceBenchmark, measure_voice

    report = json.loads((SLT / "benchmark.json").read_text())
    kept = {row["name"]: row["value"] for row in report["rows"]}
    config = VoiceBenchmark(corpus=str(HELD_OUT), voice=str(SLT), sentences=8)
    rows = {row.name: row.value for row in measure_voice(config, PocketSphinx(2)).rows}
    assert rows["word error, vocoder"] < kept["word error, vocoder"] + 15  # eight sentences tell little
    assert rows["word error, streamed"] < rows["word error, original"] + 25
    assert rows["voicing error, streamed"] < 20
    assert rows["mel distance, streamed"] == pytest.approx(kept["mel distance, streamed"], rel=0.1)
