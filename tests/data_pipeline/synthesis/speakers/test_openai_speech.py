from typing import Any

import numpy as np
import openai
import pytest

from data_pipeline.records import RejectedRow, Unavailable
from data_pipeline.synthesis.protocols import ReferenceClip, SpeechRequest
from data_pipeline.synthesis.speakers.openai_speech import OpenAISpeaker, OpenAISpeakerConfig
from data_pipeline.synthesis.speakers.voice import VoiceError
from tests.data_pipeline.synthesis.speakers.servers import SpeechServer, speech_of


def speaker(server: SpeechServer, **settings: Any) -> OpenAISpeaker:
    defaults = {"model": "m", "retries": 2, "timeout_seconds": 0.5}
    return OpenAISpeaker(OpenAISpeakerConfig(base_url=f"{server.url}/v1", **(defaults | settings)))


def request(text: str, **settings: Any) -> SpeechRequest:
    return SpeechRequest(text=text, **({"voice": "alloy"} | settings))


def test_a_wav_file_becomes_speech_at_its_own_rate(server: SpeechServer) -> None:
    speech = speaker(server).speak(request("Hello there."))
    assert speech.rate == server.rate
    np.testing.assert_allclose(speech.samples, speech_of("Hello there.", server.rate), atol=1e-4)


def test_a_wav_file_may_leave_its_length_open(server: SpeechServer) -> None:
    speech = speaker(server).speak(request("open length"))
    np.testing.assert_allclose(speech.samples, speech_of("open length", server.rate), atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "instructions"),
    [
        ({}, None),
        ({"tone": "warm and calm"}, "Speak in a warm and calm tone."),
        ({"emotion": "sad"}, "Sound sad."),
        ({"emotion": "sad", "tone": "calm"}, "Speak in a calm tone."),
        ({"emotion": ""}, None),
    ],
)
def test_tone_and_emotion_are_instructions(
    server: SpeechServer, settings: Any, instructions: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    speaker(server).speak(request("Hello.", **settings))
    ((_, sent),) = server.requests
    expected = {"model": "m", "voice": "alloy", "input": "Hello.", "response_format": "wav"}
    assert sent == expected | ({"instructions": instructions} if instructions else {})
    assert server.keys == {"Bearer secret"}


@pytest.mark.parametrize("text", ["status 429 once", "status 500 twice", "slow once", "drop once"])
def test_failures_are_retried(server: SpeechServer, text: str) -> None:
    speech = speaker(server).speak(request(text))
    np.testing.assert_allclose(speech.samples, speech_of(text, server.rate), atol=1e-4)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("status 429 always", "status 429: .*as the test wants"),
        ("status 503 always", "status 503: "),
        ("slow always", "Request timed out"),
        ("drop always", "Connection error"),
    ],
)
def test_a_text_without_an_answer_is_unavailable_after_all_retries(
    server: SpeechServer, text: str, reason: str
) -> None:
    with pytest.raises(Unavailable, match=f"^no answer: {server.url}/v1, after 2 retries: {reason}"):
        speaker(server).speak(request(text))
    assert server.attempts[text] == 3


def test_a_refused_text_is_rejected_without_retries(server: SpeechServer) -> None:
    with pytest.raises(RejectedRow, match=f"^no answer: {server.url}/v1, status 400: .*as the test wants") as caught:
        speaker(server).speak(request("status 400 always"))
    assert type(caught.value) is RejectedRow
    assert server.attempts["status 400 always"] == 1


@pytest.mark.parametrize(("status", "error"), [(401, openai.AuthenticationError), (404, openai.NotFoundError)])
def test_a_wrong_key_or_model_fails_the_job(server: SpeechServer, status: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        speaker(server).speak(request(f"status {status} always"))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("html", "returned b'<!doctype html>.*, expected a WAV file"),
        ("empty", "returned b'', expected a WAV file"),
        ("cut", "returned b.RIFF.*, expected a WAV file"),
        ("short", "returned 0.004 s, expected at least 0.1 s of speech"),
        ("silence", r"returned silence \(peak 0\), expected speech"),
    ],
)
def test_an_answer_that_is_no_speech_is_rejected(server: SpeechServer, kind: str, reason: str) -> None:
    with pytest.raises(RejectedRow, match=f"^bad audio: {server.url}/v1 {reason}") as caught:
        speaker(server).speak(request(f"garbage {kind}"))
    assert type(caught.value) is RejectedRow


@pytest.mark.parametrize("settings", [{"reference": ReferenceClip(audio=b"", text="")}, {"voice": ""}])
def test_only_voices_by_name_are_spoken(server: SpeechServer, settings: Any) -> None:
    with pytest.raises(VoiceError, match="expected a request with a voice"):
        speaker(server).speak(request("Hello.", **settings))


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="got 5 and 0"):
        OpenAISpeakerConfig(base_url="http://x/v1", model="m", timeout_seconds=0)
