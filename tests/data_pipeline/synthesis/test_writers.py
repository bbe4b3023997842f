import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.synthesis.phrases import LEADS, OPENERS, TOPICS
from data_pipeline.synthesis.voices import FEELINGS
from data_pipeline.synthesis.writers import ClosedDomainWriter

EVERYTHING = ClosedDomainWriter().write(720, seed=0)


def words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text)


def test_no_two_sentences_and_no_two_replies_are_alike() -> None:
    assert len({exchange.user_text for exchange in EVERYTHING}) == 720
    assert len({exchange.reply_text for exchange in EVERYTHING}) == 720


def test_sentences_and_replies_are_short() -> None:
    assert [e.user_text for e in EVERYTHING if not 4 <= len(words(e.user_text)) <= 12] == []
    assert [e.reply_text for e in EVERYTHING if not 6 <= len(words(e.reply_text)) <= 14] == []


def test_every_topic_is_told_in_every_feeling() -> None:
    assert {(e.topic, e.feeling) for e in EVERYTHING} == {(t, f) for t in TOPICS for f in FEELINGS}
    assert set(OPENERS) == set(LEADS) == set(FEELINGS)


@given(count=st.integers(0, 720), more=st.integers(0, 720), seed=st.integers(0, 2**32))
def test_more_exchanges_begin_with_the_same_ones(count: int, more: int, seed: int) -> None:
    few, many = sorted((count, more))
    assert ClosedDomainWriter().write(many, seed)[:few] == ClosedDomainWriter().write(few, seed)


def test_another_seed_writes_in_another_order() -> None:
    assert ClosedDomainWriter().write(64, seed=1) != ClosedDomainWriter().write(64, seed=2)


@pytest.mark.parametrize("count", [-1, 721])
def test_a_count_it_cannot_write_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"cannot write {count} exchanges: expected between 0 and 720"):
        ClosedDomainWriter().write(count, seed=0)
