import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("jiwer")
pytest.importorskip("parselmouth")

from opens2s_core.benchmark.__main__ import main
from opens2s_core.benchmark.recogniser import RATE
from opens2s_core.benchmark.voice import VoiceBenchmark, measure_voice
from opens2s_core.training.voice.corpus import SpeechCorpus
from tests.opens2s_core.training.voice.speech_corpus import write_corpus
from tests.spoken import WOMAN


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sentences held out, two of them of the first voice."""
    return write_corpus(tmp_path_factory.mktemp("voice") / "corpus", train=0, held_out=3)


class FakeRecogniser:
    """Returns given words and keeps the audio."""

    name = "fake"

    def __init__(self, words: Sequence[str]) -> None:
        self.words = list(words)

    def transcribe(self, waveforms: Sequence[NDArray[np.float32]]) -> list[str]:
        self.waveforms = list(waveforms)
        return self.words


def test_each_rendition_is_evaluated_with_its_own_transcript(corpus: Path, tiny_bundle: Path) -> None:
    held_out = SpeechCorpus(corpus, "held_out")
    mine = [i for i, utterance in enumerate(held_out.utterances) if utterance.voice == WOMAN]
    texts = [held_out.utterances[i].text for i in mine]
    recogniser = FakeRecogniser([*texts, *texts, texts[0], "", "", ""])
    config = VoiceBenchmark(corpus=str(corpus), voice=str(tiny_bundle), sentences=2)
    measured = measure_voice(config, recogniser)
    rows = {row.name: row for row in measured.rows}
    missed = 100 * len(texts[1].split()) / sum(len(text.split()) for text in texts)
    words = {name: rows[f"word error, {name}"].value for name in ("original", "vocoder", "one-shot", "streamed")}
    assert words == pytest.approx({"original": 0, "vocoder": 0, "one-shot": missed, "streamed": 100})
    assert rows["word error added, streamed"].holds is False
    assert rows["word error added, vocoder"].value == 0
    assert measured.speaker == WOMAN
    assert measured.ids == [held_out.utterances[i].id for i in mine]
    durations = [len(held_out.waveform(i)) / 22_050 for i in mine]
    assert [len(waveform) / RATE for waveform in recogniser.waveforms[:2]] == pytest.approx(durations, abs=1e-3)
    assert rows["speech measured"].value == pytest.approx(sum(durations))
    assert all(row.value is not None and np.isfinite(row.value) for row in measured.rows if "f0" not in row.name)


def test_too_few_held_out_sentences_are_refused(corpus: Path, tiny_bundle: Path) -> None:
    config = VoiceBenchmark(corpus=str(corpus), voice=str(tiny_bundle))
    with pytest.raises(ValueError, match=r"expected 100 held-out sentences of 'espeak:en-us\+f2', the corpus has 2"):
        measure_voice(config, FakeRecogniser([]))


def test_one_command_writes_the_report_the_plots_and_the_card(
    corpus: Path, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pocketsphinx")
    pytest.importorskip("matplotlib")
    options = ["--sentences", "1", "--processes", "1", "--json", f"{tmp_path}/out.json", "--plots", f"{tmp_path}/plots"]
    card = ["--card", f"{tmp_path}/README.md", "--made-by", "make voice", "--training-data", "espeak-ng's voices."]
    main(["voice", "--corpus", str(corpus), "--voice", str(tiny_bundle), *options, *card])
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["config"]["speaker"] == WOMAN
    printed, written = capsys.readouterr().out, (tmp_path / "README.md").read_text()
    for row in report["rows"]:
        assert row["name"] in printed
        assert f"| {row['name']} |" in written
    assert "make voice\npython -m opens2s_core.benchmark voice" in written
    assert "espeak-ng's voices." in written
    [picture] = (tmp_path / "plots").iterdir()
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert f"![{picture.stem}](plots/{picture.name})" in written


def test_a_card_needs_its_provenance(corpus: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="--card needs --made-by and --training-data"):
        main(f"voice --corpus {corpus} --voice {tiny_bundle} --json {tmp_path}/a --card {tmp_path}/b".split())
