import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.dialogues.utterances import PlannedUtterance, Voice, distinct, planned_utterances
from data_pipeline.synthesis.protocols import Person
from tests.data_pipeline.dialogues.memory import cast_as_adult, dialogue, message, utterance

REPLY = Voice(name="reply voice")
TWO_TURNS = (
    message("user", "I lost."),
    message("assistant", "I am sorry."),
    message("user", "Thanks."),
    message("assistant", "I am here."),
)


def plan(row: dict[str, Any]) -> list[PlannedUtterance | None]:
    return planned_utterances(row, cast_as_adult, REPLY)


def cast_at_random(person: Person, language: str, rng: random.Random) -> tuple[Voice, Person]:
    return Voice(name=f"voice {rng.random()}"), person


def spoken(row: dict[str, Any]) -> list[PlannedUtterance]:
    return [each for each in plan(row) if each is not None]


def test_messages_have_utterances_at_their_places_and_those_that_are_not_spoken_none() -> None:
    row = dialogue("a", message("system", "Be calm.", spoken=False), *TWO_TURNS)
    system, *others = plan(row)
    assert system is None
    assert [each.text for each in others if each] == [message["text"] for message in TWO_TURNS]


def test_sides_have_their_voices_labels_and_tones() -> None:
    user, reply, *_ = spoken(dialogue("a", *TWO_TURNS))
    adult = Person(gender="female", age="adult", emotion="sad")
    assert (user.side, user.voice, user.person, user.tone) == ("user", Voice(name="user voice"), adult, "")
    assert (reply.side, reply.voice, reply.person, reply.tone) == ("reply", REPLY, Person(), "warm")


@given(st.text())
def test_a_user_has_one_voice_in_a_dialogue(id: str) -> None:
    planned = planned_utterances(dialogue(id, *TWO_TURNS), cast_at_random, REPLY)
    assert len({each.voice for each in planned if each and each.side == "user"}) == 1


@given(st.text(), st.text())
def test_a_reply_of_the_same_text_and_tone_is_planned_once_in_a_corpus(one: str, other: str) -> None:
    planned = [*spoken(dialogue(one, *TWO_TURNS)), *spoken(dialogue(other, *TWO_TURNS))]
    replies = [each for each in distinct(planned).values() if each.side == "reply"]
    assert [each.text for each in replies] == ["I am sorry.", "I am here."]


def test_users_of_two_dialogues_speak_the_same_text_differently() -> None:
    assert spoken(dialogue("a", *TWO_TURNS))[0].id != spoken(dialogue("b", *TWO_TURNS))[0].id


def test_a_dialogue_is_planned_the_same_way_each_time() -> None:
    assert plan(dialogue("a", *TWO_TURNS)) == plan(dialogue("a", *TWO_TURNS))


@pytest.mark.parametrize(
    "changes",
    [
        {"side": "user"},
        {"text": "Another."},
        {"language": "zh"},
        {"voice": Voice(clip="clip.wav")},
        {"voice": Voice(name="reply voice", clip_text="text")},
        {"person": Person(gender="male")},
        {"person": Person(emotion="happy")},
        {"tone": "calm"},
        {"seed": 2},
    ],
    ids=str,
)
def test_an_id_depends_on_everything(changes: dict[str, Any]) -> None:
    assert replace(utterance("A text."), **changes).id != utterance("A text.").id
    assert utterance("A text.").id == utterance("A text.").id


@given(st.lists(st.sampled_from("abcd")))
def test_distinct_utterances_are_in_the_order_of_their_first_occurrence(texts: list[str]) -> None:
    found = distinct(map(utterance, texts))
    assert [each.text for each in found.values()] == list(dict.fromkeys(texts))
    assert all(each.id == id for id, each in found.items())
