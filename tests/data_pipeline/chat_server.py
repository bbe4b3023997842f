"""A server of OpenAI's chat completions whose answers a test decides."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the server sends. ``body`` as it is, else a completion with ``text`` as the content."""

    text: str | None = None
    status: int = 200
    finish_reason: str = "stop"
    message: dict[str, Any] = field(default_factory=dict)  # further fields of the message
    headers: dict[str, str] = field(default_factory=dict)
    usage: object = None
    body: bytes | None = None
    delay: float = 0  # seconds
    drop: bool = False  # the connection, without an answer

    def encoded(self) -> bytes:
        if self.body is not None:
            return self.body
        if self.status != 200:
            return json.dumps({"error": {"message": "as the test wants"}}).encode()
        message = {"role": "assistant", "content": self.text} | self.message
        choice = {"index": 0, "finish_reason": self.finish_reason, "message": message}
        completion = {"id": "x", "object": "chat.completion", "model": "m", "choices": [choice]}
        return json.dumps(completion if self.usage is None else completion | {"usage": self.usage}).encode()


Respond = Callable[[dict[str, Any], int], Reply]
"""The body of a request, and how often its last message has come → the reply."""


class ChatServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, respond: Respond) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.respond = respond
        self.requests: list[dict[str, Any]] = []
        self.times: list[float] = []  # when each came, in seconds
        self.keys: set[str] = set()
        self.tries: Counter[str] = Counter()
        self.running = self.most_running = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: ChatServer

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["messages"][-1]["content"]
        with server.lock:
            server.requests.append(body)
            server.times.append(time.monotonic())
            server.keys.add(self.headers["Authorization"])
            server.tries[prompt] += 1
            tries = server.tries[prompt]
            server.running += 1
            server.most_running = max(server.most_running, server.running)
        reply = server.respond(body, tries)
        time.sleep(reply.delay)
        with server.lock:
            server.running -= 1
        if reply.drop:
            self.connection.close()
            return
        data = reply.encoded()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(data))} | reply.headers
        try:
            self.send_response(reply.status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            pass  # the client did not wait

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def chat_server(respond: Respond) -> Iterator[ChatServer]:
    with ChatServer(respond) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()
