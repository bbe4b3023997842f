import re
from collections import Counter

import pytest

from data_pipeline.records import Age, Emotion
from data_pipeline.synthesis.embedded_writer.english import normalised, words
from data_pipeline.synthesis.embedded_writer.grammar import (
    OPENINGS,
    Turn,
    all_turns,
    cell,
    fields_of,
    parse,
    spoken_with,
)
from data_pipeline.synthesis.embedded_writer.scene import AGES, EMOTIONS, Scene, Topic
from data_pipeline.synthesis.embedded_writer.topics import TOPICS
from tests.data_pipeline.synthesis.embedded_writer.content import content_words

TURNS = all_turns()
SCENES = [(topic.name, scene) for topic in TOPICS for scene in topic.scenes]


def scene_id(value: object) -> str:
    return value.texts[0] if isinstance(value, Scene) else str(value)


def test_there_are_many_topics_and_turns_and_no_two_alike() -> None:
    assert len({topic.name for topic in TOPICS}) == len(TOPICS) >= 40
    assert len({normalised(turn.text) for turn in TURNS}) == len(TURNS) >= 20_000


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_each_topic_has_turns_for_every_emotion_and_age(topic: Topic) -> None:
    counts = {(emotion, age): sum(map(len, cell(topic.name, emotion, age))) for emotion in EMOTIONS for age in AGES}
    assert min(counts.values()) >= 80, counts


def test_topics_are_of_comparable_size() -> None:
    counts = Counter(turn.topic.name for turn in TURNS)
    assert max(counts.values()) < 12 * min(counts.values()), counts


@pytest.mark.parametrize(("topic", "scene"), SCENES, ids=scene_id)
def test_replies_use_only_fields_of_each_text(topic: str, scene: Scene) -> None:
    used = fields_of(scene.about).union(*map(fields_of, scene.replies.values()))
    assert [text for text in scene.texts if not used <= fields_of(text)] == []
    assert set(scene.fields) == set().union(*map(fields_of, scene.texts))


def test_each_turn_is_parsed_to_its_scene_and_fields() -> None:
    assert [turn.text for turn in TURNS if parse(turn.text) is not turn] == []


@pytest.mark.parametrize("opening", OPENINGS)
def test_a_turn_is_parsed_with_an_opening_too(opening: str) -> None:
    for turn in TURNS[::97]:
        assert parse(spoken_with(opening, turn.text)) is turn


def test_openings_precede_statements_alone() -> None:
    assert spoken_with("well", "My sister is here.") == "Well, my sister is here."
    assert spoken_with("so", "I saw Tom.") == "So, I saw Tom."
    assert spoken_with("so", "Guess who was here. It was Tom.") == "Guess who was here. It was Tom."
    assert spoken_with("so", "Who is it?") == "Who is it?"


@pytest.mark.parametrize("text", ["", "well", "My sister", "The mayor of our town met a dragon."])
def test_other_texts_are_not_parsed(text: str) -> None:
    assert parse(text) is None


def test_turns_are_plain_english_of_a_few_words() -> None:
    assert [turn.text for turn in TURNS if not re.fullmatch(r"[A-Z][A-Za-z' ,.?]+[.?]", turn.text)] == []
    longest = max(len(words(opening)) for opening in OPENINGS)
    assert [turn.text for turn in TURNS if not 4 <= len(words(turn.text)) <= 25 - longest] == []


def test_replies_are_plain_short_and_take_up_the_message() -> None:
    for turn in TURNS[::3]:
        of_message = content_words(turn.text)
        for emotion, template in turn.scene.replies.items():
            reply = turn.reply(template)
            assert re.fullmatch(r"[A-Z][A-Za-z' ,.?]+[.?]", reply), reply
            assert len(words(reply)) <= 19, reply
            assert of_message & content_words(reply), (emotion, turn.text, reply)


def test_what_a_dialogue_is_about_is_in_its_first_turn() -> None:
    for turn in TURNS[::3]:
        assert content_words(turn.follow_up("{about}")) & content_words(turn.text), turn.text


def test_every_scene_replies_differently_to_each_emotion() -> None:
    for name, scene in SCENES:
        assert set(scene.replies) <= set(EMOTIONS)
        assert len(set(scene.replies.values())) == len(scene.replies) >= 3, (name, scene.texts)


def test_many_turns_suit_all_emotions() -> None:
    open_to_all = [turn for turn in TURNS if set(turn.scene.replies) == set(EMOTIONS)]
    assert len(open_to_all) > 0.4 * len(TURNS)


def one_of(topic: str, emotion: Emotion, age: Age) -> list[Turn]:
    return [turn for group in cell(topic, emotion, age) for turn in group]


@pytest.mark.parametrize(
    ("age", "word"),
    [
        ("child", "husband"),
        ("child", "boss"),
        ("child", "grandson"),
        ("young", "grandson"),
        ("adult", "grandson"),
        ("elderly", "grandmother"),
        ("elderly", "mother"),
        ("elderly", "boss"),
    ],
)
def test_people_speak_of_those_who_suit_their_age(age: Age, word: str) -> None:
    for topic in TOPICS:
        for emotion in EMOTIONS:
            assert [turn.text for turn in one_of(topic.name, emotion, age) if word in words(turn.text)] == []
