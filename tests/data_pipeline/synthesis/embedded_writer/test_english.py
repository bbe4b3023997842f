import re

import pytest

from data_pipeline.synthesis.embedded_writer.english import contracted, normalised, reflected, sentence
from data_pipeline.synthesis.embedded_writer.grammar import all_turns


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("my sister has a old dog. it is a uniform.", "My sister has an old dog. It is a uniform."),
        ("a apple? a one eyed cat saw a Italian.", "An apple? A one eyed cat saw an Italian."),
        ("a used car is a useful thing.", "A used car is a useful thing."),
    ],
)
def test_sentences_have_capitals_and_articles(written: str, expected: str) -> None:
    assert sentence(written) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("I am here and it is late. Let us go.", "I'm here and it's late. Let's go."),
        ("I cannot see who you are.", "I can't see who you are."),
        ("Do not tell me that it will not rain.", "Don't tell me that it won't rain."),
        ("You will not go, and I am not sure.", "You won't go, and I'm not sure."),
        ("You are not alone, and nobody is.", "You're not alone, and nobody is."),
        ("A man like that is rare. That is so.", "A man like that is rare. That's so."),
    ],
)
def test_contractions_of_spoken_english(written: str, expected: str) -> None:
    assert contracted(written) == expected


def test_normalised_texts_do_not_depend_on_contractions() -> None:
    for turn in all_turns()[::101]:
        assert normalised(contracted(turn.text)) == normalised(turn.text)


@pytest.mark.parametrize(
    ("user", "assistant"),
    [
        ("my sister", "your sister"),
        ("behind ours", "behind yours"),
        ("when I sing", "when you sing"),
        ("shouted at me", "shouted at you"),
        ("Menu of us", "Menu of you"),
    ],
)
def test_the_assistant_speaks_of_the_user(user: str, assistant: str) -> None:
    assert reflected(user) == assistant


def test_articles_agree_in_all_turns() -> None:
    texts = [turn.text for turn in all_turns()]
    wrong = re.compile(r"\ba (?!uni[cfv]|use|euro|one\b)[aeiou]|\ban (?!hour|honest)[^aeiou]", re.IGNORECASE)
    assert [text for text in texts if wrong.search(text)] == []
