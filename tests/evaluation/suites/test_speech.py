from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.synthesis.protocols import Speech
from evaluation.items import Answer, Item, Reply, Turn
from evaluation.suites import reply_measures, speech
from evaluation.suites.reply_measures import ClipMeasures
from evaluation.suites.speech import SpeechConfig, SpeechSuite
from opens2s_core.audio import encode_audio
from tests.evaluation.suites.answers import assert_known, values

pytest.importorskip("jiwer")

RATE = 16_000
ITEM = Item(id="a", turns=(Turn(text="Hi."),), labels={"tone": "calm"})
LIGHT = {"speechmos", "resemblyzer"}


@pytest.fixture(autouse=True)
def without_slow_models(monkeypatch: pytest.MonkeyPatch) -> None:
    def is_installed(package: str) -> bool:
        return package not in LIGHT

    monkeypatch.setattr(reply_measures, "is_installed", is_installed)
    monkeypatch.setattr(speech, "is_installed", is_installed)


def tone(seconds: float, hertz: float = 200.0, level: float = 0.5) -> bytes:
    """A harmonic tone between a quarter of a second of silence on both sides."""
    times = np.arange(round(seconds * RATE)) / RATE
    voice = sum(np.sin(2 * np.pi * hertz * n * times) / n for n in range(1, 6)) * level / 2
    return encode_audio(np.pad(voice, RATE // 4).astype(np.float32), RATE)


def scores(suite: SpeechSuite, *replies: Reply, item: Item = ITEM) -> dict[str, float]:
    found = suite.scores(item, Answer(item=item.id, replies=replies), [])
    assert_known(found, suite.metrics)
    return values(found)


def test_word_error_is_over_all_words_of_all_replies() -> None:
    audio = tone(1)
    found = scores(
        SpeechSuite(),
        Reply(text="I am so sorry.", audio=audio, transcript="i am sorry"),  # one of four
        Reply(text="Oh, no!", audio=audio, transcript="oh no no"),  # one of two
    )
    assert found["word_error"] == pytest.approx(2 / 6)


def test_chinese_is_counted_by_characters() -> None:
    found = scores(SpeechSuite(), Reply(text="我很高兴。", audio=tone(1), transcript="我很高心"))
    assert found["word_error"] == pytest.approx(1 / 4)


def test_times_are_means_and_the_real_time_factor_is_a_ratio_of_sums() -> None:
    found = scores(
        SpeechSuite(),
        Reply(text="a", first_text=0.1, first_audio=0.4, seconds=1.0, audio_seconds=4.0),
        Reply(text="b", first_text=0.3, seconds=2.0, audio_seconds=1.0),
    )
    assert found == {
        "spoken": 0.0,
        "first_text": pytest.approx(0.2),
        "first_audio": 0.4,
        "real_time_factor": pytest.approx(3 / 5),
    }


def test_rate_loudness_and_pitch_are_those_of_the_clip() -> None:
    pytest.importorskip("parselmouth")
    found = scores(SpeechSuite(), Reply(text="one two three four", audio=tone(2)))
    assert found["speech_rate"] == pytest.approx(2.0, abs=0.05)  # without the silence around
    assert found["pitch"] == pytest.approx(12.0, abs=0.1)  # 200 Hz are an octave above 100 Hz
    assert found["pitch_range"] == pytest.approx(0.0, abs=0.2)
    louder = scores(SpeechSuite(), Reply(text="one two three four", audio=tone(2, level=1.0)))
    assert louder["loudness"] - found["loudness"] == pytest.approx(6.02, abs=0.1)


def test_a_silent_reply_is_spoken_and_has_no_measures() -> None:
    silent = encode_audio(np.zeros(RATE, np.float32), RATE)
    assert scores(SpeechSuite(), Reply(text="Hello.", audio=silent, transcript="")) == {
        "spoken": 1.0,
        "word_error": 1.0,
    }


def test_a_reply_without_a_transcript_has_no_word_error() -> None:
    assert "word_error" not in scores(SpeechSuite(), Reply(text="Hello.", audio=tone(1)))


class FixedTones:
    name = "fixed"

    def probabilities(self, speech: Speech) -> Mapping[str, float]:
        return {"calm": 0.75, "warm": 0.25}


def test_tone_similarity_is_the_probability_of_the_expected_tone() -> None:
    suite = SpeechSuite(tones=FixedTones())
    reply = Reply(text="Hello.", audio=tone(1))
    assert scores(suite, reply)["tone_similarity"] == 0.75
    unknown = Item(id="b", turns=ITEM.turns, labels={"tone": "concerned"})
    assert "tone_similarity" not in scores(suite, reply, item=unknown)


def test_what_is_not_installed_is_left_out_and_named(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"a")
    (tmp_path / "m.jsonl").write_text('{"audio": "a.wav", "text": "Hi."}\n')
    data = str(tmp_path / "m.jsonl")
    described = SpeechSuite().describe(data, SpeechSuite().items(data))
    assert [line.partition(":")[0] for line in described["left out"]] == [
        "DNSMOS overall (P.835)",
        "DNSMOS P.808",
        "Speaker similarity (cosine)",
    ]
    assert described["rows"] == 1
    names = {metric.name for metric in SpeechSuite().metrics}
    assert not names & {"dnsmos_overall", "dnsmos_p808", "speaker_similarity"}


class PitchEncoder:
    """Two orthogonal speakers: below and above 250 crossings of zero a second."""

    def embed(self, waveforms: list[np.ndarray]) -> np.ndarray:
        crossings = [np.abs(np.diff(np.sign(wave))).sum() / 2 / len(wave) * RATE for wave in waveforms]
        return np.array([[1.0, 0.0] if each < 250 else [0.0, 1.0] for each in crossings])


def test_the_first_spoken_reply_is_the_reference_and_has_no_similarity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply_measures, "is_installed", lambda package: package != "speechmos")
    monkeypatch.setattr(speech, "is_installed", lambda package: package != "speechmos")
    monkeypatch.setattr(ClipMeasures, "_encoder", PitchEncoder())
    suite = SpeechSuite()
    low, high = Reply(text="a", audio=tone(1, 100)), Reply(text="a", audio=tone(1, 400))

    def similarity(id: str, reply: Reply) -> float | None:
        return scores(suite, reply, item=Item(id=id, turns=ITEM.turns)).get("speaker_similarity")

    assert similarity("none", Reply(text="a")) is None
    assert similarity("first", low) is None
    assert similarity("second", high) == pytest.approx(0.0)
    assert similarity("third", low) == pytest.approx(1.0)
    assert similarity("first", low) is None


def test_a_reference_clip_is_compared_with_every_reply(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(reply_measures, "is_installed", lambda package: package != "speechmos")
    monkeypatch.setattr(speech, "is_installed", lambda package: package != "speechmos")
    monkeypatch.setattr(ClipMeasures, "_encoder", PitchEncoder())
    (tmp_path / "voice.flac").write_bytes(tone(1, 100))
    suite = SpeechSuite(SpeechConfig(reference=str(tmp_path / "voice.flac")))
    assert scores(suite, Reply(text="a", audio=tone(1, 100)))["speaker_similarity"] == pytest.approx(1.0)
