"""Division of a text into the parts in which it is read."""

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from serve_app.api.spoken_text import MAX_PART_BYTES, is_blank, split_text

TEXTS = st.lists(
    st.sampled_from(["a", "word", "Hello", ".", "!", "?", "\u2026", ",", ";", '."', " ", " ", "  ", "\n", "\t", "\x07"])
    | st.sampled_from(["\u4f60\u597d", "\u3002", "\uff0c", "\uff1f", "e\u0301", "\U0001f469\u200d\U0001f467", "\u200b"])
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
    max_size=60,
).map("".join)


def shown_characters(text: str) -> str:
    """The text without white space and what else may be lost where two parts meet."""
    return "".join(character for character in text if not is_blank(character))


@given(TEXTS)
def test_parts_hold_the_whole_text_in_order(text: str) -> None:
    assert shown_characters("".join(split_text(text))) == shown_characters(text)


@given(TEXTS)
def test_parts_are_short_and_not_blank(text: str) -> None:
    for part in split_text(text):
        assert not is_blank(part)
        assert part == part.strip()
        assert len(part.encode()) <= MAX_PART_BYTES or regex.fullmatch(r"\X", part)


@given(st.lists(st.text("abc.,!? \n", min_size=1, max_size=30), max_size=40).map(" ".join))
def test_no_word_is_cut_where_there_are_spaces(text: str) -> None:
    assert " ".join(split_text(text)).split() == text.split()


def test_a_short_text_is_one_part() -> None:
    assert split_text(" One. Two, three!\n") == ("One. Two, three!",)


@pytest.mark.parametrize(
    ("sentence", "count"),
    [
        ("This one ends with a full stop.", 20),
        ("Does it end so?", 40),
        ('He said: "No!"', 40),
        ("\u4eca\u5929\u5929\u6c14\u5f88\u597d\u3002", 30),
    ],
)
def test_parts_end_where_sentences_do(sentence: str, count: int) -> None:
    parts = split_text(" ".join([sentence] * count))
    assert len(parts) > 1
    assert all(part.endswith(sentence) for part in parts)


def test_without_ends_of_sentences_parts_end_where_clauses_or_words_do() -> None:
    assert all(part.endswith(",") for part in split_text("and then, " * 50))
    assert set(" ".join(split_text("word " * 100)).split()) == {"word"}


def test_a_full_stop_inside_a_number_is_no_end() -> None:
    assert all(part.split()[-1] == "3.14159" for part in split_text("3.14159 " * 60))


@pytest.mark.parametrize("character", ["e\u0301", "\U0001f469\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea"])
def test_a_text_without_borders_is_cut_between_characters(character: str) -> None:
    parts = split_text(character * 100)
    assert len(parts) > 1
    assert all(part == character * (len(part) // len(character)) for part in parts)


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\u200b", "\ufeff", "\x00\x1b", "\u3000\u00a0", "\u00ad\u2060 "])
def test_text_that_shows_nothing_is_blank(text: str) -> None:
    assert is_blank(text)
    assert split_text(text) == ()


@pytest.mark.parametrize("text", ["a", ".", " \u4f60 ", "\U0001f600", "0"])
def test_other_text_is_not_blank(text: str) -> None:
    assert not is_blank(text)
