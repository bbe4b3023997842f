import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.synthesis.everyday import EVERYDAY
from data_pipeline.synthesis.frames import FRAMES, SLOTS
from data_pipeline.synthesis.phrases import LEADS, OPENERS
from data_pipeline.synthesis.sentences import near, words_of, write_sentences

SENTENCES = write_sentences(3000, seed=0)
SHORT_TEXTS = st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=0, max_size=7).map(" ".join)


def common_words(left: tuple[str, ...], right: tuple[str, ...]) -> int:
    """Length of the longest common subsequence, the textbook's recursion."""
    if not left or not right:
        return 0
    if left[0] == right[0]:
        return 1 + common_words(left[1:], right[1:])
    return max(common_words(left[1:], right), common_words(left, right[1:]))


def test_as_many_sentences_as_asked_for_and_none_twice() -> None:
    assert len({sentence.text for sentence in SENTENCES}) == len(SENTENCES) == 3000


@pytest.mark.parametrize("held_out", EVERYDAY[::8])
def test_nothing_like_a_held_out_sentence_is_learned_from(held_out: str) -> None:
    assert [sentence.stem for sentence in SENTENCES if near(held_out, sentence.stem)] == []


def test_held_out_sentences_are_enough_to_measure_on() -> None:
    assert len({words_of(text) for text in EVERYDAY}) == len(EVERYDAY) >= 100


@given(left=SHORT_TEXTS, right=SHORT_TEXTS)
def test_near_sentences_have_all_but_two_words_in_common(left: str, right: str) -> None:
    one, two = words_of(left), words_of(right)
    assert near(left, right) == (common_words(one, two) >= max(len(one), len(two)) - 2)


@settings(max_examples=20)
@given(few=st.integers(1, 200), more=st.integers(1, 200), seed=st.integers(0, 2**32))
def test_the_first_of_more_are_the_same(few: int, more: int, seed: int) -> None:
    few, more = sorted((few, more))
    assert write_sentences(few, seed) == write_sentences(more, seed)[:few]


def test_another_seed_gives_other_sentences() -> None:
    other = {sentence.text for sentence in write_sentences(500, seed=1)}
    assert len(other & {sentence.text for sentence in SENTENCES[:500]}) < 50


def test_all_frames_and_the_closed_domain_are_in_training() -> None:
    texts = [sentence.text for sentence in SENTENCES]
    patterns = [re.sub(r"\\{\w+\\}", ".+", re.escape(frame)) for frame in FRAMES]
    unused = [p for p in patterns if not any(re.fullmatch(p, text, re.IGNORECASE) for text in texts)]
    assert len(unused) < len(FRAMES) / 20, unused
    openings = {opening for phrases in (*OPENERS.values(), *LEADS.values()) for opening in phrases}
    exchanged = [s for s in SENTENCES if s.text != s.stem]
    assert len(exchanged) > 400
    assert {s.text.removesuffix(f" {s.stem}") for s in exchanged} == openings


def test_every_word_of_every_slot_is_said_about_equally_often() -> None:
    texts = " ".join(sentence.text for sentence in SENTENCES)
    counts = Counter({name: len(re.findall(rf"\b{name}\b", texts)) for name in SLOTS["name"]})
    assert min(counts.values()) > 0.5 * max(counts.values())
    said = set(words_of(texts))
    assert [word for words in SLOTS.values() for part in words for word in words_of(part) if word not in said] == []


def test_a_sentence_is_plain_english_of_a_few_words() -> None:
    for text in (*(sentence.text for sentence in SENTENCES), *EVERYDAY):
        assert re.fullmatch(r"[A-Z][A-Za-z' ,.?!]+[.?!]", text), text
        assert 4 <= len(words_of(text)) <= 18, text
        assert not re.search(r"\ba (?!uni|use|euro)[aeiou]|\ban (?!hour)[^aeiou]|  ", text.lower()), text


def test_frames_and_slots_know_each_other() -> None:
    assert len(set(FRAMES)) == len(FRAMES)
    assert {slot for frame in FRAMES for slot in re.findall(r"\{(\w+)\}", frame)} == set(SLOTS)
    for words in SLOTS.values():
        assert len(set(words)) == len(words)


def test_more_than_can_be_written_is_refused() -> None:
    with pytest.raises(ValueError, match=r"cannot write 9999999 sentences: only \d+ were found"):
        write_sentences(9_999_999, seed=0)
