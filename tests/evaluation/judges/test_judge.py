from typing import Any

import openai
import pytest

from evaluation.judges.judge import EndpointJudge, open_judge
from evaluation.scores import Judgement
from tests.data_pipeline.chat_server import Reply, chat_server
from tests.evaluation.judges.fake_judge import FAST, USAGE, judge, question

ASKED = question("q0", samples=3, temperature=0.5, top_p=0.95, max_tokens=7)


def test_a_request_is_made_as_the_question_requires() -> None:
    with chat_server(lambda *_: Reply(text="Score: 4", usage=USAGE)) as server:
        found = judge(server, seed=100).ask(ASKED, 2)
    assert found == Judgement(
        question="q0",
        sample=2,
        judge="fake",
        text="Score: 4",
        value=4,
        seed=102,
        prompt_tokens=10,
        completion_tokens=5,
    )
    assert server.requests == [
        {
            "model": "fake",
            "messages": [{"role": "user", "content": "Rate q0"}],
            "temperature": 0.5,
            "top_p": 0.95,
            "max_tokens": 7,
            "seed": 102,
        }
    ]


@pytest.mark.parametrize(
    ("reply", "tokens"),
    [
        (Reply(text="I do not know.", usage=USAGE), (20, 10)),
        (Reply(text="Score: 9", usage=USAGE), (20, 10)),
        (Reply(text="Score: 4", finish_reason="length", usage=USAGE), (20, 10)),
        (Reply(message={"refusal": "No."}), (16, 5)),  # 6 estimated: 2 of the prompt, 4 of its markup
    ],
)
def test_an_answer_without_a_value_is_requested_again_with_a_new_seed(reply: Reply, tokens: tuple[int, int]) -> None:
    with chat_server(lambda _, tries: reply if tries == 1 else Reply(text="Score: 4", usage=USAGE)) as server:
        found = judge(server).ask(ASKED, 1)
    assert (found.value, found.error, found.text, found.seed) == (4, "", "Score: 4", 4)
    assert (found.prompt_tokens, found.completion_tokens) == tokens
    assert [body["seed"] for body in server.requests] == [1, 4]


def test_no_two_attempts_of_a_question_have_the_same_seed() -> None:
    with chat_server(lambda *_: Reply(text="?")) as server:
        for sample in range(ASKED.samples):
            judge(server, seed=5).ask(ASKED, sample)
    assert sorted(body["seed"] for body in server.requests) == list(range(5, 14))


@pytest.mark.parametrize(
    ("reply", "text", "error", "requests"),
    [
        (Reply(text="I do not know."), "I do not know.", "no value: 'I do not know.', expected a number of 1 to 5", 3),
        (Reply(text="6"), "6", "out of range: 6, expected a number of 1 to 5", 3),
        (Reply(text=""), "", "no value: '', expected", 3),
        (Reply(text="Score: 4", finish_reason="length"), "Score: 4", "truncated: the answer ends at 7 tokens; no", 3),
        (Reply(text="A", finish_reason="content_filter"), "", "refused: content_filter", 3),
        (Reply(status=400), "", "no answer: http", 1),
        (Reply(status=503, headers=FAST), "", "no answer: http", 3),
        (Reply(body=b"<html>busy</html>"), "", "no answer: http", 1),
    ],
)
def test_what_stays_without_a_value_is_an_error(reply: Reply, text: str, error: str, requests: int) -> None:
    with chat_server(lambda *_: reply) as server:
        found = judge(server).ask(ASKED, 0)
    assert (found.value, found.text) == (None, text)
    assert found.error.startswith(error)
    assert len(server.requests) == requests


def test_a_cut_answer_counts_where_its_value_is_not_what_was_cut() -> None:
    with chat_server(lambda *_: Reply(text="Score: 4\nIt is ki", finish_reason="length")) as server:
        assert judge(server).ask(ASKED, 0).value == 4


def test_a_number_that_may_be_cut_is_no_value() -> None:
    with chat_server(lambda *_: Reply(text="Score: 8", finish_reason="length")) as server:
        assert judge(server).ask(question("q0", scale="0-100"), 0).value is None


def test_tokens_that_the_server_does_not_count_are_estimated() -> None:
    with chat_server(lambda *_: Reply(text="Score: 4")) as server:
        found = judge(server).ask(ASKED, 0)
    assert (found.prompt_tokens, found.completion_tokens) == (4 + 2, 2)  # "Rate q0" and "Score: 4": 4 characters each


def test_a_wrong_key_ends_the_job() -> None:
    with chat_server(lambda *_: Reply(status=401)) as server, pytest.raises(openai.AuthenticationError):
        judge(server).ask(ASKED, 0)


def test_a_judge_is_opened_by_its_address_and_model() -> None:
    with chat_server(lambda *_: Reply(text="5")) as server:
        opened = open_judge(f"openai:{server.url}#org/model:1", seed=3)
        assert isinstance(opened, EndpointJudge)
        assert (opened.name, opened.ask(ASKED, 0).value) == ("org/model:1", 5)
    assert [(body["model"], body["seed"]) for body in server.requests] == [("org/model:1", 3)]


@pytest.mark.parametrize("spec", ["", "openai", "openai:", "openai:http://x/v1", "openai:#m", "openai:x#m", "gpt#m"])
def test_another_text_is_no_judge(spec: str) -> None:
    with pytest.raises(ValueError, match=r"^unknown judge .*expected openai:URL#MODEL$"):
        open_judge(spec)


def test_a_judge_has_an_attempt() -> None:
    settings: dict[str, Any] = {"base_url": "http://x/v1", "model": "m"}
    from data_pipeline.chat_client import EndpointConfig

    with pytest.raises(ValueError, match="expected attempts >= 1, got 0"):
        EndpointJudge(EndpointConfig(**settings), attempts=0)
