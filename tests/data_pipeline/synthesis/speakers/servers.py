"""A server that speaks the HTTP APIs of CosyVoice and of OpenAI's speech, with failures that the text asks for."""

import json
import threading
import time
from collections import Counter
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from opens2s_core.audio import encode_audio

SLOW = 1.0
"""Seconds: longer than the timeout of the tests."""
FAILURES = {"once": 1, "twice": 2, "always": 10**9}
HTML = b"<!doctype html><html><body>Sign in to continue.</body></html>"


def speech_of(text: str, rate: int) -> np.ndarray:
    """The samples that the server returns for a text: half a second of a tone whose pitch depends on the text."""
    hertz = 200 + len(text)
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(rate // 2) / rate)).astype(np.float32)


def pcm(samples: np.ndarray) -> bytes:
    return np.round(samples * 32767).astype("<i2").tobytes()


def form_fields(content_type: str, body: bytes) -> dict[str, Any]:
    """The fields of a multipart form; files as bytes."""
    parts = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body).iter_parts()
    fields: dict[str, Any] = {}
    for part in parts:
        data = part.get_payload(decode=True)
        name = part.get_param("name", header="content-disposition")
        fields[name] = data if part.get_filename() else data.decode()
    return fields


class SpeechServer(ThreadingHTTPServer):
    """The text ``status 503 twice`` fails that often before it is spoken; ``slow once``, ``drop always`` and ``garbage
    html`` alike."""

    daemon_threads = True

    def __init__(self, rate: int = 24_000) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.rate = rate
        self.requests: list[tuple[str, dict[str, Any]]] = []  # path and fields
        self.keys: set[str | None] = set()
        self.attempts: Counter[str] = Counter()
        self.times: list[float] = []
        self.retry_after = ""
        self.running = self.most_running = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: SpeechServer

    def do_POST(self) -> None:
        server = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        is_openai = self.path == "/v1/audio/speech"
        fields = json.loads(body) if is_openai else form_fields(self.headers["Content-Type"], body)
        text = fields["input" if is_openai else "tts_text"]
        with server.lock:
            server.requests.append((self.path, fields))
            server.keys.add(self.headers["Authorization"])
            server.times.append(time.monotonic())
            server.attempts[text] += 1
            fails = server.attempts[text] <= FAILURES.get(text.split(" ")[-1], 0)
            server.running += 1
            server.most_running = max(server.most_running, server.running)
        time.sleep(0.02)
        with server.lock:
            server.running -= 1
        kind, _, rest = text.partition(" ")
        if kind == "status" and fails:
            self._send(int(rest.split(" ")[0]), b'{"error": {"message": "as the test wants"}}', "application/json")
        elif kind == "slow" and fails:
            time.sleep(SLOW)
            self._send(200, b"too late", "text/plain")
        elif kind == "drop" and fails:
            self.connection.close()
        elif kind == "cut" and fails:
            self._send(200, bytes(1000), "audio/wav", length=5000)
        elif kind == "garbage":
            self._send(200, self._garbage(rest, is_openai), "text/html" if rest == "html" else "audio/wav")
        else:
            data = self._encode(speech_of(text, server.rate), is_openai)
            if kind == "open":  # as a server that streams: RIFF and data chunks of unknown length
                data = data[:4] + b"\xff" * 4 + data[8:40] + b"\xff" * 4 + data[44:]
            self._send(200, data, "audio/wav")

    def _encode(self, samples: np.ndarray, is_openai: bool) -> bytes:
        return encode_audio(samples, self.server.rate, container="wav") if is_openai else pcm(samples)

    def _garbage(self, kind: str, is_openai: bool) -> bytes:
        silence = np.zeros(self.server.rate, np.float32)
        return {
            "html": HTML,
            "empty": b"",
            "cut": self._encode(speech_of("", self.server.rate), is_openai)[:5001],
            "short": self._encode(speech_of("", self.server.rate)[:100], is_openai),
            "silence": self._encode(silence, is_openai),
            "odd": pcm(speech_of("", self.server.rate)) + b"\x7f",
            "wav": encode_audio(speech_of("", self.server.rate), self.server.rate, container="wav"),
        }[kind]

    def _send(self, status: int, data: bytes, content_type: str, length: int | None = None) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(data) if length is None else length))
            if self.server.retry_after and status != 200:
                self.send_header("Retry-After", self.server.retry_after)
            elif self.path.startswith("/v1"):
                self.send_header("retry-after-ms", "10")
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            pass  # the client did not wait
        if length is not None:
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass
