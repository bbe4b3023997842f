import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.records import Age, Emotion, RejectedRow
from data_pipeline.synthesis.embedded_writer import EMOTIONS, SYSTEM_PROMPTS, TONES, EmbeddedWriter
from data_pipeline.synthesis.embedded_writer.delivery import CHILD_LEADS, NOT_UNDERSTOOD
from data_pipeline.synthesis.embedded_writer.english import contracted, normalised, words
from data_pipeline.synthesis.embedded_writer.general import GENERAL, OTHER, QUESTIONS, answers, unknown_turns
from data_pipeline.synthesis.embedded_writer.grammar import all_turns, parse
from data_pipeline.synthesis.embedded_writer.scene import AGES
from data_pipeline.synthesis.embedded_writer.topics import TOPICS
from data_pipeline.synthesis.protocols import (
    Person,
    ReplyRequest,
    UserTurnRequest,
    Writer,
    WrittenMessage,
    WrittenReply,
)
from tests.data_pipeline.synthesis.embedded_writer.content import content_words

WRITER: Writer = EmbeddedWriter()
TURNS = all_turns()
TEXTS = st.sampled_from([turn.text for turn in TURNS[::7]])
FITTING_TONES = {
    "neutral": {"neutral", "warm"},
    "happy": {"cheerful", "excited"},
    "sad": {"gentle", "warm", "concerned"},
    "angry": {"calm"},
    "fearful": {"calm", "warm"},
    "surprised": {"excited", "cheerful"},
}
TOPIC_NAMES = st.sampled_from((*WRITER.topics, *WRITER.general_topics))
PEOPLE = st.builds(Person, age=st.sampled_from(AGES), emotion=st.sampled_from(EMOTIONS))


def user(text: str, emotion: Emotion = "neutral", age: Age = "adult") -> WrittenMessage:
    return WrittenMessage(role="user", text=text, person=Person(emotion=emotion, age=age))


def turns_of(request: UserTurnRequest) -> list[str]:
    [turns] = WRITER.user_turns([request])
    assert isinstance(turns, list)
    return turns


def reply_to(*messages: WrittenMessage, system: str = "", seed: int = 0) -> WrittenReply:
    [reply] = WRITER.replies([ReplyRequest(messages=messages, system=system, seed=seed)])
    assert isinstance(reply, WrittenReply)
    return reply


def dialogue(topic: str, person: Person, turns: int, seed: int, system: str = "") -> list[WrittenMessage]:
    """A first turn, follow-ups and all replies."""
    [text] = turns_of(UserTurnRequest(topic=topic, person=person, count=1, seed=seed))
    messages: list[WrittenMessage] = []
    for number in range(turns):
        if number:
            [follow_up] = WRITER.follow_ups([ReplyRequest(messages=tuple(messages), system=system, seed=seed)])
            assert isinstance(follow_up, str)
            text = follow_up
        messages.append(WrittenMessage(role="user", text=text, person=person))
        reply = reply_to(*messages, system=system, seed=seed)
        messages.append(WrittenMessage(role="assistant", text=reply.text))
    return messages


def test_topics_are_those_of_the_grammar_and_two_more() -> None:
    assert WRITER.topics == (*(topic.name for topic in TOPICS), OTHER)
    assert WRITER.general_topics == (GENERAL,)
    assert re.fullmatch(r"embedded-writer-\d+", WRITER.name)


@settings(max_examples=60, deadline=None)
@given(topic=TOPIC_NAMES, person=PEOPLE, count=st.integers(0, 60), seed=st.integers(0, 2**32))
def test_user_turns_are_different_plain_and_as_many_as_asked_for(
    topic: str, person: Person, count: int, seed: int
) -> None:
    turns = turns_of(UserTurnRequest(topic=topic, person=person, count=count, seed=seed))
    assert len({normalised(text) for text in turns}) == len(turns) == count
    for text in turns:
        assert re.fullmatch(r"[A-Z][A-Za-z' ,.?]+[.?]", text), text
        assert 4 <= len(words(text)) <= 25, text
        if topic not in (GENERAL, OTHER):
            turn = parse(text)
            assert turn is not None
            assert turn.topic.name == topic
            assert person.emotion in turn.scene.replies
            assert turn.suits(person.age)


def test_the_same_request_has_the_same_turns_and_another_seed_others() -> None:
    person = Person(emotion="sad", age="young")
    requests = [UserTurnRequest(topic="dogs", person=person, count=30, seed=seed) for seed in (1, 1, 2)]
    first, same, other = map(turns_of, requests)
    assert first == same
    assert len(set(first) & set(other)) < 10


def test_a_cell_that_is_used_up_gives_all_it_has() -> None:
    request = UserTurnRequest(topic="dogs", person=Person(emotion="sad"), count=100_000)
    dogs = [turn for turn in TURNS if turn.topic.name == "dogs" and "sad" in turn.scene.replies]
    assert {normalised(turn.text) for turn in dogs} == {
        normalised(turn.text) for text in turns_of(request) if (turn := parse(text))
    }


def test_some_turns_have_openings_and_contractions() -> None:
    turns = turns_of(UserTurnRequest(topic="visits", person=Person(), count=200))
    assert 10 < sum(text not in {turn.text for turn in TURNS} for text in turns) < 150


@settings(max_examples=300, deadline=None)
@given(text=TEXTS, age=st.sampled_from(AGES), seed=st.integers(0, 99))
def test_replies_depend_on_the_emotion_and_take_up_the_words(text: str, age: Age, seed: int) -> None:
    replies = {emotion: reply_to(user(text, emotion, age), seed=seed) for emotion in EMOTIONS}
    assert len({reply.text for reply in replies.values()}) == len(EMOTIONS)
    for emotion, reply in replies.items():
        assert content_words(reply.text) & content_words(text), (text, reply)
        assert re.fullmatch(r"[A-Z][A-Za-z' ,.?]+[.?]", reply.text), reply
        assert 3 <= len(words(reply.text)) <= 25, reply
        assert reply.tone in FITTING_TONES[emotion]


def test_there_are_thousands_of_replies() -> None:
    rng = random.Random(0)
    replies = [reply_to(user(turn.text, rng.choice(list(turn.scene.replies)))) for turn in rng.sample(TURNS, 5_000)]
    assert len({normalised(reply.text) for reply in replies}) >= 2_000


def test_a_reply_ignores_openings_contractions_and_case() -> None:
    text = "My sister is coming home on Friday."
    tones = {reply_to(user(form, "happy")).tone for form in (text, f"Well, {text[0].lower()}{text[1:]}", text.upper())}
    assert "your sister" in reply_to(user(f"You know, {text}", "happy")).text.lower()
    assert tones <= FITTING_TONES["happy"]
    assert contracted("I am flying to Paris in the summer.") != "I am flying to Paris in the summer."
    assert "Paris" in reply_to(user("I'm flying to Paris in the summer.", "happy")).text


def test_children_get_replies_of_their_own_too() -> None:
    text = "My sister is coming home on Friday."
    for emotion in EMOTIONS:
        own = {normalised(lead) for lead, _ in CHILD_LEADS[emotion]}
        heads = {
            age: {normalised(reply_to(user(text, emotion, age), seed=seed).text) for seed in range(80)}
            for age in ("child", "adult")
        }
        assert any(reply.startswith(tuple(own)) for reply in heads["child"])
        assert not any(reply.startswith(tuple(own)) for reply in heads["adult"])


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_what_is_not_of_the_grammar_gets_an_honest_reply(emotion: Emotion) -> None:
    honest = {normalised(text) for text, _ in NOT_UNDERSTOOD[emotion]}
    for text in (*unknown_turns()[::9], "The mayor of our town met a dragon."):
        reply = reply_to(user(text, emotion))
        assert normalised(reply.text) in honest
        assert reply.tone in FITTING_TONES[emotion]


def test_unknown_turns_are_unknown() -> None:
    assert len(set(unknown_turns())) == len(unknown_turns()) >= 200
    assert [text for text in unknown_turns() if parse(text) or normalised(text) in answers()] == []


def test_general_questions_have_one_answer_each() -> None:
    pairs = [*QUESTIONS, *(pair for topic in TOPICS for pair in topic.questions)]
    assert len(QUESTIONS) >= 150
    assert len({normalised(question) for question, _ in pairs}) == len(pairs)
    for question, answer in pairs:
        assert 4 <= len(words(question)) <= 25, question
        assert 3 <= len(words(answer)) <= 20, answer
        assert re.fullmatch(r"[A-Za-z' ,.?]+[.?]", f"{question} {answer}"), answer
        assert content_words(question) & content_words(answer), question
        assert parse(question) is None
        assert normalised(reply_to(user(question)).text) == normalised(answer)


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_general_questions_are_answered_in_a_fitting_tone(emotion: Emotion) -> None:
    for question, answer in QUESTIONS[::10]:
        reply = reply_to(user(question, emotion))
        assert normalised(reply.text).endswith(normalised(answer))
        assert reply.tone in FITTING_TONES[emotion]


@settings(max_examples=150, deadline=None)
@given(topic=TOPIC_NAMES, person=PEOPLE, seed=st.integers(0, 2**32))
def test_dialogues_of_four_turns_are_understood_and_do_not_repeat(topic: str, person: Person, seed: int) -> None:
    messages = dialogue(topic, person, turns=4, seed=seed)
    asked = [normalised(message.text) for message in messages if message.role == "user"]
    assert len(set(asked)) == len(asked)
    honest = {normalised(text) for text, _ in NOT_UNDERSTOOD[person.emotion]}
    for message in messages[3 if topic == OTHER else 1 :: 2]:
        assert normalised(message.text) not in honest, messages
        assert re.fullmatch(r"[A-Z][A-Za-z' ,.?]+[.?]", message.text)
        assert len(words(message.text)) <= 25, message.text


@settings(max_examples=100, deadline=None)
@given(first=TEXTS, seed=st.integers(0, 99))
def test_follow_ups_and_their_replies_are_about_the_first_turn(first: str, seed: int) -> None:
    history = [user(first, "sad"), WrittenMessage(role="assistant", text="I am here.")]
    [asked] = WRITER.follow_ups([ReplyRequest(messages=tuple(history), seed=seed)])
    assert isinstance(asked, str)
    reply = reply_to(*history, user(asked, "sad"), seed=seed)
    turn = parse(first)
    assert turn is not None
    about = content_words(turn.follow_up("{about}"))
    assert about & (content_words(asked) | content_words(reply.text))
    assert content_words(asked) & content_words(reply.text) or about & content_words(reply.text)


def test_the_writer_remembers_earlier_messages() -> None:
    history = (user("My sister is coming home on Friday."), WrittenMessage(role="assistant", text="I see."))
    question = "Do you remember what I told you?"
    assert reply_to(*history, user(question)).text == "Of course. You told me about your sister coming home."
    assert normalised(reply_to(user(question)).text) in {normalised(text) for text, _ in NOT_UNDERSTOOD["neutral"]}


def test_a_new_subject_in_a_dialogue_replaces_the_old_one() -> None:
    messages = (
        user("My sister is coming home on Friday."),
        WrittenMessage(role="assistant", text="I see."),
        user("I dreamed about a talking cat last night."),
        WrittenMessage(role="assistant", text="I see."),
        user("What were we talking about?"),
    )
    assert "talking cat" in reply_to(*messages).text


def test_an_answer_is_repeated_when_asked() -> None:
    history = (user("How do I cook rice?"), WrittenMessage(role="assistant", text="Cook it."))
    reply = reply_to(*history, user("Could you say that again, please?"))
    assert reply.text == "Of course. Cook one cup of rice in two cups of water, with the lid on."


def test_no_follow_up_is_left_in_a_very_long_dialogue() -> None:
    messages = dialogue(OTHER, Person(), turns=4, seed=0)
    [result] = WRITER.follow_ups([ReplyRequest(messages=tuple(messages))])
    assert isinstance(result, RejectedRow)
    assert str(result) == "follow-up: none is left after 4 turns"


@pytest.mark.parametrize("system", SYSTEM_PROMPTS)
def test_system_prompts_change_the_lead_and_the_tone(system: str) -> None:
    prompt = SYSTEM_PROMPTS[system]
    for emotion in EMOTIONS:
        text = "My sister is coming home on Friday."
        leads = {normalised(lead): tone for lead, tone in prompt.leads_to(emotion)}
        for seed in range(5):
            reply = reply_to(user(text, emotion), system=system, seed=seed)
            [tone] = [tone for lead, tone in leads.items() if normalised(reply.text).startswith(lead)]
            assert reply.tone == tone
            assert reply.tone in TONES


def test_there_are_system_prompts_of_tones_and_of_roles() -> None:
    roles = [prompt for prompt in SYSTEM_PROMPTS if prompt.startswith("You are")]
    assert len(SYSTEM_PROMPTS) >= 12
    assert len(roles) >= 6
    assert len(SYSTEM_PROMPTS) - len(roles) >= 6


def test_an_unknown_system_prompt_changes_only_the_random_choice() -> None:
    reply = reply_to(user("My sister is coming home on Friday.", "angry"), system="Talk like a fish.")
    assert reply.tone == "calm"
    assert "your sister" in reply.text


@settings(max_examples=80, deadline=None)
@given(topic=TOPIC_NAMES, person=PEOPLE, seed=st.integers(0, 2**32), system=st.sampled_from(["", *SYSTEM_PROMPTS]))
def test_dialogues_are_reproducible(topic: str, person: Person, seed: int, system: str) -> None:
    one, other = (dialogue(topic, person, turns=3, seed=seed, system=system) for _ in range(2))
    assert one == other
    assert all(len(words(message.text)) <= 25 for message in one)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (UserTurnRequest(topic="dragons", person=Person(), count=1), "topic: 'dragons', expected one of visits, "),
        (UserTurnRequest(topic="dogs", person=Person(), count=1, language="zh"), "language: 'zh', expected 'en'"),
        (
            UserTurnRequest(topic="dogs", person=Person(emotion="disgusted"), count=1),
            "emotion: 'disgusted', expected one of neutral, happy, ",
        ),
    ],
)
def test_turns_it_cannot_write_are_rejected(request_: UserTurnRequest, reason: str) -> None:
    [turns, others] = WRITER.user_turns([request_, UserTurnRequest(topic="dogs", person=Person(), count=2)])
    assert isinstance(turns, RejectedRow)
    assert str(turns).startswith(reason)
    assert isinstance(others, list)
    assert len(others) == 2


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (ReplyRequest(messages=()), "messages: the last one is missing, expected one of 'user'"),
        (
            ReplyRequest(messages=(WrittenMessage(role="assistant", text="Hello."),)),
            "messages: the last one is of 'assistant', expected one of 'user'",
        ),
        (ReplyRequest(messages=(user("Hello there."),), language="zh"), "language: 'zh', expected 'en'"),
        (ReplyRequest(messages=(user("Hello there.", "other"),)), "emotion: 'other', expected one of "),
    ],
)
def test_replies_it_cannot_write_are_rejected(request_: ReplyRequest, reason: str) -> None:
    [reply] = WRITER.replies([request_])
    assert isinstance(reply, RejectedRow)
    assert str(reply).startswith(reason)


@pytest.mark.parametrize("messages", [(), (user("Hello there."),), (WrittenMessage(role="assistant", text="Hi."),)])
def test_follow_ups_need_a_user_and_a_reply(messages: tuple[WrittenMessage, ...]) -> None:
    [text] = WRITER.follow_ups([ReplyRequest(messages=messages)])
    assert isinstance(text, RejectedRow)
    assert str(text).startswith("messages: ")


def test_an_unknown_emotion_is_neutral() -> None:
    text = "My sister is coming home on Friday."
    assert reply_to(WrittenMessage(role="user", text=text)).tone in FITTING_TONES["neutral"]
    assert turns_of(UserTurnRequest(topic="dogs", person=Person(emotion=""), count=5)) == turns_of(
        UserTurnRequest(topic="dogs", person=Person(emotion="neutral"), count=5)
    )


@pytest.mark.parametrize("topic", WRITER.topics)
def test_no_noun_has_two_articles(topic: str) -> None:
    person = Person(age="adult", emotion="sad")
    (turns,) = WRITER.user_turns([UserTurnRequest(topic=topic, person=person, count=60)])
    assert isinstance(turns, list)
    for seed, turn in enumerate(turns):
        messages = (WrittenMessage(role="user", text=turn, person=person),)
        for written in (WRITER.replies, WRITER.follow_ups, WRITER.replies):
            (text,) = written([ReplyRequest(messages=messages, seed=seed)])
            if isinstance(text, RejectedRow):
                break
            role, spoken = ("user", text) if isinstance(text, str) else ("assistant", text.text)
            assert not re.search(r"\b(the|a|an|my|your) (the|a|an|my|your)\b", spoken), spoken
            messages += (WrittenMessage(role=role, text=spoken, person=person if role == "user" else None),)
