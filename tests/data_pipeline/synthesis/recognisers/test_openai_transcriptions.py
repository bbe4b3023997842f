import email
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import openai
import pytest

from data_pipeline.records import RejectedRow, Unavailable
from data_pipeline.synthesis.protocols import Speech
from data_pipeline.synthesis.recognisers.openai_transcriptions import OpenAITranscriptions, OpenAITranscriptionsConfig
from opens2s_core.audio import decode_audio

RATE = 8_000
SLOW = 1.0


def beeps(count: int) -> Speech:
    """A clip of ``count`` tenths of a second."""
    return Speech(np.sin(np.arange(count * RATE // 10, dtype=np.float32) * 0.3) / 2, RATE)


class Endpoint(ThreadingHTTPServer):
    """Answers with the number of tenths of a second in a clip. The first ``failures`` requests fail by ``kind``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.kind = ""
        self.failures = 0
        self.requests: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        fields = form_fields(self.headers["Content-Type"], body)
        with self.server.lock:
            self.server.requests.append(fields | {"path": self.path})
            self.server.keys.add(self.headers["Authorization"])
            failing = len(self.server.requests) <= self.server.failures
        kind, _, detail = self.server.kind.partition(" ")
        if not failing:
            samples, rate = decode_audio(fields["file"])
            self._send(200, json.dumps({"text": f"{len(samples) * 10 // rate} beeps"}))
        elif kind == "status":
            self._send(int(detail), json.dumps({"error": {"message": "as the test wants"}}))
        elif kind == "slow":
            time.sleep(SLOW)
            self._send(200, json.dumps({"text": "too late"}))
        elif kind == "drop":
            self.connection.close()
        elif kind == "json":
            self._send(200, detail)
        elif kind == "html":
            self._send(200, detail, "text/html")

    def _send(self, status: int, body: str, content_type: str = "application/json") -> None:
        data = body.encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("retry-after-ms", "10")
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            pass  # the client did not wait

    def log_message(self, *_: Any) -> None:
        pass


def form_fields(content_type: str, body: bytes) -> dict[str, Any]:
    message = email.message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    fields: dict[str, Any] = {}
    for part in message.get_payload():
        assert isinstance(part, email.message.Message)
        value = part.get_payload(decode=True)
        assert isinstance(value, bytes)
        name = str(part.get_param("name", header="content-disposition"))
        fields[name] = value if name == "file" else value.decode()
    return fields


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def recogniser(endpoint: Endpoint) -> OpenAITranscriptions:
    config = OpenAITranscriptionsConfig(base_url=endpoint.url, model="m", retries=2, timeout_seconds=0.4)
    return OpenAITranscriptions(config)


def test_clips_of_several_threads_get_their_own_transcripts(endpoint: Endpoint) -> None:
    opened = recogniser(endpoint)
    with ThreadPoolExecutor(4) as pool:
        transcripts = pool.map(lambda count: opened.transcribe(beeps(count), "en"), range(1, 9))
        assert list(transcripts) == [f"{count} beeps" for count in range(1, 9)]


def test_a_request_has_the_model_the_language_and_the_key(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    recogniser(endpoint).transcribe(beeps(2), "zh")
    (request,) = endpoint.requests
    samples, rate = decode_audio(request.pop("file"))
    assert request == {
        "path": "/v1/audio/transcriptions",
        "model": "m",
        "language": "zh",
        "response_format": "json",
        "temperature": "0.0",
    }
    assert rate == RATE
    np.testing.assert_allclose(samples, beeps(2).samples, atol=1e-4)
    assert endpoint.keys == {"Bearer secret"}


@pytest.mark.parametrize(
    ("kind", "failures"), [("status 429", 1), ("status 500", 2), ("status 503", 2), ("slow", 1), ("drop", 1)]
)
def test_failures_are_retried(endpoint: Endpoint, kind: str, failures: int) -> None:
    endpoint.kind, endpoint.failures = kind, failures
    assert recogniser(endpoint).transcribe(beeps(3), "en") == "3 beeps"
    assert len(endpoint.requests) == failures + 1


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("status 429", "after 2 retries: status 429: .*as the test wants"),
        ("status 503", "after 2 retries: status 503: "),
        ("slow", "after 2 retries: Request timed out"),
        ("drop", "after 2 retries: Connection error"),
    ],
)
def test_a_server_without_an_answer_after_all_retries_is_unavailable(
    endpoint: Endpoint, kind: str, reason: str
) -> None:
    endpoint.kind, endpoint.failures = kind, 10**9
    with pytest.raises(Unavailable, match=f"^no transcript: {endpoint.url}, {reason}"):
        recogniser(endpoint).transcribe(beeps(1), "en")
    assert len(endpoint.requests) == 3


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("status 400", "status 400: .*as the test wants"),
        ("json {", "'{', expected JSON with a text"),
        ("json []", r".*\[\].*, expected JSON with a text"),
        ('json {"text": null}', "expected JSON with a text"),
        ('json {"text": 7}', "expected JSON with a text"),
        ('json {"words": "hello"}', "expected JSON with a text"),
        ("html <b>Bad gateway</b>", "'<b>Bad gateway</b>', expected JSON with a text"),
    ],
)
def test_a_refused_clip_and_an_answer_without_a_transcript_are_rejected_at_once(
    endpoint: Endpoint, kind: str, reason: str
) -> None:
    endpoint.kind, endpoint.failures = kind, 10**9
    with pytest.raises(RejectedRow, match=f"^no transcript: {endpoint.url}.*{reason}") as raised:
        recogniser(endpoint).transcribe(beeps(1), "en")
    assert type(raised.value) is RejectedRow
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(("status", "error"), [(401, openai.AuthenticationError), (404, openai.NotFoundError)])
def test_a_wrong_key_or_model_fails_the_job(endpoint: Endpoint, status: int, error: type[Exception]) -> None:
    endpoint.kind, endpoint.failures = f"status {status}", 10**9
    with pytest.raises(error):
        recogniser(endpoint).transcribe(beeps(1), "en")


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="got -1 and 120"):
        OpenAITranscriptionsConfig(base_url="http://x/v1", model="m", retries=-1)
