"""Any bytes, in any tokens: the tokenizers hold one token for each byte."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.convert_slow_tokenizer import bytes_to_unicode

from opens2s_core.inference.text_stream import TextStream
from tests.opens2s_core.golden_conversations import VOCABULARY

TOKENIZER = VOCABULARY.tokenizer
LETTERS = bytes_to_unicode()
IDS = st.integers(0, len(TOKENIZER) + 5)  # a model may have more ids than its tokenizer
TEXTS = st.text(st.sampled_from("abn é€😀\u0301\ufffd"), min_size=1, max_size=14)
STOPS = st.lists(st.text(st.sampled_from("abn é€😀"), min_size=1, max_size=3), min_size=1, max_size=3)
UNFINISHED = "\ufffd"


def decode(ids: Sequence[int]) -> str:
    return str(TOKENIZER.decode(list(ids), skip_special_tokens=True))


def spell(text: str) -> list[int]:
    """One token a byte."""
    return [TOKENIZER.convert_tokens_to_ids(LETTERS[byte]) for byte in text.encode()]


def stream(ids: Sequence[int], stop: Sequence[str] = ()) -> tuple[TextStream, list[str]]:
    """Up to the end or a stop string."""
    text, deltas = TextStream(TOKENIZER, stop), list[str]()
    for i, token in enumerate(ids, start=1):
        deltas.append(text.push(token, final=i == len(ids)))
        if text.stopped:
            break
    return text, deltas


@settings(max_examples=200)
@given(st.lists(IDS, min_size=1, max_size=40) | TEXTS.map(spell))
def test_the_deltas_of_any_tokens_are_their_text(ids: list[int]) -> None:
    text, deltas = stream(ids)
    assert "".join(deltas) == decode(ids)
    assert text.released == len(ids)
    assert not text.stopped


@given(TEXTS)
def test_a_character_is_emitted_as_soon_as_it_is_complete(words: str) -> None:
    ids = spell(words)
    text = TextStream(TOKENIZER)
    emitted = ""
    for i, token in enumerate(ids, start=1):
        emitted += text.push(token, final=False)
        whole = decode(ids[:i])
        # A character of its own looks like one that is unfinished until the next one comes.
        assert emitted == whole if not whole.endswith(UNFINISHED) else whole.startswith(emitted)
        assert text.released == i  # without stop strings no token has to wait


@settings(max_examples=300)
@given(words=TEXTS, stop=STOPS, whole_words=st.booleans())
def test_text_ends_before_the_first_stop_string_and_no_part_of_it_is_emitted(
    words: str, stop: list[str], whole_words: bool
) -> None:
    ids = TOKENIZER.encode(words, add_special_tokens=False) if whole_words else spell(words)
    words = decode(ids)  # the tokenizer may compose accents
    text, deltas = stream(ids, stop)
    met = [at for each in stop if (at := words.find(each)) >= 0]
    assert text.stopped == bool(met)
    assert "".join(deltas) == words[: min(met, default=len(words))]


@settings(max_examples=300)
@given(words=TEXTS.map(lambda words: words.replace(UNFINISHED, "?")), stop=STOPS)
def test_a_token_is_released_with_its_text(words: str, stop: list[str]) -> None:
    ids = spell(words)
    text, emitted = TextStream(TOKENIZER, stop), b""
    for i, token in enumerate(ids, start=1):
        emitted += text.push(token, final=i == len(ids)).encode()
        assert text.released == len(emitted)  # one token a byte
        if text.stopped:
            break


def test_a_token_that_stands_for_no_text_is_released_with_the_next() -> None:
    silent = VOCABULARY.text_end_ids[0]
    text = TextStream(TOKENIZER, ("stop",))
    released = []
    for i, token in enumerate([*spell("a"), silent, *spell("b"), silent]):
        text.push(token, final=i == 3)
        released.append(text.released)
    assert released == [1, 1, 3, 4]


@pytest.mark.parametrize("stop", [("ana",), ("anab", "nan"), ("b",), ("bananas",), ("na", "nab")])
def test_what_may_begin_a_stop_string_waits_no_longer_than_that_is_open(stop: tuple[str, ...]) -> None:
    text, emitted = TextStream(TOKENIZER, stop), ""
    for i, token in enumerate(spell("xbananab"), start=1):
        emitted += text.push(token, final=False)
        read = "xbananab"[:i]
        met = [at for each in stop if (at := read.find(each)) >= 0]
        if met:
            assert emitted == read[: min(met)]
            break
        open_ends = (k for k in range(i + 1) if any(each.startswith(read[k:]) for each in stop))
        assert emitted == read[: next(open_ends)]


def test_the_end_releases_text_that_only_might_have_been_a_stop_string() -> None:
    _, deltas = stream(spell("sto"), ("stop",))
    assert list(itertools.accumulate(deltas)) == ["", "", "sto"]


def test_a_stop_string_in_what_the_end_completes_is_met() -> None:
    broken = spell("€")[:1]
    text, deltas = stream([*spell("a"), *broken], (UNFINISHED,))
    assert deltas == ["a", ""]
    assert text.stopped
    assert text.released == 1
