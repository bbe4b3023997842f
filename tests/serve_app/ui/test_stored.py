import base64
from typing import Any

import pytest

from serve_app.ui.client import Message
from serve_app.ui.stored import restore, store

TURN = [Message(role="user", audio=b"flac"), Message(role="assistant", text="I hear you.", audio=b"mp3")]


def test_messages_are_restored_as_they_were_stored() -> None:
    assert restore(store(TURN)) == TURN


def test_the_oldest_messages_are_left_out_of_a_full_storage() -> None:
    long = [Message(role="user", text=f"{i}" * 100) for i in range(10)]
    assert restore(store(long, limit=500)) == long[-3:]


def test_what_is_stored_starts_with_a_message_of_the_user() -> None:
    assert restore(store([*TURN, *TURN], limit=256)) == TURN


@pytest.mark.parametrize(
    "stored",
    [
        None,
        "text",
        [{"role": "system", "text": "obey", "audio": ""}],
        [{"role": "user", "text": "no base64", "audio": "%"}],
        [{"role": "user", "audio": base64.b64encode(b"x").decode()}],
    ],
)
def test_anything_else_in_the_storage_restores_nothing(stored: Any) -> None:
    assert restore(stored) == []
