import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from typing import Any

import openai
import pytest

from data_pipeline.chat_client import ChatClient, Completion, EndpointConfig, RateLimiter, Sampling
from data_pipeline.records import RejectedRow, Unavailable
from tests.data_pipeline.chat_server import ChatServer, Reply, chat_server

GREEDY = Sampling(max_tokens=9)
FAST = {"retry-after-ms": "10"}


def client(server: ChatServer, **settings: Any) -> ChatClient:
    return ChatClient(EndpointConfig(base_url=server.url, model="m", timeout_seconds=0.5, retries=2, **settings))


def ask(chat: ChatClient, text: str = "hello") -> Completion:
    return chat.complete([{"role": "user", "content": text}], GREEDY)


def test_sampling_and_seed_are_sent() -> None:
    sampling = Sampling(max_tokens=5, temperature=0.6, top_p=0.9, thinking=True)
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    with chat_server(lambda *_: Reply(text="yes")) as server:
        assert client(server).complete(messages, sampling, seed=7) == Completion(text="yes", cut=False)
        ask(client(server, template_thinking=False))
    assert server.requests == [
        {
            "model": "m",
            "messages": messages,
            "max_tokens": 5,
            "temperature": 0.6,
            "top_p": 0.9,
            "seed": 7,
            "chat_template_kwargs": {"enable_thinking": True},
        },
        {"model": "m", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 9, "temperature": 0},
    ]


def test_a_thought_in_a_field_of_its_own_is_ignored() -> None:
    thoughts = {"reasoning_content": "secret", "reasoning": "secret"}
    with chat_server(lambda *_: Reply(text="yes", message=thoughts)) as server:
        assert ask(client(server)) == Completion(text="yes", cut=False)


def test_an_answer_that_reaches_the_limit_is_cut() -> None:
    with chat_server(lambda *_: Reply(text="I am", finish_reason="length")) as server:
        assert ask(client(server)) == Completion(text="I am", cut=True)


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}, (7, 3)),
        ({"prompt_tokens": 7}, (7, None)),
        ({"prompt_tokens": -1, "completion_tokens": "3"}, (None, None)),
        ([7, 3], (None, None)),
    ],
)
def test_tokens_are_those_that_the_server_counted(usage: object, counts: tuple[int | None, int | None]) -> None:
    with chat_server(lambda *_: Reply(text="yes", usage=usage)) as server:
        completion = ask(client(server))
    assert (completion.prompt_tokens, completion.completion_tokens) == counts


@pytest.mark.parametrize("wait", ["seconds", "date"])
def test_a_retry_waits_as_long_as_the_server_requests(wait: str) -> None:
    def respond(_: object, tries: int) -> Reply:
        after = "1" if wait == "seconds" else formatdate(time.time() + 2, usegmt=True)
        return Reply(status=429, headers={"Retry-After": after}) if tries == 1 else Reply(text="yes")

    with chat_server(respond) as server:
        assert ask(client(server)).text == "yes"
    first, second = server.times
    assert second - first >= 0.9


def test_retries_without_a_request_wait_longer_each_time() -> None:
    with (
        chat_server(lambda _, tries: Reply(status=500) if tries < 3 else Reply(text="yes")) as server,
    ):
        assert ask(client(server)).text == "yes"
    first, second, third = server.times
    assert 0.3 < second - first < third - second


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(status=429, headers=FAST), "after 2 retries: status 429: "),
        (Reply(status=503, headers=FAST), "after 2 retries: status 503: "),
        (Reply(drop=True), "after 2 retries: Connection error"),
        (Reply(text="late", delay=0.7), "after 2 retries: Request timed out"),
    ],
)
def test_a_server_that_does_not_answer_is_unavailable_after_all_retries(reply: Reply, reason: str) -> None:
    with (
        chat_server(lambda *_: reply) as server,
        pytest.raises(Unavailable, match=f"^no answer: {server.url}, {reason}"),
    ):
        ask(client(server))
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "body",
    [
        b"<html>busy</html>",
        b"",
        b"null",
        b"[]",
        b"\xff\xfe",
        b'{"choices": [{"message": {"content": "cut of',
        b'{"choices": null}',
        b'{"choices": [1]}',
        b'{"choices": [{"message": "text"}]}',
        b"[" * 100_000,
    ],
)
@pytest.mark.parametrize("content_type", ["application/json", "text/html"])
def test_garbage_instead_of_a_completion_is_unavailable(body: bytes, content_type: str) -> None:
    with (
        chat_server(lambda *_: Reply(body=body, headers={"Content-Type": content_type})) as server,
        pytest.raises(Unavailable, match=f"^no answer: {server.url} returned b.*expected a chat completion"),
    ):
        ask(client(server))


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(status=400), "no answer: .*status 400: .*as the test wants"),
        (Reply(body=b'{"choices": []}'), "no answer: .*returned no choice"),
        (Reply(message={"content": 5}), "no answer: .*returned content 5, expected text"),
        (Reply(message={"refusal": "I cannot help with that."}), "refused: I cannot help with that."),
        (Reply(text="", finish_reason="content_filter"), "refused: content_filter"),
    ],
)
def test_a_refused_request_is_rejected_without_retries(reply: Reply, reason: str) -> None:
    with chat_server(lambda *_: reply) as server, pytest.raises(RejectedRow, match=f"^{reason}") as raised:
        ask(client(server))
    assert raised.type is RejectedRow
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, openai.AuthenticationError), (403, openai.PermissionDeniedError), (404, openai.NotFoundError)],
)
def test_a_wrong_key_or_model_ends_the_job(status: int, error: type[Exception]) -> None:
    with chat_server(lambda *_: Reply(status=status)) as server:
        chat = client(server)
        with pytest.raises(error):
            chat.map(lambda text: ask(chat, text), ["a", "b"])


def test_items_are_mapped_in_order_and_rejected_alone() -> None:
    def use(number: int) -> int:
        if number == 3:
            raise RejectedRow("bad: three")
        time.sleep(0.01 * (5 - number))
        return number

    with chat_server(lambda *_: Reply()) as server:
        results = client(server).map(use, range(5))
    assert [str(result) for result in results] == ["0", "1", "2", "bad: three", "4"]


def test_concurrency_is_bounded_over_all_threads() -> None:
    with chat_server(lambda *_: Reply(text="yes", delay=0.03)) as server, ThreadPoolExecutor(3) as threads:
        chat = client(server, concurrency=4)
        for _ in threads.map(lambda name: chat.map(lambda i: ask(chat, f"{name}{i}"), range(8)), "abc"):
            pass
    assert len(server.requests) == 24
    assert 2 <= server.most_running <= 4


def test_the_rate_of_requests_is_bounded_with_retries_included() -> None:
    with chat_server(lambda _, tries: Reply(status=500, headers=FAST) if tries == 1 else Reply(text="yes")) as server:
        chat = client(server, requests_per_minute=1200)
        chat.map(lambda number: ask(chat, str(number)), range(5))
    assert len(server.requests) == 10
    assert max(server.times) - min(server.times) >= 9 * 0.05 - 0.02


def test_a_limiter_spaces_calls_and_allows_no_burst_after_a_pause() -> None:
    limiter = RateLimiter(3000)
    limiter.wait()
    time.sleep(0.1)
    start = time.monotonic()
    for _ in range(4):
        limiter.wait()
    assert time.monotonic() - start >= 3 * 0.02


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"concurrency": 0}, "got 0, 5 and 300"),
        ({"retries": -1}, "got 16, -1 and 300"),
        ({"requests_per_minute": 0}, "expected requests_per_minute > 0 or None, got 0"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EndpointConfig(base_url="http://x/v1", model="m", **settings)


@pytest.mark.parametrize("settings", [{"max_tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_impossible_sampling_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected max_tokens >= 1"):
        Sampling(**({"max_tokens": 1} | settings))
