"""Lengths and finish reasons are counted correctly. Their values are not checked, as they need a trained bundle."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

pytest.importorskip("jiwer")

from opens2s_core.audio import SAMPLE_RATE
from opens2s_core.benchmark.__main__ import main
from opens2s_core.benchmark.speech_length import READINGS, Speech, generate, read_questions
from opens2s_core.checkpoint.bundle import read_bundle_info
from opens2s_core.inference.loading import build_engine
from opens2s_core.inference.messages import AudioChunk, ReplyRequest, Sampling
from opens2s_core.inference.pipeline import Pipeline, reply_text
from opens2s_core.prompt import read_aloud


class NothingRecognised:
    """A recogniser without a result."""

    name = "none"

    def __init__(self, processes: int) -> None:
        pass

    def transcribe(self, waveforms: Sequence[NDArray[np.float32]]) -> list[str]:
        return [""] * len(waveforms)


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    lines = ["file\tfeeling\tsaid\treply"]
    for i in range(2):
        noise = np.random.default_rng(i).normal(0, 0.1, SAMPLE_RATE // 2)
        soundfile.write(tmp_path / f"{i}.wav", noise, SAMPLE_RATE)
        lines.append(f'{i}.wav\tsad\tI said "no.\tOh.')
    (tmp_path / "examples.tsv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_it_generates_the_same_as_the_pipeline(tiny_bundle: Path) -> None:
    request = ReplyRequest(
        messages=read_aloud("Hi."), reply_text="Hi.", units=Sampling(temperature=1.0, max_tokens=40, seed=3)
    )
    thinker, decoder = (build_engine(stage, tiny_bundle, capacity=1) for stage in ("thinker", "speech_decoder"))
    speech = generate(thinker, decoder, request)
    messages = list(Pipeline.load(tiny_bundle).reply(request))
    *_, last = [message for message in messages if isinstance(message, AudioChunk)]
    assert (speech.text, speech.finish) == (reply_text(messages), last.finish)


def test_length_is_relative_to_the_expected_units(tiny_bundle: Path) -> None:
    speech = Speech(text="Hi.", hidden_states=4, units=np.zeros(28, np.int64), finish="stop")
    assert speech.length(read_bundle_info(tiny_bundle)) == pytest.approx(28 / (3.5 * 4))


def test_every_end_is_counted_once_and_all_speech_is_short_enough(
    tiny_bundle: Path, examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opens2s_core.benchmark.__main__.PocketSphinx", NothingRecognised)
    where = ["--bundle", str(tiny_bundle), "--examples", str(examples), "--json", str(tmp_path / "out.json")]
    main(["speech-length", *where, "--recognised", "1"])
    rows = {row["name"]: row for row in json.loads((tmp_path / "out.json").read_text())["rows"]}
    for decoding in ("greedy", "sampled"):
        for what, count in (("answers", 2), ("readings", len(READINGS))):
            name = f"{decoding}, {what}"
            ends = [rows[f"{name}: ended by {reason}"]["value"] for reason in ("stop", "length", "loop")]
            assert sum(ends) == count
            assert rows[f"{name}: length to expected length, maximum"]["holds"]
        assert rows[f"{decoding}, answers: word error rate over 1 replies"]["value"] == 100


def test_a_directory_without_examples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a directory with examples\.tsv"):
        read_questions(tmp_path)
