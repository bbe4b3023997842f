"""A judge whose answers follow from the question and the seed, its server's log of requests, and questions for it."""

import hashlib
from typing import Any

from data_pipeline.chat_client import EndpointConfig
from evaluation.judges.judge import EndpointJudge
from evaluation.scores import Question
from tests.data_pipeline.chat_server import ChatServer, Reply

USAGE = {"prompt_tokens": 10, "completion_tokens": 5}
FAST = {"retry-after-ms": "5"}


def question(name: str, **fields: Any) -> Question:
    defaults = {"id": name, "item": name, "messages": ({"role": "user", "content": f"Rate {name}"},), "scale": "1-5"}
    return Question(**(defaults | {"max_tokens": 50} | fields))


def questions(count: int, **fields: Any) -> list[Question]:
    return [question(f"q{number}", **fields) for number in range(count)]


def rating(body: dict[str, Any]) -> int:
    """1 to 5, by the prompt and the seed of a request."""
    text = f"{body['messages'][-1]['content']} {body.get('seed')}"
    return hashlib.sha256(text.encode()).digest()[0] % 5 + 1


def rate(body: dict[str, Any], tries: int = 1) -> Reply:
    return Reply(text=f"It is kind.\nScore: {rating(body)}", usage=USAGE)


def faulty(body: dict[str, Any], tries: int) -> Reply:
    """What goes wrong depends on the question: each has its value in the end."""
    kind = int(body["messages"][-1]["content"].removeprefix("Rate q")) % 8
    answers: list[Reply] = {
        0: [Reply(status=429, headers=FAST)],
        1: [Reply(status=500, headers=FAST), Reply(status=503, headers=FAST)],
        2: [Reply(drop=True)],
        3: [Reply(text="It is neither good nor bad.", usage=USAGE)],
        4: [Reply(message={"refusal": "I cannot rate this."})],
        5: [Reply(text="Score: 1", finish_reason="length", usage=USAGE)],
        6: [Reply(text="<think>Score: 2", usage=USAGE)],
    }.get(kind, [])
    return answers[tries - 1] if tries <= len(answers) else rate(body)


def judge(server: ChatServer, **settings: Any) -> EndpointJudge:
    endpoint = {"concurrency": 4, "retries": 2, "timeout_seconds": 20.0} | settings
    seed = endpoint.pop("seed", 0)
    config = EndpointConfig(base_url=server.url, model="fake", template_thinking=False, **endpoint)
    return EndpointJudge(config, seed=seed)


def prompts(server: ChatServer) -> list[str]:
    return [body["messages"][-1]["content"].removeprefix("Rate ") for body in server.requests]
