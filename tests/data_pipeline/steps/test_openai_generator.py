from collections.abc import Iterator
from typing import Any

import openai
import pytest

from data_pipeline.records import RejectedRow, Unavailable
from data_pipeline.steps.openai_generator import OpenAIGenerator, OpenAIGeneratorConfig
from tests.data_pipeline.chat_server import ChatServer, Reply, chat_server

SLOW = 1.5


def respond(body: dict[str, Any], tries: int) -> Reply:
    """``echo: <prompt>``; a prompt such as ``status 503 twice`` fails that often before."""
    prompt = body["messages"][0]["content"]
    kind, _, rest = prompt.partition(" ")
    failing = tries <= {"once": 1, "twice": 2, "always": 10**9}.get(rest.split(" ")[-1], 0)
    if kind == "status" and failing:
        return Reply(status=int(rest.split(" ")[0]), headers={"retry-after-ms": "10"})
    if kind == "nothing":
        return Reply(body=b'{"choices": []}')
    slow = kind == "slow" and failing
    return Reply(text=f"echo: {prompt}", delay=SLOW if slow else 0.05, drop=kind == "drop" and failing)


@pytest.fixture
def endpoint() -> Iterator[ChatServer]:
    with chat_server(respond) as server:
        yield server


def generator(endpoint: ChatServer, **settings: Any) -> OpenAIGenerator:
    defaults = {"model": "m", "timeout_seconds": 0.5, "retries": 2}
    return OpenAIGenerator(OpenAIGeneratorConfig(base_url=endpoint.url, **(defaults | settings)))


def test_answers_come_in_the_order_of_the_prompts_from_concurrent_requests(endpoint: ChatServer) -> None:
    prompts = [f"prompt {number}" for number in range(24)]
    assert generator(endpoint, concurrency=6).generate(prompts) == [f"echo: {prompt}" for prompt in prompts]
    assert 3 <= endpoint.most_running <= 6


def test_answers_are_greedy_and_bounded_with_thinking_off(
    endpoint: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
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
def test_failures_are_retried(endpoint: ChatServer, prompt: str) -> None:
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
    endpoint: ChatServer, prompt: str, reason: str
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
def test_a_refused_prompt_is_rejected_without_retries(endpoint: ChatServer, prompt: str, reason: str) -> None:
    (rejected,) = generator(endpoint).generate([prompt])
    assert type(rejected) is RejectedRow
    with pytest.raises(RejectedRow, match=f"^no answer: {endpoint.url},? {reason}"):
        raise rejected
    assert endpoint.tries[prompt] == 1


@pytest.mark.parametrize(("status", "error"), [(401, openai.AuthenticationError), (404, openai.NotFoundError)])
def test_a_wrong_key_or_model_fails_the_job(endpoint: ChatServer, status: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        generator(endpoint).generate(["a", f"status {status} always"])


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="got 0, 5, 120 and 1024"):
        OpenAIGeneratorConfig(base_url="http://x/v1", model="m", concurrency=0)
