"""The embedded writer: dialogues of a grammar, without a model."""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from data_pipeline.records import Emotion, RejectedRow
from data_pipeline.synthesis.embedded_writer.delivery import (
    ANSWER_LEADS,
    CHILD_LEADS,
    FOLLOW_UP_LEADS,
    LEADS,
    MISMATCHES,
    NOT_UNDERSTOOD,
    Lead,
)
from data_pipeline.synthesis.embedded_writer.english import contracted, normalised, sentence
from data_pipeline.synthesis.embedded_writer.follow_ups import (
    AFTER_ANSWERS,
    AFTER_NOT_UNDERSTOOD,
    CLOSING,
    MIDDLE,
    RECALL,
    FollowUps,
)
from data_pipeline.synthesis.embedded_writer.general import GENERAL, OTHER, QUESTIONS, answers, unknown_turns
from data_pipeline.synthesis.embedded_writer.grammar import OPENINGS, Turn, cell, parse, spoken_with
from data_pipeline.synthesis.embedded_writer.scene import EMOTIONS
from data_pipeline.synthesis.embedded_writer.system_prompts import SYSTEM_PROMPTS
from data_pipeline.synthesis.embedded_writer.topics import TOPICS
from data_pipeline.synthesis.protocols import Person, ReplyRequest, UserTurnRequest, WrittenMessage, WrittenReply

_WITH_OPENING = 0.25
_CONTRACTED = 0.6
"""Shares of turns, and of replies."""
_CURIOUS: tuple[Emotion, ...] = ("neutral", "happy", "surprised")
"""Emotions in which a follow-up may be one of the topic's questions."""
_LAST_TURN = 4

_Request = TypeVar("_Request")
_Result = TypeVar("_Result")


class EmbeddedWriter:
    """English dialogues on everyday topics. Replies follow from the words, the emotion and the system prompt.

    Each result depends only on its request. A turn that is not of the grammar gets a reply that says so. A request in
    another language, on an unknown topic or with an emotion that is not one of :data:`EMOTIONS` is rejected; an empty
    emotion is taken as neutral.
    """

    @property
    def name(self) -> str:
        return "embedded-writer-1"

    @property
    def topics(self) -> tuple[str, ...]:
        return (*(topic.name for topic in TOPICS), OTHER)

    @property
    def general_topics(self) -> tuple[str, ...]:
        return (GENERAL,)

    def user_turns(self, requests: Sequence[UserTurnRequest]) -> list[list[str] | RejectedRow]:
        return _each(self._user_turns, requests)

    def replies(self, requests: Sequence[ReplyRequest]) -> list[WrittenReply | RejectedRow]:
        return _each(_reply, requests)

    def follow_ups(self, requests: Sequence[ReplyRequest]) -> list[str | RejectedRow]:
        return _each(_follow_up, requests)

    def _user_turns(self, request: UserTurnRequest) -> list[str]:
        _require_english(request.language)
        known = (*self.topics, *self.general_topics)
        if request.topic not in known:
            raise RejectedRow(f"topic: {request.topic!r}, expected one of {', '.join(known)}")
        emotion, age = _emotion_of(request.person), request.person.age
        rng = random.Random(f"{request.topic} {emotion} {age} {request.seed}")
        if request.topic in (GENERAL, OTHER):
            known = unknown_turns() if request.topic == OTHER else tuple(question for question, _ in QUESTIONS)
            return [_contracted_at_times(text, rng) for text in rng.sample(known, min(request.count, len(known)))]
        texts = [turn.text for turn in _drawn(cell(request.topic, emotion, age), request.count, rng)]
        return [_contracted_at_times(_opened_at_times(text, rng), rng) for text in texts]


def _each(write: Callable[[_Request], _Result], requests: Sequence[_Request]) -> list[_Result | RejectedRow]:
    results: list[_Result | RejectedRow] = []
    for request in requests:
        try:
            results.append(write(request))
        except RejectedRow as error:
            results.append(error)
    return results


def _drawn(groups: Sequence[Sequence[Turn]], count: int, rng: random.Random) -> list[Turn]:
    """So many different turns, or all where there are fewer; equally many of each group as far as they go."""
    drawn = [rng.sample(group, min(count, len(group))) for group in rng.sample(groups, len(groups))]
    rounds = (group[i] for i in range(count) for group in drawn if i < len(group))
    return [turn for turn, _ in zip(rounds, range(count), strict=False)]


def _opened_at_times(text: str, rng: random.Random) -> str:
    return spoken_with(rng.choice(OPENINGS), text) if rng.random() < _WITH_OPENING else text


def _contracted_at_times(text: str, rng: random.Random) -> str:
    return contracted(text) if rng.random() < _CONTRACTED else text


def _require_english(language: str) -> None:
    if language != "en":
        raise RejectedRow(f"language: {language!r}, expected 'en'")


def _emotion_of(person: Person | None) -> Emotion:
    emotion = (person.emotion if person else "") or "neutral"
    if emotion not in EMOTIONS:
        raise RejectedRow(f"emotion: {emotion!r}, expected one of {', '.join(EMOTIONS)}")
    return emotion


def _reply(request: ReplyRequest) -> WrittenReply:
    message = _last_message(request, "user")
    emotion = _emotion_of(message.person)
    rng = random.Random(f"{normalised(message.text)} {emotion} {request.system} {request.seed}")
    lead, body = _parts_of_reply(request, message, emotion, rng)
    phrase, tone = lead
    if prompt := SYSTEM_PROMPTS.get(request.system):
        its_phrase, tone = rng.choice(prompt.leads_to(emotion))
        phrase = "" if any(message.role == "assistant" for message in request.messages) else its_phrase
    return WrittenReply(text=_contracted_at_times(sentence(f"{phrase} {body}".strip()), rng), tone=tone)


def _parts_of_reply(
    request: ReplyRequest, message: WrittenMessage, emotion: Emotion, rng: random.Random
) -> tuple[Lead, str]:
    """The phrase that precedes the reply, with its tone, and the reply."""
    if turn := parse(message.text):
        if template := turn.scene.replies.get(emotion):
            child = message.person is not None and message.person.age == "child"
            leads = LEADS[emotion] + (CHILD_LEADS[emotion] if child else ())
            return rng.choice(leads), turn.reply(template)
        text, tone = MISMATCHES[emotion]
        return ("", tone), turn.reply(text)
    if answer := answers().get(normalised(message.text)):
        return rng.choice(ANSWER_LEADS[emotion]), answer
    history = request.messages[:-1]
    if reply := _follow_up_replies(history, MIDDLE[emotion], CLOSING[emotion]).get(normalised(message.text)):
        return ("", rng.choice(LEADS[emotion])[1]), reply
    if reply := _follow_up_replies(history, RECALL, *MIDDLE.values(), *CLOSING.values()).get(normalised(message.text)):
        return rng.choice(FOLLOW_UP_LEADS[emotion]), reply
    text, tone = rng.choice(NOT_UNDERSTOOD[emotion])
    return ("", tone), text


def _follow_up_replies(history: Sequence[WrittenMessage], *pools: FollowUps) -> dict[str, str]:
    """By the normalised follow-up."""
    return {normalised(text): reply for text, reply in _pairs(history, *pools)} if history else {}


def _pairs(history: Sequence[WrittenMessage], *pools: FollowUps) -> Iterator[tuple[str, str]]:
    """Follow-ups with their replies, on what the user has last spoken about."""
    subject = _subject_of(history)
    if isinstance(subject, Turn):
        for text, reply in (pair for pool in pools for pair in pool):
            yield subject.follow_up(text), subject.reply(reply)
    elif subject:
        for text, reply in AFTER_ANSWERS:
            yield sentence(text), sentence(reply.format(answer=subject))
    else:
        for text, reply in AFTER_NOT_UNDERSTOOD:
            yield sentence(text), sentence(reply)


def _subject_of(history: Sequence[WrittenMessage]) -> Turn | str | None:
    """The user's last turn of the grammar, else the answer to its last general question."""
    texts = [message.text for message in reversed(history) if message.role == "user"]
    turns = (parse(text) for text in texts)
    known = (answers().get(normalised(text)) for text in texts)
    return next((turn for turn in turns if turn), None) or next((answer for answer in known if answer), None)


def _follow_up(request: ReplyRequest) -> str:
    _last_message(request, "assistant")
    users = [message for message in request.messages if message.role == "user"]
    if not users:
        raise RejectedRow("messages: none of a user, expected one")
    emotion = _emotion_of(users[-1].person)
    used = {normalised(message.text) for message in users}
    middle = [text for text, _ in _pairs(request.messages, MIDDLE[emotion], RECALL)]
    subject = _subject_of(request.messages)
    if isinstance(subject, Turn) and emotion in _CURIOUS:
        middle += [sentence(question) for question, _ in subject.topic.questions]
    closing = [text for text, _ in _pairs(request.messages, CLOSING[emotion])]
    pools = (closing, middle) if len(users) >= _LAST_TURN - 1 else (middle, closing)
    rng = random.Random(f"{[message.text for message in request.messages]} {emotion} {request.seed}")
    for pool in pools:
        if left := [text for text in pool if normalised(text) not in used]:
            return _contracted_at_times(rng.choice(left), rng)
    raise RejectedRow(f"follow-up: none is left after {len(users)} turns")


def _last_message(request: ReplyRequest, role: str) -> WrittenMessage:
    _require_english(request.language)
    if not request.messages or request.messages[-1].role != role:
        found = f"is of {request.messages[-1].role!r}" if request.messages else "is missing"
        raise RejectedRow(f"messages: the last one {found}, expected one of {role!r}")
    return request.messages[-1]
