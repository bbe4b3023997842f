"""The command line of evaluations."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ray_jobs.evaluate import main
from tests.evaluation.chat_endpoint import ChatEndpoint, completion, last_text, stream
from tests.evaluation.small_run import use_small_parts


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ChatEndpoint:
    use_small_parts(monkeypatch, tmp_path / "run.log")
    return ChatEndpoint(lambda body: stream({"content": f"reply to {last_text(body)}"}))


@pytest.fixture
def url(endpoint: ChatEndpoint) -> Iterator[str]:
    with endpoint.serving() as url:
        yield url


def arguments(url: str, output: Path) -> list[str]:
    return ["--suite", "small", "--data", "5", "--model", url, "--output", str(output)]


def test_a_run_prints_its_metrics_and_where_its_report_is(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(arguments(url, tmp_path / "run"))
    printed = capsys.readouterr()
    assert "5 of 5 items are answered" in printed.out
    assert "Judged: not scored" in printed.out
    assert "Length of the transcript: 0" in printed.out
    assert str(tmp_path / "run" / "report.html") in printed.out
    assert "answering" in printed.err
    assert json.loads((tmp_path / "run" / "run.json").read_text())["suite"] == "small"


def test_a_plan_asks_nobody(
    url: str, endpoint: ChatEndpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*arguments(url, tmp_path / "run"), "--limit", "4", "--plan", "--judge-prices", "1", "2"])
    printed = capsys.readouterr().out
    assert "4 items, 4 replies" in printed
    assert "8 answers of a judge" in printed
    assert "USD" in printed
    assert endpoint.requests == []
    assert not (tmp_path / "run").exists()


def test_runs_are_compared(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [tmp_path / name for name in ("one", "two")]
    for run in runs:
        main(arguments(url, run))
    main(["--compare", *map(str, runs), "--output", str(tmp_path / "compared")])
    page = tmp_path / "compared" / "comparison.html"
    assert page.is_file()
    assert str(page) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        (["--model", "http://127.0.0.1:9"], "expected a list of models"),
        (["--judge", "gpt"], "unknown judge 'gpt'"),
        (["--option", "size=3"], "options"),
        (["--limit", "0"], "expected limit >= 1"),
    ],
)
def test_what_cannot_be_used_ends_it_in_one_line(url: str, tmp_path: Path, changed: list[str], error: str) -> None:
    with pytest.raises(SystemExit, match=r"ray_jobs\.evaluate") as ended:
        main([*arguments(url, tmp_path / "run"), *changed])
    assert error in str(ended.value)


def test_a_refused_key_ends_it_in_one_line(url: str, endpoint: ChatEndpoint, tmp_path: Path) -> None:
    endpoint.key = "right"
    with pytest.raises(SystemExit, match=r"/v1/models: .*as the test wants"):
        main(arguments(url, tmp_path / "run"))


def test_without_a_suite_it_names_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--output", str(tmp_path)])
    assert "--suite is missing" in capsys.readouterr().err


def test_the_replies_of_two_runs_are_compared_by_a_judge(
    url: str, endpoint: ChatEndpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [tmp_path / name for name in ("one", "two")]
    for run in runs:
        main(arguments(url, run))
    endpoint.requests.clear()
    command = ["--pairwise", *map(str, runs), "--output", str(tmp_path / "paired"), "--judge", f"openai:{url}/v1#judge"]
    main([*command, "--plan", "--judge-prices", "1", "2"])
    assert "10 answers of a judge" in capsys.readouterr().out
    assert endpoint.requests == []
    endpoint.respond = lambda body: completion("[[A]]")
    main(command)
    printed = capsys.readouterr().out
    assert "ties: 100 %, 95 % interval 100 to 100" in printed
    assert "position_bias: 100 %" in printed
    assert str(tmp_path / "paired" / "pairwise.html") in printed
    with pytest.raises(SystemExit, match="the budget of 1 tokens allows no further question"):
        main([*command[:-3], str(tmp_path / "other"), *command[-2:], "--budget-tokens", "1"])
