import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_pipeline.synthesis.flite import FLITE_VOICES, SLT, EmbeddedSpeaker, FliteMissing, FliteSpeaker, require_flite
from data_pipeline.synthesis.voices import FEELINGS, REPLY_VOICE, EspeakSpeaker, Voice, VoiceError

SENTENCE = "I can't believe it, they lost my bags & shoes."
speaks = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed (apt-get install flite)")


def loudness(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples**2)))


@speaks
@pytest.mark.parametrize("name", FLITE_VOICES)
def test_every_voice_speaks_every_feeling_without_clipping_away(name: str) -> None:
    spoken = {feeling: FliteSpeaker().speak(SENTENCE, Voice(name=name), feeling) for feeling in FEELINGS}
    for samples, rate in spoken.values():
        assert samples.dtype == np.float32
        assert rate == 16_000
        assert 1.8 < len(samples) / rate < 6.0
        assert 0.03 < loudness(samples) < 0.25
        assert np.mean(np.abs(samples) > 0.99) < 0.01
    assert loudness(spoken["angry"][0]) > loudness(spoken["neutral"][0]) > loudness(spoken["sad"][0])
    assert len(spoken["afraid"][0]) < len(spoken["neutral"][0]) < len(spoken["sad"][0])


@speaks
def test_a_neutral_voice_is_left_as_it_is_but_for_its_loudness(tmp_path: Path) -> None:
    sound = tmp_path / "plain.wav"
    subprocess.run(["flite", "-voice", "slt", "-t", SENTENCE, "-o", sound], check=True)
    plain, _ = soundfile.read(sound, dtype="float32")
    samples, _ = FliteSpeaker().speak(SENTENCE, SLT, "neutral")
    np.testing.assert_allclose(samples, FLITE_VOICES["slt"].gain * plain, atol=1e-6)


@speaks
def test_rate_and_pitch_are_heard() -> None:
    plain, _ = FliteSpeaker().speak(SENTENCE, SLT, "neutral")
    fast, _ = FliteSpeaker().speak(SENTENCE, Voice(name="slt", rate=220), "neutral")
    high, _ = FliteSpeaker().speak(SENTENCE, Voice(name="slt", pitch=80), "neutral")
    assert len(fast) == pytest.approx(len(plain) * 165 / 220, rel=0.02)
    assert len(high) == len(plain)
    assert not np.array_equal(high, plain)


@speaks
@pytest.mark.parametrize(
    "text", ["-voice kal", "--help", "$(touch spoken) `id`; a | b > c", "<speak>x</speak>", "a\nb"]
)
def test_a_text_is_only_ever_spoken(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    samples, _ = FliteSpeaker().speak(text, SLT, "neutral")
    assert loudness(samples) > 0.01
    assert list(tmp_path.iterdir()) == []


@speaks
def test_the_speaker_of_all_voices_knows_whose_each_is() -> None:
    speaker = EmbeddedSpeaker()
    for own, voice in ((FliteSpeaker(), SLT), (EspeakSpeaker(), REPLY_VOICE)):
        expected, rate = own.speak(SENTENCE, voice, "happy")
        got, got_rate = speaker.speak(SENTENCE, voice, "happy")
        np.testing.assert_array_equal(got, expected)
        assert got_rate == rate


def test_without_flite_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FliteMissing, match=r"slt.* need the program flite: apt-get install flite"):
        require_flite()
    with pytest.raises(FliteMissing):
        FliteSpeaker().speak(SENTENCE, SLT, "neutral")


@pytest.mark.parametrize("name", ["nobody", "", "/etc/passwd", "-t"])
def test_an_unknown_voice_is_refused_by_name(name: str) -> None:
    with pytest.raises(VoiceError, match=f"unknown voice '{name}': expected one of slt"):
        FliteSpeaker().speak("Hello.", Voice(name=name), "neutral")


@pytest.mark.parametrize("text", ["", " \n", "...", "日本語", "café"])
def test_what_it_cannot_say_is_refused(text: str) -> None:
    with pytest.raises(VoiceError, match="nothing that flite can say: expected English words"):
        FliteSpeaker().speak(text, SLT, "neutral")
