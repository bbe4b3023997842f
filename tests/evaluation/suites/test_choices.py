import pytest

from evaluation.suites.choices import find_answer, parse_choice, read_options

OPTIONS = ["happy", "sad", "very sad", "angry"]


@pytest.mark.parametrize(
    ("reply", "index"),
    [
        ("B", 1),
        ("(b).", 1),
        ("**C**", 2),
        ("B. sad", 1),
        ("The answer is: D", 3),
        ("The answer is D, because A is too mild.", 3),
        ("First I thought the answer is A, but the answer is B.", 1),
        ("答案是C", 2),
        ("我选 D。", 3),
        ("She sounds angry.", 3),
        ("She sounds very sad to me.", 2),
        ("I would go with option A.", 0),
        ("It has to be (A), I think.", 0),
        ("Sad", 1),
        ("the answer is b", 1),
        ("The answer is a very sad voice", 2),
        ("She is happy or angry.", None),
        ("A person is speaking, I guess.", None),
        ("Either B or D.", None),
        ("The answer is F", None),
        ("", None),
    ],
)
def test_the_choice_of_a_reply_is_found_by_rule(reply: str, index: int | None) -> None:
    assert parse_choice(reply, OPTIONS) == index


def test_chinese_options_are_found_by_their_text() -> None:
    assert parse_choice("我觉得他很难过。", ["高兴", "难过"]) == 1


@pytest.mark.parametrize(
    "value",
    [
        ["happy", "sad"],
        ["A. happy", "B. sad"],
        {"A": "happy", "B": "sad"},
        "A. happy\nB. sad",
        "(A) happy\n(B) sad",
        "A. happy B. sad",
        "A) happy\nB) sad\n",
    ],
)
def test_options_are_read_from_lists_mappings_and_texts(value: object) -> None:
    assert read_options(value) == ["happy", "sad"]


def test_anything_else_has_no_options() -> None:
    assert read_options(3) == read_options(None) == read_options([1, 2]) == []


@pytest.mark.parametrize(
    ("answer", "index"), [("B", 1), ("b", 1), ("sad", 1), ("B. sad", 1), ("Sad.", 1), ("joy", None)]
)
def test_the_right_option_is_a_letter_or_its_text(answer: str, index: int | None) -> None:
    assert find_answer(answer, ["happy", "sad"]) == index
