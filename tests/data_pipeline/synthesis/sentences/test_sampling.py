import re
from collections import Counter
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.synthesis.embedded_writer.english import normalised
from data_pipeline.synthesis.embedded_writer.grammar import parse
from data_pipeline.synthesis.sentences import sampling
from data_pipeline.synthesis.sentences.fields import FIELDS
from data_pipeline.synthesis.sentences.held_out import HELD_OUT_SENTENCES
from data_pipeline.synthesis.sentences.sampling import near, words_of, write_sentences
from data_pipeline.synthesis.sentences.templates import TEMPLATES

SENTENCES = write_sentences(3000, seed=0)
OF_TEMPLATES = tuple(
    re.compile(re.sub(r"\\{\w+\\}", ".+", re.escape(each)).replace("a\\ .+", "an?\\ .+"), re.IGNORECASE)
    for each in TEMPLATES
)
SHORT_TEXTS = st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=0, max_size=7).map(" ".join)


def common_words(left: tuple[str, ...], right: tuple[str, ...]) -> int:
    """Length of the longest common subsequence, by the textbook's recursion."""
    if not left or not right:
        return 0
    if left[0] == right[0]:
        return 1 + common_words(left[1:], right[1:])
    return max(common_words(left[1:], right), common_words(left, right[1:]))


def test_there_are_as_many_sentences_as_wanted_and_none_twice() -> None:
    assert len(set(SENTENCES)) == len(SENTENCES) == 3000


@pytest.mark.parametrize("held_out", HELD_OUT_SENTENCES[::8])
def test_no_sentence_is_near_a_held_out_one(held_out: str) -> None:
    assert [text for text in SENTENCES if near(held_out, text)] == []


def test_a_held_out_sentence_is_found_behind_an_opening_and_between_others(monkeypatch: pytest.MonkeyPatch) -> None:
    held_out = "The bus was late and it rained."
    hidden = (
        "You know what, the bus was late and it rained.",
        "That is a pity. By the way, the old bus was late and it rained. Take care.",
    )
    monkeypatch.setattr(sampling, "HELD_OUT_SENTENCES", (held_out,))
    monkeypatch.setattr(sampling, "_messages", lambda seed: iter((*hidden, "The train was on time today.")))
    monkeypatch.setattr(sampling, "_from_templates", lambda seed: iter((held_out, "My aunt lives in Rome.", held_out)))
    assert write_sentences(2, seed=0) == ("My aunt lives in Rome.", "The train was on time today.")


def test_held_out_sentences_differ_and_are_enough_to_measure_on() -> None:
    assert len({words_of(text) for text in HELD_OUT_SENTENCES}) == len(HELD_OUT_SENTENCES) >= 100


@given(left=SHORT_TEXTS, right=SHORT_TEXTS)
def test_near_texts_have_all_but_two_words_in_common(left: str, right: str) -> None:
    one, two = words_of(left), words_of(right)
    assert near(left, right) == (common_words(one, two) >= max(len(one), len(two)) - 2)


@settings(max_examples=20)
@given(few=st.integers(1, 200), more=st.integers(1, 200), seed=st.integers(0, 2**32))
def test_the_first_of_more_are_the_same(few: int, more: int, seed: int) -> None:
    few, more = sorted((few, more))
    assert write_sentences(few, seed) == write_sentences(more, seed)[:few]


def test_another_seed_gives_other_sentences() -> None:
    assert len(set(write_sentences(500, seed=1)) & set(SENTENCES[:500])) < 50


def test_nearly_all_templates_are_used() -> None:
    unused = [each for each in OF_TEMPLATES if not any(each.fullmatch(text) for text in SENTENCES)]
    assert len(unused) < len(TEMPLATES) / 20, unused


def test_a_third_or_more_are_messages() -> None:
    messages = set(islice(sampling._messages(0), 3000))
    assert 1000 <= len(messages.intersection(SENTENCES)) <= 1500


def test_messages_are_of_users_on_many_topics_and_of_the_assistant() -> None:
    messages = list(islice(sampling._messages(0), 400))
    turns = [parse(text) for text in messages[::4]]
    assert len({turn.topic.name for turn in turns if turn}) > 40
    assert len({normalised(text) for text in messages[1::4]}) > 90


def test_the_values_of_a_field_are_used_about_equally_often() -> None:
    texts = " ".join(islice(sampling._from_templates(0), 2000))
    counts = Counter({name: len(re.findall(rf"\b{name}\b", texts)) for name in FIELDS["name"]})
    assert min(counts.values()) > 0.5 * max(counts.values())
    used = set(words_of(texts))
    assert set(words_of(" ".join(value for values in FIELDS.values() for value in values))) <= used


def test_a_sentence_is_plain_english_of_a_few_words() -> None:
    for text in (*SENTENCES, *HELD_OUT_SENTENCES):
        assert re.fullmatch(r"[A-Z][A-Za-z' ,.?!]+[.?!]", text), text
        assert 4 <= len(words_of(text)) <= 18, text
        assert not re.search(r"\ba (?!uni|use|euro|one)[aeiou]|\ban (?!hour|honest)[^aeiou]|  ", text.lower()), text


def test_templates_and_fields_fit() -> None:
    assert len(set(TEMPLATES)) == len(TEMPLATES)
    assert {name for template in TEMPLATES for name in re.findall(r"\{(\w+)\}", template)} == set(FIELDS)
    for values in FIELDS.values():
        assert len(set(values)) == len(values)


def test_more_than_can_be_written_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "_ROUNDS", 1)
    with pytest.raises(ValueError, match=r"cannot write 1000 sentences: only \d+ were found"):
        write_sentences(1000, seed=0)
