import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from data_pipeline.records import RejectedRow
from data_pipeline.synthesis.protocols import SpeechRequest
from data_pipeline.synthesis.speakers import espeak
from data_pipeline.synthesis.speakers.effects import LEVEL
from data_pipeline.synthesis.speakers.espeak import EspeakSpeaker
from data_pipeline.synthesis.speakers.espeak_voices import ESPEAK_VOICES, EspeakVoice
from data_pipeline.synthesis.speakers.prosody import EMOTION_RANGES
from data_pipeline.synthesis.speakers.voice import VoiceError
from tests.data_pipeline.synthesis.speakers.signals import pitch, semitones

pytest.importorskip("parselmouth")
SENTENCE = "I can't believe it, they lost my <bags> & shoes."
CHINESE = "今天天气很好，我们去公园吧。"
SPEAKER = EspeakSpeaker()


def speak(voice: str = "espeak:en-us+f2", text: str = SENTENCE, **settings) -> tuple[np.ndarray, int]:
    speech = SPEAKER.speak(SpeechRequest(text=text, voice=voice, **settings))
    return speech.samples, speech.rate


def voices_of(**labels: str) -> list[EspeakVoice]:
    return [voice for voice in ESPEAK_VOICES.values() if all(getattr(voice, k) == v for k, v in labels.items())]


def test_there_are_many_speakers_of_each_gender_and_age() -> None:
    english = voices_of(language="en")
    assert len(english) >= 40
    assert len({(voice.variant, voice.words_per_minute, voice.pitch, voice.formants) for voice in english}) == len(
        english
    )
    counts = Counter((voice.gender, voice.age) for voice in english)
    for gender in ("female", "male"):
        for age in ("child", "adult", "elderly"):
            assert counts[gender, age] >= 4, (gender, age)
    assert {voice.gender for voice in voices_of(language="zh")} == {"female", "male"}


@pytest.mark.parametrize("voice", ESPEAK_VOICES.values(), ids=lambda voice: voice.name)
def test_every_voice_speaks(voice: EspeakVoice) -> None:
    text = CHINESE if voice.language == "zh" else SENTENCE
    samples, rate = speak(voice.name, text, language=voice.language)
    assert samples.dtype == np.float32
    assert rate == 22_050
    assert 2.0 < len(samples) / rate < 7.0
    assert np.abs(samples).max() <= 0.99
    assert 10 * np.log10(np.mean(samples**2)) == pytest.approx(LEVEL, abs=5.0)


def test_children_speak_higher_than_women_and_women_than_men() -> None:
    def median(**labels: str) -> float:
        return float(np.median([np.median(pitch(*speak(voice.name, seed=1))) for voice in voices_of(**labels)[:4]]))

    men = median(gender="male", age="adult", language="en")
    women = median(gender="female", age="adult", language="en")
    children = median(age="child", language="en")
    assert 80 < men < 140 < women < 230 < children < 400


def test_the_same_request_gives_the_same_samples_whatever_came_before() -> None:
    names = [voice.name for voice in voices_of(language="en")]
    alone, _ = speak(names[3], emotion="happy", seed=5)
    for name, emotion in zip(names, EMOTION_RANGES, strict=False):
        speak(name, "Something else.", emotion=emotion)
        np.testing.assert_array_equal(speak(names[3], emotion="happy", seed=5)[0], alone)
    assert not np.array_equal(speak(names[3], emotion="happy", seed=6)[0], alone)


def test_threads_take_turns() -> None:
    jobs = [(voice.name, f"This is sentence number {i}.") for i, voice in enumerate(voices_of(language="en")[:8])]
    expected = [speak(*job)[0] for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        spoken = list(pool.map(lambda job: speak(*job)[0], jobs))
    for got, wanted in zip(spoken, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_emotions_differ_in_rate_pitch_range_and_loudness() -> None:
    def mean(emotion: str, measure) -> float:
        return float(np.mean([measure(*speak(emotion=emotion, seed=seed)) for seed in range(4)]))

    def seconds(samples: np.ndarray, rate: int) -> float:
        return len(samples) / rate

    def level(samples: np.ndarray, _rate: int) -> float:
        return float(10 * np.log10(np.mean(samples**2)))

    assert mean("fearful", seconds) < mean("neutral", seconds) < mean("sad", seconds)
    assert mean("sad", level) < mean("neutral", level) < mean("angry", level)
    for_pitch = [mean(e, lambda s, r: np.median(semitones(pitch(s, r)))) for e in ("sad", "neutral", "surprised")]
    for_range = [mean(e, lambda s, r: np.std(semitones(pitch(s, r)))) for e in ("sad", "neutral", "surprised")]
    assert for_pitch == sorted(for_pitch)
    assert for_range == sorted(for_range)


def test_scaled_formants_leave_the_rate_and_the_pitch() -> None:
    plain = EspeakVoice(name="a", gender="", age="", variant="en-us+m3", pitch=2)
    scaled = EspeakVoice(name="b", gender="", age="", variant="en-us+m3", pitch=2, formants=1.2)
    (one, rate), (other, scaled_rate) = (espeak.synthesise(SENTENCE, 1.0, voice) for voice in (plain, scaled))
    assert rate == scaled_rate
    assert len(other) == pytest.approx(len(one), rel=0.08)
    assert np.median(pitch(other, rate)) == pytest.approx(np.median(pitch(one, rate)), rel=0.1)

    def centroid(samples: np.ndarray) -> float:
        power = np.abs(np.fft.rfft(samples)) ** 2
        return float(np.sum(np.arange(len(power)) / len(samples) * rate * power) / np.sum(power))

    assert centroid(other) > 1.08 * centroid(one)


@pytest.mark.parametrize("name", ["espeak:en-us+nobody", "en-us+f2", "flite:slt", ""])
def test_an_unknown_voice_is_an_error(name: str) -> None:
    with pytest.raises(VoiceError, match=f"unknown voice {name!r}: expected one of ESPEAK_VOICES".replace("+", r"\+")):
        speak(name)


@pytest.mark.parametrize(
    ("variant", "reason"),
    [
        ("nowhere+f2", r"unknown voice 'nowhere\+f2': expected an"),
        ("en-us+nobody", "unknown variant .nobody."),
    ],
)
def test_a_voice_that_espeak_does_not_have_is_an_error(variant: str, reason: str) -> None:
    voice = EspeakVoice(name="x", gender="", age="", variant=variant)
    with pytest.raises(VoiceError, match=reason):
        espeak.synthesise("Hello.", 1.0, voice)


@pytest.mark.parametrize("text", ["", " \n", "..."])
def test_a_text_without_words_is_rejected(text: str) -> None:
    with pytest.raises(RejectedRow, match=r"^nothing to speak: expected letters or digits"):
        speak(text=text)


def test_a_text_in_another_language_is_rejected() -> None:
    with pytest.raises(RejectedRow, match=r"^wrong language: voice espeak:en-us\+f2 speaks 'en', the text is 'zh'"):
        speak(text=CHINESE, language="zh")


def test_without_espeak_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    espeak.library_paths.cache_clear()
    with pytest.raises(ImportError, match=r"need espeakng-loader \(pip install 'opens2s-on-ray\[synthesis\]'\)"):
        speak()
