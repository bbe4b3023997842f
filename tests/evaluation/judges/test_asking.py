import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest

from data_pipeline.progress import Passed
from evaluation.jsonl import read_rows
from evaluation.judges.asking import (
    BudgetReached,
    JudgeUnavailable,
    collect_judgements,
    describe_failures,
    latest,
)
from evaluation.judges.costs import Budget, Prices
from evaluation.scores import Judgement
from tests.data_pipeline.chat_server import Reply, chat_server
from tests.evaluation.judges.fake_judge import FAST, faulty, judge, prompts, question, questions, rate, rating

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "judgements.jsonl"


def values(judgements: list[Judgement]) -> dict[tuple[str, int], float | None]:
    return {(judgement.question, judgement.sample): judgement.value for judgement in judgements}


def test_all_samples_are_collected_in_order_and_written(path: Path) -> None:
    with chat_server(lambda body, _: replace(rate(body), delay=0.02 * (body["seed"] % 2))) as server:
        found = collect_judgements(judge(server), questions(5, samples=3), path)
    assert [(row.question, row.sample) for row in found] == [(f"q{i}", sample) for i in range(5) for sample in range(3)]
    assert sorted(read_rows(path, Judgement), key=lambda row: (row.question, row.sample)) == found
    expected = [
        rating({"messages": [{"content": f"Rate q{i}"}], "seed": sample}) for i in range(5) for sample in range(3)
    ]
    assert [row.value for row in found] == expected
    assert 2 <= server.most_running <= 4


def test_a_faulty_judge_gives_all_values_in_the_end(path: Path) -> None:
    with chat_server(faulty) as server:
        found = collect_judgements(judge(server), questions(24), path)
    assert all(row.value is not None and not row.error for row in found)
    assert describe_failures(found) == ""
    assert max(Counter(prompts(server)).values()) == 3


def test_finished_judgements_are_not_asked_for_again(path: Path) -> None:
    with chat_server(rate) as server:
        first = collect_judgements(judge(server), questions(4), path)
        again = collect_judgements(judge(server), questions(6), path)
    assert again[:4] == first
    assert Counter(prompts(server)) == Counter([f"q{number}" for number in range(6)])


def test_those_of_another_judge_do_not_count(path: Path) -> None:
    with chat_server(rate) as server:
        collect_judgements(judge(server), questions(2), path)
        path.write_text(path.read_text().replace('"fake"', '"other"'))
        collect_judgements(judge(server), questions(2), path)
    assert len(server.requests) == 4
    assert Counter(row.judge for row in read_rows(path, Judgement)) == {"other": 2, "fake": 2}


def test_failures_are_reported_and_asked_for_again_at_the_next_start(path: Path) -> None:
    def respond(body: dict[str, Any], tries: int) -> Reply:
        return Reply(text="I do not know.") if prompts(server)[-1] == "q1" and not works else rate(body)

    works = False
    with chat_server(respond) as server:
        one = judge(server, concurrency=1)
        found = collect_judgements(one, questions(3), path)
        assert [row.value is None for row in found] == [False, True, False]
        assert describe_failures(found) == (
            "1 of 3 judgements failed (no value: 1); the first, question 'q1' sample 0: no value: 'I do not know.', "
            "expected a number of 1 to 5"
        )
        works = True
        server.requests.clear()
        again = collect_judgements(one, questions(3), path)
    assert prompts(server) == ["q1"]
    assert (again[0], again[2]) == (found[0], found[2])
    assert again[1].value is not None
    assert [row.question for row in read_rows(path, Judgement)] == ["q0", "q1", "q2", "q1"]
    assert latest(read_rows(path, Judgement))["q1", 0] == again[1]


def test_questions_with_one_id_are_refused(path: Path) -> None:
    with chat_server(rate) as server, pytest.raises(ValueError, match="question 'q0' is there more than once"):
        collect_judgements(judge(server), [*questions(2), question("q0")], path)
    assert server.requests == []


def test_progress_counts_what_is_finished_and_what_failed(path: Path) -> None:
    calls: list[object] = []

    @contextmanager
    def progress(rows: int, done: int) -> Iterator[Callable[[Passed], None]]:
        calls.append((rows, done))
        yield calls.append

    with chat_server(lambda body, _: Reply(text="?") if "q2" in str(body) else rate(body)) as server:
        collect_judgements(judge(server), questions(1), path)
        collect_judgements(judge(server, concurrency=1), questions(3), path, progress=progress)
    assert calls == [
        (3, 1),
        Passed(rows=1, rejected=0, audio_samples=0),
        Passed(rows=1, rejected=1, audio_samples=0),
    ]


def test_a_judge_that_does_not_answer_ends_the_job(path: Path) -> None:
    def respond(body: dict[str, Any], _: int) -> Reply:
        return rate(body) if "q0" in str(body) else Reply(status=503, headers=FAST)

    with (
        chat_server(respond) as server,
        pytest.raises(JudgeUnavailable, match=r"^judge fake: 6 questions in a row got no answer, .*status 503"),
    ):
        collect_judgements(judge(server, concurrency=2, retries=0), questions(40), path)
    assert len(server.requests) <= 5 + 1 + 6 + 1  # where q0 is answered late, counting starts again after five
    assert [row.question for row in read_rows(path, Judgement) if row.value is not None] == ["q0"]


def test_a_wrong_key_ends_the_job_and_keeps_what_was_finished(path: Path) -> None:
    with (
        chat_server(lambda body, _: rate(body) if prompts(server)[-1] != "q2" else Reply(status=401)) as server,
        pytest.raises(openai.AuthenticationError),
    ):
        collect_judgements(judge(server, concurrency=1), questions(9), path)
    assert prompts(server) == ["q0", "q1", "q2"]
    assert [row.question for row in read_rows(path, Judgement)] == ["q0", "q1"]


def used(path: Path) -> int:
    return sum(row.prompt_tokens + row.completion_tokens for row in read_rows(path, Judgement))


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize(
    ("budget", "shown"),
    [
        (Budget(tokens=700), "700 tokens"),
        (Budget(cost=0.007, prices=Prices(prompt=10, completion=10)), "0.007 USD"),
    ],
)
def test_a_budget_is_not_exceeded_and_all_of_it_can_be_used(
    path: Path, budget: Budget, shown: str, concurrency: int
) -> None:
    with chat_server(rate) as server:
        one = judge(server, concurrency=concurrency)
        with pytest.raises(BudgetReached, match=f"^the budget of {shown} allows no further question: ") as raised:
            collect_judgements(one, questions(100), path, budget)
        count = len(server.requests)
        # A question may need three answers of 50 tokens and three prompts of at most 79.
        assert 700 - 3 * (50 + 79 + 1) <= used(path) == 15 * count <= 700
        assert f"{used(path)} tokens are used, {100 - count} judgements are left" in str(raised.value)
        with pytest.raises(BudgetReached):
            collect_judgements(one, questions(100), path, budget)
        assert len(server.requests) == count
        assert len(collect_judgements(one, questions(100), path, Budget(tokens=10_000))) == 100
    assert len(server.requests) == 100


def test_failed_answers_count_in_the_budget(path: Path) -> None:
    answer = Reply(text="?", usage={"prompt_tokens": 60, "completion_tokens": 40})
    with chat_server(lambda *_: answer) as server, pytest.raises(BudgetReached):
        collect_judgements(judge(server, concurrency=3), questions(50), path, Budget(tokens=1000))
    assert used(path) == 100 * len(server.requests) <= 1000
    assert len(server.requests) % 3 == 0


def test_a_budget_that_suffices_does_not_stop(path: Path) -> None:
    with chat_server(rate) as server:
        assert len(collect_judgements(judge(server), questions(3), path, Budget(tokens=500))) == 3


def test_a_killed_job_asks_nothing_twice_but_what_was_being_asked(path: Path) -> None:
    count = 40
    with chat_server(lambda body, _: replace(rate(body), delay=0.05)) as server:
        command = [sys.executable, "-m", "tests.evaluation.judges.asking_process", server.url, str(count), str(path)]
        process = subprocess.Popen(command, cwd=ROOT)
        wait_until(lambda: len(read_rows(path, Judgement)) >= count // 3)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        before = read_rows(path, Judgement)
        assert count // 3 <= len(before) < count
        with path.open("ab") as file:
            file.write(b'{"question":"q39","sam')  # what a kill can leave
        subprocess.run(command, cwd=ROOT, check=True)
        after = read_rows(path, Judgement)
    assert after[: len(before)] == before
    asked = Counter(prompts(server))
    assert set(asked) == {f"q{number}" for number in range(count)}
    assert all(asked[row.question] == 1 for row in before)
    assert max(asked.values()) <= 2
    assert asked.total() - count <= 4  # as many as the killed process was asking at once
    with chat_server(rate) as undisturbed:
        whole = collect_judgements(judge(undisturbed), questions(count), path.with_name("undisturbed.jsonl"))
    assert latest(after) == latest(whole)


def wait_until(is_true: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(6000):
        if is_true():
            return
        pause.wait(0.01)
    raise AssertionError(f"not true after a minute, at {time.asctime()}")
