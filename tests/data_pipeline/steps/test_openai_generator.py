import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import openai
import pytest

from data_pipeline.records import RejectedRow, Unavailable
from data_pipeline.steps.openai_generator import OpenAIGenerator, OpenAIGeneratorConfig

SLOW = 1.5


class Endpoint(ThreadingHTTPServer):
    """Answers ``echo: <prompt>``; a prompt such as ``status 503 twice`` fails that often before."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.tries: Counter[str] = Counter()
        self.running = self.most_running = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["messages"][0]["content"]
        server = self.server
        with server.lock:
            server.requests.append(body)
            server.keys.add(self.headers["Authorization"])
            server.tries[prompt] += 1
            server.running += 1
            server.most_running = max(server.most_running, server.running)
        time.sleep(0.05)
        kind, _, rest = prompt.partition(" ")
        failures = {"once": 1, "twice": 2, "always": 10**9}.get(rest.split(" ")[-1], 0)
        failing = server.tries[prompt] <= failures
        with server.lock:
            server.running -= 1
        if kind == "status" and failing:
            self._send(int(rest.split(" ")[0]), {"error": {"message": "as the test wants"}})
        elif kind == "slow" and failing:
            time.sleep(SLOW)
            self._send(200, answer("too late"))
        elif kind == "drop" and failing:
            self.connection.close()
        elif kind == "nothing":
            self._send(200, answer(None) | {"choices": []})
        else:
            self._send(200, answer(f"echo: {prompt}"))

    def _send(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("retry-after-ms", "10")
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            pass  # the client did not wait

    def log_message(self, *_: Any) -> None:
        pass


def answer(text: str | None) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    return {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def generator(endpoint: Endpoint, **settings: Any) -> OpenAIGenerator:
    defaults = {"model": "m", "timeout_seconds": 0.5, "retries": 2}
    return OpenAIGenerator(OpenAIGeneratorConfig(base_url=endpoint.url, **(defaults | settings)))


def test_answers_come_in_the_order_of_the_prompts_from_concurrent_requests(endpoint: Endpoint) -> None:
    prompts = [f"prompt {number}" for number in range(24)]
    assert generator(endpoint, concurrency=6).generate(prompts) == [f"echo: {prompt}" for prompt in prompts]
    assert 3 <= endpoint.most_running <= 6


def test_answers_are_greedy_and_bounded_with_thinking_off(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    generator(endpoint, max_new_tokens=77).generate(["a"])
    generator(endpoint, template_thinking=False).generate(["b"])
    first, second = endpoint.requests
    expected = {"model": "m", "messages": [{"role": "user", "content": "a"}], "temperature": 0, "max_tokens": 77}
    assert first == expected | {"chat_template_kwargs": {"enable_thinking": False}}
    assert "chat_template_kwargs" not in second
    assert endpoint.keys == {"Bearer secret"}


@pytest.mark.parametrize(
    "prompt", ["status 429 once", "status 500 twice", "status 503 twice", "slow once", "drop once"]
)
def test_failures_are_retried(endpoint: Endpoint, prompt: str) -> None:
    assert generator(endpoint).generate([prompt]) == [f"echo: {prompt}"]


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("status 429 always", "after 2 retries: status 429: .*as the test wants"),
        ("status 503 always", "after 2 retries: status 503: "),
        ("slow always", "after 2 retries: Request timed out"),
        ("drop always", "after 2 retries: Connection error"),
    ],
)
def test_a_prompt_without_an_answer_is_rejected_alone_after_all_retries(
    endpoint: Endpoint, prompt: str, reason: str
) -> None:
    before, rejected, after = generator(endpoint).generate(["a", prompt, "b"])
    assert (before, after) == ("echo: a", "echo: b")
    assert isinstance(rejected, Unavailable)
    with pytest.raises(Unavailable, match=f"^no answer: {endpoint.url}, {reason}"):
        raise rejected
    assert endpoint.tries[prompt] == 3


@pytest.mark.parametrize(
    ("prompt", "reason"), [("status 400 always", "status 400: .*as the test wants"), ("nothing", "returned no choice")]
)
def test_a_refused_prompt_is_rejected_without_retries(endpoint: Endpoint, prompt: str, reason: str) -> None:
    (rejected,) = generator(endpoint).generate([prompt])
    assert type(rejected) is RejectedRow
    with pytest.raises(RejectedRow, match=f"^no answer: {endpoint.url},? {reason}"):
        raise rejected
    assert endpoint.tries[prompt] == 1


@pytest.mark.parametrize(("status", "error"), [(401, openai.AuthenticationError), (404, openai.NotFoundError)])
def test_a_wrong_key_or_model_fails_the_job(endpoint: Endpoint, status: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        generator(endpoint).generate(["a", f"status {status} always"])


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="got 0, 5, 120 and 1024"):
        OpenAIGeneratorConfig(base_url="http://x/v1", model="m", concurrency=0)
