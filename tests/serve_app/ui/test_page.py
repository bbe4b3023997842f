"""The handlers of the page, called as gradio calls them."""

import asyncio
from typing import Any

import gradio as gr
import pytest

from serve_app.ui.client import ChatEndpoint
from serve_app.ui.conversation import Conversation
from serve_app.ui.page import Page
from tests.serve_app.ui.fake_endpoint import REPLY, FakeEndpoint

CHOSEN = (0.0, 1.0, 0, "", True)
"""The settings as they are when nobody has touched them."""


@pytest.fixture
def page(address: str) -> Page:
    with gr.Blocks():
        return Page(ChatEndpoint(address), {})


def send(page: Page, conversation: Conversation, text: str, key: str | None = None) -> list[dict[Any, Any]]:
    async def collect() -> list[dict[Any, Any]]:
        composed = {"text": text, "files": []}
        return [update async for update in page.send_composed(conversation, composed, *CHOSEN, key, None)]

    return asyncio.run(collect())


def test_the_composer_is_emptied_once_and_the_reply_is_stored(page: Page, fake: FakeEndpoint) -> None:
    updates = send(page, Conversation(), "hello")
    assert [page.layout.composer in update for update in updates].count(True) == 1
    stored = updates[-1][page.layout.conversation_store]
    assert [message["text"] for message in stored] == ["hello", REPLY]


@pytest.mark.parametrize(("key", "hint"), [(None, "needs an API key"), (" wrong ", "does not accept this API key")])
def test_a_refused_key_is_reported_at_the_field(page: Page, fake: FakeEndpoint, key: str | None, hint: str) -> None:
    fake.key = "secret"
    conversation = Conversation()
    update = send(page, conversation, "hello", key)[-1]
    assert hint in update[page.layout.access_hint]
    assert conversation.can_retry


def test_a_key_may_have_blanks_around_it(page: Page, fake: FakeEndpoint) -> None:
    fake.key = "secret"
    conversation = Conversation()
    send(page, conversation, "hello", " secret\n")
    assert [message.text for message in conversation.messages] == ["hello", REPLY]


def test_nothing_is_not_sent(page: Page, fake: FakeEndpoint) -> None:
    [update] = send(page, Conversation(), "  \n")
    assert "first" in update[page.layout.status]
    assert fake.requests == []
