import numpy as np
import pytest

pytest.importorskip("jiwer")

from hypothesis import given
from hypothesis import strategies as st

from opens2s_core.benchmark.word_error import (
    WordErrors,
    bootstrap_percent,
    count_word_errors,
    normalise,
    percent,
)

WORDS = st.lists(st.sampled_from(["you", "are", "not", "alone", "i'm", "here"]), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("That's GREAT news!", "that's great news"),
        (
            "Don\u2019t worry \u2014 it's a well-known place, \u201ctruly\u201d.",
            "don't worry it's a well known place truly",
        ),
        ("'quoted' and the dogs' bowl", "quoted and the dogs bowl"),
        ("  ...  ", ""),
    ],
)
def test_only_words_are_compared(text: str, words: str) -> None:
    assert normalise(text) == words


def test_every_kind_of_error_counts_once() -> None:
    assert count_word_errors("You are not alone.", "you are not alone") == WordErrors(0, 4)
    assert count_word_errors("You are not alone.", "you are hot") == WordErrors(2, 4)
    assert count_word_errors("You are not alone.", "") == WordErrors(4, 4)
    assert count_word_errors("You.", "oh you there") == WordErrors(2, 1)
    with pytest.raises(ValueError, match=r"a text with words, got '\.\.\.'"):
        count_word_errors("...", "you")


@given(words=WORDS, data=st.data())
def test_leaving_words_out_is_an_error_each(words: list[str], data: st.DataObject) -> None:
    kept = data.draw(st.lists(st.booleans(), min_size=len(words), max_size=len(words)))
    remaining = [word for word, keep in zip(words, kept, strict=True) if keep]
    counted = count_word_errors(" ".join(words), " ".join(remaining))
    assert counted == WordErrors(len(words) - len(remaining), len(words))


def test_the_interval_is_that_of_the_mean_of_many_sentences() -> None:
    """For sentences of one length, as many errors as not: the normal approximation is the oracle."""
    errors, words = np.array([0, 2] * 200), np.full(400, 10)
    low, high = bootstrap_percent(errors, words, seed=0)
    half = 1.96 * 10 / np.sqrt(400)
    assert (low, high) == pytest.approx((10 - half, 10 + half), abs=0.1)
    assert percent(errors, words) == 10
    assert bootstrap_percent(errors, words, seed=0) == (low, high)


def test_where_all_sentences_are_alike_the_interval_is_a_point() -> None:
    assert bootstrap_percent(np.full(20, 1), np.full(20, 4), seed=3) == (25.0, 25.0)
