from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest

from data_pipeline.records import RejectedRow, Unavailable
from data_pipeline.synthesis.protocols import ReferenceClip, SpeechRequest
from data_pipeline.synthesis.speakers.cosyvoice import CosyVoiceConfig, CosyVoiceSpeaker
from data_pipeline.synthesis.speakers.voice import VoiceError
from opens2s_core.audio import decode_audio, encode_audio
from tests.data_pipeline.synthesis.speakers.servers import SpeechServer, pcm, speech_of

CLIP = speech_of("the reference", 16_000)
REFERENCE = ReferenceClip(audio=encode_audio(CLIP, 16_000), text="What the clip says.")


def speaker(server: SpeechServer, **settings: Any) -> CosyVoiceSpeaker:
    defaults = {"retries": 2, "timeout_seconds": 0.5, "backoff_seconds": 0.01}
    return CosyVoiceSpeaker(CosyVoiceConfig(url=server.url, **(defaults | settings)))


def request(text: str, **settings: Any) -> SpeechRequest:
    return SpeechRequest(text=text, **({"reference": REFERENCE} | settings))


def test_raw_samples_become_speech_at_the_configured_rate(server: SpeechServer) -> None:
    speech = speaker(server).speak(request("Hello there."))
    assert speech.rate == 24_000
    expected = np.frombuffer(pcm(speech_of("Hello there.", 24_000)), "<i2") / np.float32(32768)
    np.testing.assert_array_equal(speech.samples, expected)
    assert speaker(server, rate=22_050).speak(request("Hello there.")).rate == 22_050


@pytest.mark.parametrize(
    ("version", "transcript", "instruction"),
    [
        (2, "What the clip says.", "Speak in a warm and calm tone.<|endofprompt|>"),
        (
            3,
            "You are a helpful assistant.<|endofprompt|>What the clip says.",
            "You are a helpful assistant. Speak in a warm and calm tone.<|endofprompt|>",
        ),
    ],
)
def test_without_a_tone_the_clip_is_cloned_and_with_one_it_is_instructed(
    server: SpeechServer, version: Any, transcript: str, instruction: str
) -> None:
    speaker(server, version=version).speak(request("你好。", language="zh"))
    speaker(server, version=version).speak(request("Hello.", tone="warm and calm"))
    (clone_path, clone), (instruct_path, instruct) = server.requests
    clips = clone.pop("prompt_wav"), instruct.pop("prompt_wav")
    assert clone_path == "/inference_zero_shot"
    assert clone == {"tts_text": "你好。", "prompt_text": transcript}
    assert instruct_path == "/inference_instruct2"
    assert instruct == {"tts_text": "Hello.", "instruct_text": instruction}
    for clip in clips:
        assert clip.startswith(b"RIFF")
        samples, rate = decode_audio(clip)
        assert rate == 16_000
        np.testing.assert_allclose(samples, CLIP, atol=1e-4)


def test_threads_share_a_speaker(server: SpeechServer) -> None:
    texts = ["x" * count for count in range(1, 17)]
    shared = speaker(server, timeout_seconds=10)
    with ThreadPoolExecutor(8) as pool:
        clips = list(pool.map(lambda text: shared.speak(request(text)).samples, texts))
    for text, samples in zip(texts, clips, strict=True):
        np.testing.assert_allclose(samples, speech_of(text, 24_000), atol=1e-4)
    assert server.most_running > 1


@pytest.mark.parametrize(
    "text", ["status 429 once", "status 500 once", "status 503 twice", "slow once", "drop once", "cut twice"]
)
def test_failures_are_retried(server: SpeechServer, text: str) -> None:
    speech = speaker(server).speak(request(text))
    np.testing.assert_allclose(speech.samples, speech_of(text, 24_000), atol=1e-4)


def test_the_wait_that_the_server_requests_is_kept(server: SpeechServer) -> None:
    server.retry_after = "1"
    speaker(server, backoff_seconds=0).speak(request("status 429 once"))
    first, second = server.times
    assert 1.0 <= second - first < 3.0


def test_each_wait_is_longer_than_the_one_before(server: SpeechServer) -> None:
    with pytest.raises(Unavailable):
        speaker(server, backoff_seconds=0.1, retries=2).speak(request("status 500 always"))
    first, second, third = server.times
    assert 0.075 <= second - first < third - second


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("status 429 always", "status 429: .*as the test wants"),
        ("status 503 always", "status 503: "),
        ("slow always", "timed out"),
        ("drop always", ""),
        ("cut always", "peer closed connection"),
    ],
)
def test_a_text_without_an_answer_is_unavailable_after_all_retries(
    server: SpeechServer, text: str, reason: str
) -> None:
    with pytest.raises(Unavailable, match=f"^no answer: {server.url}/inference_zero_shot, after 2 retries: {reason}"):
        speaker(server).speak(request(text))
    assert server.attempts[text] == 3


def test_no_server_is_unavailable() -> None:
    config = CosyVoiceConfig(url="http://127.0.0.1:9", retries=1, backoff_seconds=0.01)
    with pytest.raises(Unavailable, match=r"^no answer: http://127.0.0.1:9/inference_zero_shot, after 1 retries: "):
        CosyVoiceSpeaker(config).speak(request("Hello."))


def test_a_refused_text_is_rejected_without_retries(server: SpeechServer) -> None:
    with pytest.raises(RejectedRow, match=f"^no answer: {server.url}/inference_zero_shot, status 400: ") as caught:
        speaker(server).speak(request("status 400 always"))
    assert type(caught.value) is RejectedRow
    assert server.attempts["status 400 always"] == 1


@pytest.mark.parametrize("status", [307, 401, 403, 404])
def test_a_status_that_every_request_gets_fails_the_job(server: SpeechServer, status: int) -> None:
    with pytest.raises(httpx.HTTPStatusError, match=f"{status}.*{server.url}"):
        speaker(server).speak(request(f"status {status} always"))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("html", r"returned b'<!doctype html>.*\(text/html\), expected raw 16-bit samples at 24000 Hz"),
        ("wav", r"returned b.RIFF.*, expected raw 16-bit samples at 24000 Hz"),
        ("odd", "returned 24001 bytes, expected raw 16-bit samples"),
        ("empty", "returned 0.000 s, expected at least 0.1 s of speech"),
        ("short", "returned 0.004 s, expected at least 0.1 s of speech"),
        ("silence", r"returned silence \(peak 0\), expected speech"),
    ],
)
def test_an_answer_that_is_no_speech_is_rejected(server: SpeechServer, kind: str, reason: str) -> None:
    with pytest.raises(RejectedRow, match=f"^bad audio: {server.url}/inference_zero_shot {reason}") as caught:
        speaker(server).speak(request(f"garbage {kind}"))
    assert type(caught.value) is RejectedRow


def test_a_request_without_a_clip_is_an_error(server: SpeechServer) -> None:
    with pytest.raises(VoiceError, match="clones a reference clip, got a request for voice 'slt' alone"):
        speaker(server).speak(SpeechRequest(text="Hello.", voice="slt"))


@pytest.mark.parametrize(
    ("audio", "reason"),
    [
        (b"no audio", "bad reference: "),
        (encode_audio(np.zeros(31 * 8000, np.float32), 8000), "bad reference: expected up to 30 s of audio, got 31.0"),
    ],
    ids=["unreadable", "long"],
)
def test_a_clip_that_cannot_be_cloned_is_rejected_before_any_request(
    server: SpeechServer, audio: bytes, reason: str
) -> None:
    with pytest.raises(RejectedRow, match=f"^{reason}"):
        speaker(server).speak(request("Hello.", reference=ReferenceClip(audio=audio, text="Hi.")))
    assert server.requests == []


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got 24000, -1, 120 and 0.5"):
        CosyVoiceConfig(url="http://x", retries=-1)
