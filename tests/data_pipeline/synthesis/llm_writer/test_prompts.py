import itertools
from typing import get_args

import pytest

from data_pipeline.records import EMOTIONS, Age, Emotion, Gender
from data_pipeline.synthesis.llm_writer import prompts
from data_pipeline.synthesis.llm_writer.prompts import LANGUAGES, describe_person
from data_pipeline.synthesis.protocols import Person, ReplyRequest, UserTurnRequest, WrittenMessage

WOMAN = Person(gender="female", age="elderly", emotion="sad")
MESSAGES = (
    WrittenMessage(role="user", text="My {dog} died.", person=WOMAN),
    WrittenMessage(role="assistant", text="I am so sorry."),
    WrittenMessage(role="user", text="Thank you.", person=Person(gender="male")),
)
HISTORY = MESSAGES[:2]


@pytest.mark.parametrize(
    ("person", "english", "chinese"),
    [
        (WOMAN, "an elderly woman who sounds sad", "一位老奶奶，听起来难过"),
        (Person(age="child", emotion="fearful"), "a child who sounds afraid", "一个孩子，听起来害怕"),
        (Person(gender="male", emotion=""), "a male speaker", "一位男性"),
        (Person(emotion="other"), "a person", "一个人"),
    ],
)
def test_a_person_is_described_by_known_labels(person: Person, english: str, chinese: str) -> None:
    assert describe_person(person, "en") == english
    assert describe_person(person, "zh") == chinese


@pytest.mark.parametrize("language", LANGUAGES)
def test_people_with_different_labels_are_described_differently(language: str) -> None:
    emotions: list[Emotion] = [label for label in get_args(Emotion) if label not in ("", "other")]
    people = [
        Person(gender=gender, age=age, emotion=emotion)
        for gender, age, emotion in itertools.product(get_args(Gender), get_args(Age), emotions)
    ]
    assert len({describe_person(person, language) for person in people}) == 3 * 5 * (len(EMOTIONS) - 1)


@pytest.mark.parametrize(
    ("language", "topic", "parts"),
    [
        (
            "en",
            "a pet",
            ["7 different", "topic: a pet", "an elderly woman who sounds sad", "40 words", "list of 7"],
        ),
        ("zh", "a pet", ["7句", "话题是：宠物", "一位老奶奶，听起来难过", "60个字", "7个字符串"]),
        ("zh", "桥牌", ["话题是：桥牌"]),
    ],
)
def test_user_turns_are_wished_for_a_topic_and_a_person(language: str, topic: str, parts: list[str]) -> None:
    request = UserTurnRequest(topic=topic, person=WOMAN, count=7, language=language)
    (message,) = prompts.user_turns_chat(request, 40)
    assert message["role"] == "user"
    assert [part for part in parts if part not in message["content"]] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_examples_are_listed_where_there_are_some(language: str) -> None:
    plain = UserTurnRequest(topic="t", person=WOMAN, count=7, language=language)
    seeded = UserTurnRequest(topic="t", person=WOMAN, count=7, language=language, examples=("One {x}.", "Two."))
    with_examples = prompts.user_turns_chat(seeded, 40)[0]["content"]
    assert "\n- One {x}.\n- Two.\n" in with_examples
    assert len(prompts.user_turns_chat(plain, 40)[0]["content"]) < len(with_examples) - len("One {x}.Two.")


def test_a_reply_is_wished_with_the_dialogue_its_labels_and_its_system_line() -> None:
    request = ReplyRequest(messages=MESSAGES, system="You are a {pirate}.")
    rules, *dialogue = prompts.reply_chat(request, 60)
    assert rules["role"] == "system"
    assert "at most 60 words" in rules["content"]
    assert rules["content"].endswith("Follow this as well: You are a {pirate}.")
    assert dialogue == [
        {"role": "user", "content": "[Spoken by an elderly woman who sounds sad.] My {dog} died."},
        {"role": "assistant", "content": "I am so sorry."},
        {"role": "user", "content": "[Spoken by a male speaker who sounds calm, without a strong emotion.] Thank you."},
    ]


def test_a_reply_without_a_system_line_has_the_rules_alone() -> None:
    (rules, *_) = prompts.reply_chat(ReplyRequest(messages=MESSAGES, language="zh"), 60)
    assert rules["content"].endswith("只回答要说的话本身。")
    assert "90个字" in rules["content"]


def test_a_tone_is_wished_with_the_whole_dialogue() -> None:
    (message,) = prompts.tone_chat(ReplyRequest(messages=MESSAGES[:1], system="Be brief."), "I am so sorry.")
    transcript = (
        "(Be brief.)\nPerson: [Spoken by an elderly woman who sounds sad.] My {dog} died.\nAssistant: I am so sorry.\n"
    )
    assert transcript in message["content"]


def test_a_follow_up_is_wished_of_the_same_person() -> None:
    (message,) = prompts.follow_up_chat(ReplyRequest(messages=HISTORY, language="zh"), WOMAN, 40)
    assert "这个人是一位老奶奶，听起来难过。" in message["content"]
    assert "人: [说话的人是一位老奶奶，听起来难过。] My {dog} died.\n助手: I am so sorry.\n" in message["content"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_to_edit_are_quoted_as_they_are(language: str) -> None:
    text = 'What {is} "this"?\n```py\n```'
    assert prompts.rewrite_chat(text, language, 40)[0]["content"].endswith(f"\n{text}")
    assert '{"suitable": true' in prompts.rewrite_chat(text, language, 40)[0]["content"]
    assert text in prompts.translation_chat(text, language)[0]["content"]
