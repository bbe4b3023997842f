import shutil
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.records import RejectedRow
from data_pipeline.synthesis.protocols import SpeechRequest
from data_pipeline.synthesis.speakers.effects import LEVEL
from data_pipeline.synthesis.speakers.flite import FLITE_VOICES, FliteMissing, FliteSpeaker, require_flite
from data_pipeline.synthesis.speakers.voice import VoiceError
from tests.data_pipeline.synthesis.speakers.signals import pitch

pytest.importorskip("parselmouth")
SENTENCE = "I can't believe it, they lost my bags & shoes."
installed = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed (apt-get install flite)")


def speak(voice: str = "flite:slt", text: str = SENTENCE, **settings) -> tuple[np.ndarray, int]:
    speech = FliteSpeaker().speak(SpeechRequest(text=text, voice=voice, **settings))
    return speech.samples, speech.rate


@installed
@pytest.mark.parametrize("name", FLITE_VOICES)
def test_every_voice_speaks_repeatably(name: str) -> None:
    samples, rate = speak(name, emotion="sad", seed=2)
    assert samples.dtype == np.float32
    assert rate == 16_000
    assert 2.0 < len(samples) / rate < 7.0
    assert np.abs(samples).max() <= 0.99
    np.testing.assert_array_equal(speak(name, emotion="sad", seed=2)[0], samples)


@installed
@pytest.mark.parametrize("name", FLITE_VOICES)
def test_emotions_differ_in_rate_pitch_and_loudness(name: str) -> None:
    (sad, rate), (fearful, _), (angry, _) = (speak(name, emotion=e, seed=1) for e in ("sad", "fearful", "angry"))
    assert len(fearful) < 0.95 * len(sad)
    assert np.median(pitch(fearful, rate)) > 1.05 * np.median(pitch(sad, rate))
    assert 10 * np.log10(np.mean(sad**2)) < LEVEL - 1 < LEVEL + 1 < 10 * np.log10(np.mean(angry**2))


@installed
@pytest.mark.parametrize(
    "text", ["-voice kal", "--help", "$(touch spoken) `id`; a | b > c", "<speak>x</speak>", "a\nb"]
)
def test_a_text_is_only_spoken(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    samples, _ = speak(text=text)
    assert np.abs(samples).max() > 0.1
    assert list(tmp_path.iterdir()) == []


def test_without_flite_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FliteMissing, match=r"flite:slt.* need the program flite: apt-get install flite"):
        require_flite()
    with pytest.raises(FliteMissing):
        speak()


@pytest.mark.parametrize("name", ["slt", "", "flite:/etc/passwd", "flite:-t"])
def test_an_unknown_voice_is_an_error(name: str) -> None:
    with pytest.raises(VoiceError, match=f"unknown voice '{name}': expected one of flite:slt"):
        speak(name)


@pytest.mark.parametrize(
    ("text", "language", "reason"),
    [
        ("", "en", "nothing to speak: expected letters or digits"),
        ("...", "en", "nothing to speak: expected letters or digits"),
        ("café", "en", "nothing to speak: flite expects ASCII text"),
        ("Hola.", "es", "wrong language: voice flite:slt speaks 'en'"),
    ],
)
def test_what_it_cannot_speak_is_rejected(text: str, language: str, reason: str) -> None:
    with pytest.raises(RejectedRow, match=f"^{reason}"):
        speak(text=text, language=language)
