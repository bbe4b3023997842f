"""Speech from a server with the HTTP API of CosyVoice's ``runtime/python/fastapi`` (CosyVoice 2: Du et al. 2024,
arXiv 2412.10117; CosyVoice 3: Du et al. 2025, arXiv 2505.17589)."""

import random
import time
from dataclasses import dataclass
from typing import Literal

import httpx
import numpy as np

from data_pipeline.records import RejectedRow, Unavailable
from data_pipeline.synthesis.protocols import ReferenceClip, Speech, SpeechRequest
from data_pipeline.synthesis.speakers.http_audio import check_speech
from data_pipeline.synthesis.speakers.voice import VoiceError
from opens2s_core.audio import SAMPLE_RATE, AudioError, decode_audio, encode_audio, resample

_OF_THE_JOB = (401, 403, 404, 405)
"""Status codes that every row would get: they end the job."""
_RETRIED = (408, 409, 429)
"""Status codes below 500 after which a request is sent again."""
_LONGEST_WAIT = 60.0
"""Seconds between two attempts at most, whatever the server requests."""
_LONGEST_REFERENCE = 30.0
"""Seconds. CosyVoice's speech tokenizer refuses longer clips."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CosyVoiceConfig:
    """``url`` is the server's root, ``version`` that of its model: CosyVoice 2 and 3 expect different prompts.

    ``rate`` is that of the raw samples it returns, in Hz. ``retries`` are made after status 408, 409, 429 or 5xx, a
    lost connection, or ``timeout_seconds`` without data, after ``backoff_seconds`` and then twice as long each time, or
    after the wait that the server requests.
    """

    url: str
    version: Literal[2, 3] = 3
    rate: int = 24_000
    retries: int = 5
    timeout_seconds: float = 120.0
    backoff_seconds: float = 0.5

    def __post_init__(self) -> None:
        if self.rate < 1 or self.retries < 0 or self.timeout_seconds <= 0 or self.backoff_seconds < 0:
            raise ValueError(
                "expected rate >= 1, retries >= 0, timeout_seconds > 0 and backoff_seconds >= 0, got "
                f"{self.rate}, {self.retries}, {self.timeout_seconds:g} and {self.backoff_seconds:g}"
            )


class CosyVoiceSpeaker:
    """A :class:`~data_pipeline.synthesis.protocols.Speaker` that clones the request's reference clip.

    A request without a tone keeps the emotion of the clip (``/inference_zero_shot``); one with a tone is spoken under
    that instruction (``/inference_instruct2``). How many requests run at once is the caller's choice. The server draws
    its own seeds, so the same request gives other samples each time.
    """

    def __init__(self, config: CosyVoiceConfig) -> None:
        self._config = config
        self._client = httpx.Client(timeout=config.timeout_seconds, limits=httpx.Limits(max_connections=None))

    @property
    def name(self) -> str:
        return f"CosyVoice {self._config.version}"

    def speak(self, request: SpeechRequest) -> Speech:
        """Raises :class:`VoiceError` for a request without a reference clip; :class:`RejectedRow` for a clip that
        cannot be read or is too long, and for an answer that is no speech; :class:`Unavailable` where there is no
        answer after all retries; httpx.HTTPStatusError for a status that every request would get."""
        if request.reference is None:
            raise VoiceError(f"CosyVoice clones a reference clip, got a request for voice {request.voice!r} alone")
        fields = {"tts_text": request.text}
        if request.tone:
            path = "/inference_instruct2"
            fields["instruct_text"] = self._instruction(f"Speak in a {request.tone} tone.")
        else:
            path = "/inference_zero_shot"
            fields["prompt_text"] = self._transcript(request.reference.text)
        url = self._config.url.rstrip("/") + path
        response = self._post(url, fields, _prompt_wav(request.reference))
        return self._speech(response, url)

    def _transcript(self, text: str) -> str:
        """As in the examples of each version."""
        return text if self._config.version == 2 else f"You are a helpful assistant.<|endofprompt|>{text}"

    def _instruction(self, text: str) -> str:
        return f"{text if self._config.version == 2 else f'You are a helpful assistant. {text}'}<|endofprompt|>"

    def _post(self, url: str, fields: dict[str, str], prompt_wav: bytes) -> httpx.Response:
        config = self._config
        for attempt in range(config.retries + 1):
            wait = config.backoff_seconds * 2**attempt * random.uniform(0.75, 1.25)
            try:
                response = self._client.post(
                    url, data=fields, files={"prompt_wav": ("prompt.wav", prompt_wav, "audio/wav")}
                )
            except httpx.RequestError as error:
                problem = str(error) or type(error).__name__
            else:
                code = response.status_code
                if response.is_success:
                    return response
                if code < 400 or code in _OF_THE_JOB:
                    response.raise_for_status()
                problem = f"status {code}: {response.text[:200]}"
                if code not in _RETRIED and code < 500:
                    raise RejectedRow(f"no answer: {url}, {problem}")
                requested = response.headers.get("Retry-After", "")
                wait = float(requested) if requested.isdigit() else wait
            if attempt < config.retries:
                time.sleep(min(wait, _LONGEST_WAIT))
        raise Unavailable(f"no answer: {url}, after {config.retries} retries: {problem}")

    def _speech(self, response: httpx.Response, url: str) -> Speech:
        data = response.content
        expected = f"expected raw 16-bit samples at {self._config.rate} Hz"
        if data.startswith(b"RIFF") or (any(data) and data.isascii()):
            kind = response.headers.get("Content-Type", "no content type")
            raise RejectedRow(f"bad audio: {url} returned {data[:40]!r} ({kind}), {expected}")
        if len(data) % 2:
            raise RejectedRow(f"bad audio: {url} returned {len(data)} bytes, {expected}")
        samples = np.frombuffer(data, "<i2").astype(np.float32) / 32768.0
        check_speech(samples, self._config.rate, url)
        return Speech(samples, self._config.rate)


def _prompt_wav(reference: ReferenceClip) -> bytes:
    """The clip as a 16 kHz WAV file, the rate of CosyVoice's speech tokenizer."""
    try:
        samples, rate = decode_audio(reference.audio)
    except AudioError as error:
        raise RejectedRow(f"bad reference: {error}") from error
    seconds = len(samples) / rate
    if not 0 < seconds <= _LONGEST_REFERENCE:
        raise RejectedRow(f"bad reference: expected up to {_LONGEST_REFERENCE:g} s of audio, got {seconds:.1f} s")
    return encode_audio(resample(samples, rate, SAMPLE_RATE), SAMPLE_RATE, container="wav")
