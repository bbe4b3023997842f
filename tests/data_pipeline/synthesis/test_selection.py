import itertools
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.records import Age, Emotion, Gender
from data_pipeline.synthesis.protocols import Person
from data_pipeline.synthesis.selection import (
    Candidate,
    Cell,
    DistinctTexts,
    DuplicateConfig,
    Selection,
    distinct,
    equal_quotas,
    select,
    shingles,
)

EMOTIONS: tuple[Emotion, ...] = ("neutral", "happy", "sad", "angry", "fearful", "surprised")
AGES: tuple[Age, ...] = ("child", "adult", "elderly")
GENDERS: tuple[Gender, ...] = ("female", "male")

PARTS = (
    ("my", "our"),
    ("dog", "cat", "old aunt"),
    ("was", "has been"),
    ("very ill", "lost", "so quiet"),
    ("since last",),
    ("monday", "june", "week"),
    ("and i do not know why", "so please help me now"),
)
GRAMMAR = [" ".join(words) for words in itertools.product(*PARTS)]


def cell(topic: str = "a pet", emotion: Emotion = "sad", language: str = "en", gender: Gender = "female") -> Cell:
    return Cell(topic=topic, language=language, person=Person(emotion=emotion, gender=gender, age="adult"))


def candidate(text: str, **labels: str) -> Candidate:
    return Candidate(text=text, cell=cell(**labels))  # type: ignore[arg-type]


def kept(texts: list[str], language: str = "en", **settings: float) -> list[str]:
    config = DuplicateConfig(**settings)  # type: ignore[arg-type]
    return [c.text for c in distinct([candidate(text, language=language) for text in texts], config)]


def similarity(one: str, other: str, size: int = 2) -> float:
    words = [text.split() for text in (one, other)]
    a, b = ({tuple(w[i : i + size]) for i in range(max(1, len(w) - size + 1))} for w in words)
    return len(a & b) / len(a | b)


def test_shingles_are_of_words_or_chinese_characters() -> None:
    assert shingles("I'm sad, so  sad. So SAD!", "en", 2) == {"i m", "m sad", "sad so", "so sad"}
    assert shingles("我很难过。", "zh", 2) == {"我 很", "很 难", "难 过"}
    assert shingles("Hello!", "en", 3) == {"hello"}
    assert shingles("…", "en", 2) == {""}


def test_the_first_of_near_duplicates_is_kept() -> None:
    texts = [
        "My dog has been ill since last Monday.",
        "My cat is fine.",
        "my dog has been ill since last monday",
        "My dog has been ill since last Friday.",
        "Well, my dog has been ill since last Monday.",
        "The train was late again and nobody told us why.",
    ]
    assert kept(texts) == [texts[0], texts[1], texts[5]]


def test_near_duplicates_in_chinese_are_dropped() -> None:
    texts = ["我的狗从星期一就生病了。", "我的狗从星期二就生病了！", "今天火车又晚点了。"]
    assert kept(texts, "zh") == [texts[0], texts[2]]


def test_a_text_is_a_duplicate_in_any_cell() -> None:
    texts = [candidate("Do you think I can run a marathon?", emotion=emotion) for emotion in ("sad", "happy")]
    assert list(distinct(texts, DuplicateConfig())) == texts[:1]


def test_other_texts_are_never_dropped_and_equal_ones_always() -> None:
    texts = ["a b c d e f", "a b x d y f", "g", "a b c d e f", "g", "a b c d y f"]
    assert kept(texts, threshold=0.9) == ["a b c d e f", "a b x d y f", "g", "a b c d y f"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=8).map(" ".join), max_size=30),
    st.sampled_from([0.4, 0.6, 0.8]),
)
def test_what_is_dropped_has_an_exact_near_duplicate_before_it(texts: list[str], threshold: float) -> None:
    texts_kept: list[str] = []
    index = DistinctTexts(DuplicateConfig(threshold=threshold))
    for text in texts:
        if index.add(text, "en"):
            assert text not in texts_kept
            texts_kept.append(text)
        else:
            assert any(similarity(text, other) >= threshold for other in texts_kept)


def test_nearly_all_near_duplicates_are_found() -> None:
    """Against comparing all pairs."""
    exact: list[str] = []
    for text in GRAMMAR:
        if all(similarity(text, other) < 0.5 for other in exact):
            exact.append(text)
    found = kept(GRAMMAR)
    assert len(found) <= 1.2 * len(exact)
    assert max(similarity(a, b) for a, b in itertools.combinations(found, 2)) < 0.6


def test_the_choice_is_the_same_in_another_process() -> None:
    code = "from tests.data_pipeline.synthesis.test_selection import *; print(kept(GRAMMAR))"
    environment = {"PYTHONHASHSEED": "1", "PYTHONPATH": ":".join(sys.path)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout == f"{kept(GRAMMAR)}\n"


@given(
    st.integers(0, 3000),
    st.integers(1, 7),
    st.integers(1, 6),
    st.integers(1, 3),
    st.integers(1, 2),
    st.sampled_from([["en"], ["en", "zh"]]),
)
def test_equal_quotas_are_balanced_in_every_label(
    total: int, topics: int, emotions: int, ages: int, genders: int, languages: list[str]
) -> None:
    labels = {
        "topics": [f"topic {number}" for number in range(topics)],
        "emotions": EMOTIONS[:emotions],
        "ages": AGES[:ages],
        "genders": GENDERS[:genders],
        "languages": languages,
    }
    quotas = equal_quotas(total, **labels)  # type: ignore[arg-type]
    assert sum(quotas.values()) == total
    cells = topics * emotions * ages * genders * len(languages)
    assert set(quotas.values()) <= {total // cells, -(-total // cells)} - {0}
    for name, value in {
        "topics": lambda c: c.topic,
        "emotions": lambda c: c.person.emotion,
        "ages": lambda c: c.person.age,
        "genders": lambda c: c.person.gender,
        "languages": lambda c: c.language,
    }.items():
        sums = Counter(dict.fromkeys(labels[name], 0))
        for found, count in quotas.items():
            sums[value(found)] += count
        assert max(sums.values()) - min(sums.values()) <= 1


def test_quotas_need_values_of_every_label() -> None:
    with pytest.raises(ValueError, match="at least one value of each label, got 5"):
        equal_quotas(5, languages=["en"], topics=[], emotions=EMOTIONS, ages=AGES, genders=GENDERS)


def test_each_cell_has_its_first_candidates_and_what_is_short_is_reported() -> None:
    texts = [
        candidate("a1"),
        candidate("b1", emotion="happy"),
        candidate("a2"),
        candidate("c1", topic="a wedding"),
        candidate("a3"),
        candidate("b2", emotion="happy"),
    ]
    quotas = {cell(): 2, cell(emotion="happy"): 3, cell(emotion="angry"): 1, cell(gender="male"): 0}
    chosen = select(texts, quotas)
    assert [c.text for c in chosen.candidates] == ["a1", "b1", "a2", "b2"]
    assert chosen.short == {cell(emotion="happy"): 1, cell(emotion="angry"): 1}
    assert str(cell(emotion="angry")) == "en, a pet, angry, adult, female"


@given(st.lists(st.sampled_from("abc"), max_size=30), st.dictionaries(st.sampled_from("abcd"), st.integers(0, 8)))
def test_quotas_are_met_exactly_or_reported(topics: list[str], numbers: dict[str, int]) -> None:
    quotas = {cell(topic): number for topic, number in numbers.items()}
    chosen = select([candidate(str(index), topic=topic) for index, topic in enumerate(topics)], quotas)
    taken = Counter(c.cell.topic for c in chosen.candidates)
    assert taken == Counter({t: n for t, number in numbers.items() if (n := min(number, topics.count(t)))})
    assert {c.topic: n for c, n in chosen.short.items()} == {
        t: number - topics.count(t) for t, number in numbers.items() if number > topics.count(t)
    }
    order = [int(c.text) for c in chosen.candidates]
    assert order == sorted(order)


def test_no_more_candidates_are_read_than_needed() -> None:
    stream = (candidate(f"text {number}") for number in itertools.count())
    assert select(stream, {cell(): 3}) == Selection(
        candidates=tuple(candidate(f"text {number}") for number in range(3)), short={}
    )
    assert next(stream).text == "text 3"


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="got 0, 2 and 128"):
        DuplicateConfig(threshold=0)
    with pytest.raises(ValueError, match=r"quotas \['en, a pet, sad, adult, female: -1'\], expected 0 or more"):
        select([], {cell(): -1})
