"""What spoken replies said, by the id of their audio."""

import pytest

from serve_app.gateway.transcripts import KEPT_SECONDS, Transcripts
from tests.fakes import FakeClock


@pytest.mark.parametrize("client", [None, b"one"])
def test_a_client_finds_the_transcripts_of_its_own_replies(client: bytes | None) -> None:
    transcripts = Transcripts()
    transcripts.put("a", client, "good morning")
    transcripts.put("b", client, "good night")
    assert transcripts.find(["b", "c", "a"], client) == {"a": "good morning", "b": "good night"}
    for other in {None, b"one", b"two"} - {client}:
        assert transcripts.find(["a"], other) == {}


def test_a_transcript_is_kept_for_an_hour() -> None:
    clock = FakeClock()
    transcripts = Transcripts(clock=clock)
    transcripts.put("a", None, "good morning")
    clock.now += KEPT_SECONDS - 1
    assert transcripts.find(["a"], None) == {"a": "good morning"}
    clock.now += 2
    assert transcripts.find(["a"], None) == {}
    assert KEPT_SECONDS == 3600


def test_the_oldest_go_first_where_there_are_too_many() -> None:
    transcripts = Transcripts(max_bytes=10)
    for name in "abc":
        transcripts.put(name, None, "é" * 2)
    assert transcripts.find("abc", None) == {"b": "éé", "c": "éé"}
    transcripts.put("d", None, "x" * 11)
    assert transcripts.find("abcd", None) == {}
    transcripts.put("e", None, "x" * 10)
    assert transcripts.find("e", None) == {"e": "x" * 10}
