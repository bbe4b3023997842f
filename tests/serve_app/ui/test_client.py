"""The client against a small endpoint that speaks the wire format."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from serve_app.ui.client import (
    ChatEndpoint,
    Delta,
    EndpointError,
    KeyRefusedError,
    Message,
    Settings,
    to_chat_messages,
    until_set,
)
from tests.conftest import free_ports
from tests.serve_app.ui.fake_endpoint import CHUNK, NOTICE, RATE, REPLY, WORDS, FakeEndpoint


def deltas(
    endpoint: ChatEndpoint, text: str, settings: Settings | None = None, key: str = "", first: int | None = None
) -> list[Delta]:
    """The deltas of the reply to ``text``; only the ``first`` ones, where given."""

    async def collect() -> list[Delta]:
        found: list[Delta] = []
        async with aclosing(endpoint.reply([Message(role="user", text=text)], settings or Settings(), key)) as reply:
            async for delta in reply:
                found.append(delta)
                if len(found) == first:
                    break
        return found

    return asyncio.run(collect())


def test_a_reply_starts_with_an_empty_delta_when_it_is_accepted(fake: FakeEndpoint, address: str) -> None:
    found = deltas(ChatEndpoint(address), "hello")
    assert found[0] == Delta("", "", RATE)
    assert "".join(delta.text for delta in found) == REPLY
    assert sum(len(delta.pcm) for delta in found) == len(WORDS) * CHUNK * 2 * 4 // 3


def test_settings_are_sent(fake: FakeEndpoint, address: str) -> None:
    deltas(
        ChatEndpoint(address),
        "hello",
        Settings(temperature=0.5, max_tokens=40, system_prompt=" Be brief. ", speak=False),
    )
    [request] = fake.requests
    assert request["modalities"] == ["text"]
    assert request["temperature"] == 0.5
    assert request["max_completion_tokens"] == 40
    assert request["messages"][0] == {"role": "system", "content": "Be brief."}


def test_the_endpoint_describes_its_voice(fake: FakeEndpoint, address: str) -> None:
    voice = asyncio.run(ChatEndpoint(address).voice())
    assert (voice.sample_rate, voice.trained, voice.notice) == (RATE, False, NOTICE)


def test_a_key_is_sent_as_bearer(fake: FakeEndpoint, address: str) -> None:
    fake.key = "secret"
    assert deltas(ChatEndpoint(address), "hello", key="secret")


@pytest.mark.parametrize("key", ["", "wrong"])
def test_a_missing_or_unknown_key_is_an_error_of_its_own(fake: FakeEndpoint, address: str, key: str) -> None:
    fake.key = "secret"
    with pytest.raises(KeyRefusedError):
        deltas(ChatEndpoint(address), "hello", key=key)


def test_a_refusal_names_the_field(fake: FakeEndpoint, address: str) -> None:
    with pytest.raises(EndpointError, match=r"^messages\[0\]: too long: expected 30 s$"):
        deltas(ChatEndpoint(address), "refuse")


def test_waiting_for_a_slot_times_out_and_closes_the_connection(fake: FakeEndpoint, address: str) -> None:
    with pytest.raises(EndpointError, match=r"No slot became free: nothing for 0\.3 s"):
        deltas(ChatEndpoint(address, event_timeout=0.3), "queue")
    assert fake.disconnected.wait(5)


@pytest.mark.parametrize("text", ["think", "stall"])
def test_a_reply_that_stops_coming_times_out(fake: FakeEndpoint, address: str, text: str) -> None:
    with pytest.raises(EndpointError, match=r"The reply stopped coming: nothing for 0\.3 s"):
        deltas(ChatEndpoint(address, event_timeout=0.3), text)


def test_closing_the_iterator_closes_the_connection(fake: FakeEndpoint, address: str) -> None:
    deltas(ChatEndpoint(address), "ramble", first=3)
    assert fake.disconnected.wait(5)


def test_a_silent_address_is_reported() -> None:
    with pytest.raises(EndpointError, match="does not answer"):
        asyncio.run(ChatEndpoint(f"http://127.0.0.1:{free_ports(1)[0]}").voice())


def test_only_the_user_is_sent_with_audio() -> None:
    messages = [
        Message(role="user", text="listen", audio=b"flac"),
        Message(role="assistant", text="I hear you.", audio=b"mp3"),
    ]
    user, assistant = to_chat_messages(messages, "")
    assert [part["type"] for part in user["content"]] == ["input_audio", "text"]
    assert user["content"][0]["input_audio"] == {"data": "ZmxhYw==", "format": "flac"}
    assert assistant == {"role": "assistant", "content": "I hear you."}


def test_a_stop_ends_the_items_at_once_and_closes_them() -> None:
    async def stopped_items() -> tuple[list[int], bool]:
        stop, closed = asyncio.Event(), False

        async def items() -> AsyncGenerator[int, None]:
            nonlocal closed
            try:
                yield 1
                await asyncio.sleep(60)
            finally:
                closed = True

        found = []
        async for item in until_set(stop, items()):
            found.append(item)
            asyncio.get_running_loop().call_later(0.05, stop.set)
        return found, closed

    assert asyncio.run(asyncio.wait_for(stopped_items(), 5)) == ([1], True)


def test_a_reply_without_text_is_not_sent_back() -> None:
    assert to_chat_messages([Message(role="assistant", audio=b"mp3")], "") == []
