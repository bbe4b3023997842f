import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.ui.client import Delta, Message
from serve_app.ui.conversation import Conversation, IncomingReply, PlayedPosition, text_up_to

RATE = 22_050


def delta(text: str = "", seconds: float = 0.0) -> Delta:
    pcm = np.full(int(seconds * RATE), 1000, "<i2").tobytes()
    return Delta(text, base64.b64encode(pcm).decode(), RATE)


def user(text: str) -> Message:
    return Message(role="user", text=text)


def texts(conversation: Conversation) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in conversation.messages]


@pytest.fixture
def conversation() -> Conversation:
    return Conversation()


def ask(conversation: Conversation, text: str = "hello", *, speak: bool = True) -> IncomingReply:
    return conversation.send(user(text), speak=speak)


def test_a_complete_reply_becomes_a_message(conversation: Conversation) -> None:
    reply = ask(conversation)
    reply.add(delta("I hear you.", 1.0))
    conversation.complete(reply)
    assert texts(conversation) == [("user", "hello"), ("assistant", "I hear you.")]
    assert conversation.messages[-1].audio


def test_two_quick_messages_have_stop_events_of_their_own(conversation: Conversation) -> None:
    first = ask(conversation, "one")
    conversation.stop(None)
    second = ask(conversation, "two")
    assert first.stop.is_set()
    assert not second.stop.is_set()
    conversation.complete(first)
    conversation.fail(first)
    assert texts(conversation) == [("user", "one"), ("user", "two")]
    assert second is conversation.reply
    assert not conversation.failed


def test_a_stop_keeps_the_text_whose_audio_was_played(conversation: Conversation) -> None:
    reply = ask(conversation)
    reply.add(delta("one two three four five six", 1.0))  # 27 characters: 1.8 s at the usual pace
    conversation.stop(PlayedPosition(reply.number, 0.9))
    assert texts(conversation)[-1] == ("assistant", "one two three")


@pytest.mark.parametrize("played", [PlayedPosition(0, 7.0), PlayedPosition(1, 0.05), None])
def test_a_stop_before_a_word_was_played_keeps_nothing_of_the_reply(
    conversation: Conversation, played: PlayedPosition | None
) -> None:
    reply = ask(conversation)
    reply.add(delta("I hear you.", 1.0))
    conversation.stop(played)
    assert texts(conversation) == [("user", "hello")]
    assert conversation.can_retry


def test_a_stop_while_a_complete_reply_is_played_shortens_it(conversation: Conversation) -> None:
    reply = ask(conversation)
    reply.add(delta("one two three four", 4.0))
    conversation.complete(reply)
    conversation.stop(PlayedPosition(reply.number, 2.0))
    assert texts(conversation)[-1] == ("assistant", "one two")
    conversation.stop(PlayedPosition(reply.number, 1.0))
    assert texts(conversation)[-1] == ("assistant", "one two")


@pytest.mark.parametrize("seconds", [1.0, 0.95])
def test_a_reply_that_was_played_whole_is_kept_whole(conversation: Conversation, seconds: float) -> None:
    reply = ask(conversation)
    reply.add(delta("one two three four", 1.0))
    conversation.complete(reply)
    conversation.stop(PlayedPosition(reply.number, seconds))
    assert texts(conversation)[-1] == ("assistant", "one two three four")


def test_an_unknown_playback_position_keeps_a_complete_reply(conversation: Conversation) -> None:
    reply = ask(conversation)
    reply.add(delta("one two", 1.0))
    conversation.complete(reply)
    conversation.stop(None)
    assert texts(conversation)[-1] == ("assistant", "one two")


def test_text_replies_keep_what_was_shown(conversation: Conversation) -> None:
    reply = ask(conversation, speak=False)
    reply.add(delta("one two"))
    conversation.stop(None)
    assert texts(conversation)[-1] == ("assistant", "one two")


def test_the_pace_of_complete_replies_places_the_cut(conversation: Conversation) -> None:
    slow = ask(conversation)
    slow.add(delta("abcde fghi", 10.0))  # one character a second
    conversation.complete(slow)
    conversation.stop(None)
    reply = ask(conversation)
    reply.add(delta("one two three four", 3.0))
    conversation.stop(PlayedPosition(reply.number, 3.0))
    assert texts(conversation)[-1] == ("assistant", "one")


def test_a_message_that_failed_without_a_reply_is_not_sent_with_the_next(conversation: Conversation) -> None:
    conversation.fail(ask(conversation, "too long"))
    assert conversation.can_retry
    ask(conversation, "short")
    assert texts(conversation) == [("user", "short")]


def test_a_reply_that_fails_midway_is_kept_as_far_as_it_can_be_played(conversation: Conversation) -> None:
    reply = ask(conversation)
    reply.add(delta("one two three four five six", 0.9))
    conversation.fail(reply)
    assert texts(conversation)[-1] == ("assistant", "one two three")


def test_retrying_takes_the_message_and_the_partial_reply_out_of_the_history(conversation: Conversation) -> None:
    reply = ask(conversation, "again")
    reply.add(delta("one two three", 0.5))
    conversation.fail(reply)
    assert conversation.withdraw() == user("again")
    assert conversation.messages == []
    assert not conversation.failed


def test_an_empty_reply_can_be_retried(conversation: Conversation) -> None:
    conversation.complete(ask(conversation))
    assert conversation.can_retry


def test_nothing_can_be_retried_while_a_reply_comes_in(conversation: Conversation) -> None:
    ask(conversation)
    assert not conversation.can_retry


def test_clearing_ends_the_reply(conversation: Conversation) -> None:
    reply = ask(conversation)
    conversation.clear()
    assert reply.stop.is_set()
    assert conversation.messages == []


def test_phases_say_what_the_person_waits_for() -> None:
    reply = IncomingReply(1)
    phases = [reply.phase]
    for event in (delta(), delta("I "), delta(seconds=0.1)):
        reply.add(event)
        phases.append(reply.phase)
    reply.end()
    assert [*phases, reply.phase] == ["waiting for a free slot", "thinking", "thinking", "speaking", ""]


@given(st.text(alphabet="ab .\n", max_size=30), st.floats(0, 1))
def test_a_share_of_a_text_ends_at_a_word(text: str, share: float) -> None:
    part = text_up_to(text, share)
    rest = text[len(part) :]
    assert text.startswith(part)
    assert not part or not rest or rest[0].isspace()
    assert len(part) <= share * len(text)


def test_characters_of_a_script_without_spaces_are_words() -> None:
    assert text_up_to("我听到你说的话了", 0.5) == "我听到你"
