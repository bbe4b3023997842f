"""An endpoint with OpenAI's chat completions whose replies a test decides, down to the bytes."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from numpy.typing import NDArray

MODELS = [{"id": "first", "object": "model"}, {"id": "other", "object": "model"}]


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What the server sends: the body after ``delay`` seconds. With ``cut`` the connection ends before its end."""

    body: bytes
    status: int = 200
    type: str = "application/json"
    delay: float = 0.0
    cut: bool = False


def completion(text: str, audio: bytes = b"") -> Sent:
    """Not streamed; ``audio`` is a file."""
    message: dict[str, Any] = {"role": "assistant", "content": None if audio else text}
    if audio:
        message["audio"] = {"id": "audio-1", "transcript": text, "data": base64.b64encode(audio).decode()}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return Sent(body=json.dumps({"object": "chat.completion", "choices": [choice]}).encode())


def stream(*deltas: Mapping[str, Any], end: bool = True, delay: float = 0.0) -> Sent:
    events = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    lines = [f"data: {json.dumps(event)}\n\n" for event in events] + (["data: [DONE]\n\n"] if end else [])
    return Sent(body="".join(lines).encode(), type="text/event-stream; charset=utf-8", delay=delay)


def pcm(samples: NDArray[np.float32]) -> str:
    return base64.b64encode(np.rint(samples * 32767).astype("<i2").tobytes()).decode()


def refusal(status: int, message: str = "as the test wants") -> Sent:
    return Sent(body=json.dumps({"error": {"message": message}}).encode(), status=status)


Respond = Callable[[dict[str, Any]], Sent]


@dataclass
class ChatEndpoint:
    """``respond`` makes the reply to the body of a request. With a ``key`` requests with another one are refused."""

    respond: Respond
    models: Sent = field(default_factory=lambda: Sent(body=json.dumps({"object": "list", "data": MODELS}).encode()))
    key: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    running: int = 0
    most_running: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def serving(self) -> Iterator[str]:
        """The address, without ``/v1``."""
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._send(endpoint.models if self._has_key() else refusal(401))

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["content-length"]))
                is_json = self.headers["content-type"] == "application/json"
                body = json.loads(data) if is_json else {"form": data.decode("latin-1")}
                if not self._has_key():
                    return self._send(refusal(401))
                with endpoint.lock:
                    endpoint.requests.append(body)
                    endpoint.running += 1
                    endpoint.most_running = max(endpoint.most_running, endpoint.running)
                try:
                    return self._send(endpoint.respond(body))
                finally:
                    with endpoint.lock:
                        endpoint.running -= 1

            def _has_key(self) -> bool:
                return not endpoint.key or self.headers["authorization"] == f"Bearer {endpoint.key}"

            def _send(self, sent: Sent) -> None:
                time.sleep(sent.delay)
                self.send_response(sent.status)
                self.send_header("content-type", sent.type)
                self.send_header("content-length", str(len(sent.body) + sent.cut))
                self.send_header("connection", "close")
                self.end_headers()
                with suppress(ConnectionError):  # the client may be gone
                    self.wfile.write(sent.body)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()


def last_text(body: Mapping[str, Any]) -> str:
    """The text of the last message of the user."""
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
