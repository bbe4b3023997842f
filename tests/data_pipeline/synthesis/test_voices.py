from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from data_pipeline.synthesis.voices import (
    FEELINGS,
    REPLY_VOICE,
    USER_VOICES,
    EspeakSpeaker,
    Voice,
    VoiceError,
)

SENTENCE = "I can't believe it, they lost my <bags> & shoes."
SPEAKER = EspeakSpeaker()


def loudness(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples**2)))


def pitch(samples: np.ndarray, rate: int) -> float:
    """Median over voiced frames of the autocorrelation's highest peak between 60 and 450 Hz."""
    values = []
    for start in range(0, len(samples) - 1024, 512):
        frame = samples[start : start + 1024]
        correlation = np.correlate(frame, frame, "full")[1023:]
        lag = rate // 450 + int(correlation[rate // 450 : rate // 60].argmax())
        if loudness(frame) > 0.02 and correlation[lag] > 0.5 * correlation[0]:
            values.append(rate / lag)
    return float(np.median(values))


@pytest.mark.parametrize("voice", [*USER_VOICES, REPLY_VOICE], ids=lambda voice: voice.name)
def test_every_voice_speaks_every_feeling_without_clipping_away(voice: Voice) -> None:
    for feeling in FEELINGS:
        samples, rate = SPEAKER.speak(SENTENCE, voice, feeling)
        assert samples.dtype == np.float32
        assert rate == 22050
        assert 2.0 < len(samples) / rate < 6.0
        assert 0.01 < loudness(samples) < 0.25
        assert np.mean(np.abs(samples) > 0.99) < 0.01


def test_the_same_words_give_the_same_samples_whatever_was_said_before() -> None:
    alone, _ = SPEAKER.speak(SENTENCE, USER_VOICES[3], "happy")
    for voice, feeling in zip(USER_VOICES[:6], FEELINGS, strict=True):
        SPEAKER.speak("Something else.", voice, feeling)
        again, _ = SPEAKER.speak(SENTENCE, USER_VOICES[3], "happy")
        np.testing.assert_array_equal(again, alone)


def test_threads_take_turns() -> None:
    jobs = [(f"This is sentence number {i}.", USER_VOICES[i], "neutral") for i in range(8)]
    expected = [SPEAKER.speak(*job)[0] for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        spoken = list(pool.map(lambda job: SPEAKER.speak(*job)[0], jobs))
    for got, wanted in zip(spoken, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_feelings_are_heard_in_loudness_speed_and_pitch() -> None:
    spoken = {feeling: SPEAKER.speak(SENTENCE, REPLY_VOICE, feeling) for feeling in FEELINGS}
    assert len({samples.tobytes() for samples, _ in spoken.values()}) == len(FEELINGS)
    assert loudness(spoken["angry"][0]) > loudness(spoken["neutral"][0]) > loudness(spoken["sad"][0])
    assert len(spoken["afraid"][0]) < len(spoken["neutral"][0]) < len(spoken["sad"][0])
    assert pitch(*spoken["afraid"]) > pitch(*spoken["neutral"]) > pitch(*spoken["sad"])


def test_voices_are_distinct_people() -> None:
    names = [voice.name for voice in (*USER_VOICES, REPLY_VOICE)]
    assert len(set(names)) == len(names) >= 30


@pytest.mark.parametrize("name", ["nowhere+f2", "en-us+nobody"])
def test_an_unknown_voice_is_refused_by_name(name: str) -> None:
    with pytest.raises(VoiceError, match="unknown .*" + name.replace("+", r"\+")):
        SPEAKER.speak("Hello.", Voice(name=name), "neutral")


@pytest.mark.parametrize("text", ["", " \n"])
def test_nothing_to_say_is_refused(text: str) -> None:
    with pytest.raises(VoiceError, match="nothing to say"):
        SPEAKER.speak(text, REPLY_VOICE, "neutral")
