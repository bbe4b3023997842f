"""The page in a real browser, against a small endpoint that speaks the wire format, and once against the platform."""

import asyncio
import base64
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, BrowserContext, expect

from opens2s_core.audio import decode_audio
from serve_app.ui.client import ChatEndpoint, Settings
from serve_app.ui.layout import DISCLOSURE
from serve_app.ui.page import build_page, launch
from serve_app.ui.timed_reply import TimedReply, timed_reply
from tests.conftest import free_ports
from tests.e2e.chromium import TalkPage, open_chromium
from tests.serve_app.ui.fake_endpoint import CHUNK, NOTICE, REPLY, WORDS, FakeEndpoint, running

TOKENS = 6
PHONE = {"width": 390, "height": 844}
PARTIAL = "I hear that"
"""What has come of a reply that stalls."""


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audio") / "hello.wav"
    times = np.arange(2 * 16_000) / 16_000
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 300 * times), 16_000, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def browser(recording: Path) -> Iterator[Browser]:
    with open_chromium(microphone=recording) as chromium:
        yield chromium


@contextmanager
def serving(page: gr.Blocks) -> Iterator[str]:
    yield launch(page, host="127.0.0.1", port=free_ports(1)[0])
    try:
        page.close(verbose=False)
    except RuntimeError:
        # It sets an event of the server's loop from this thread, where those who wait for it may change meanwhile.
        page.close(verbose=False)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[tuple[FakeEndpoint, str, str]]:
    """The fake endpoint, its address, and that of the page which talks to it."""
    fake = FakeEndpoint()
    with running(fake) as url, serving(build_page(ChatEndpoint(url))) as page:
        yield fake, url, page


@pytest.fixture
def fake(endpoint: tuple[FakeEndpoint, str, str]) -> FakeEndpoint:
    endpoint[0].reset()
    return endpoint[0]


@pytest.fixture
def address(endpoint: tuple[FakeEndpoint, str, str]) -> str:
    return endpoint[2]


@contextmanager
def fresh_context(browser: Browser, **options: Any) -> Iterator[BrowserContext]:
    """Nothing stored; fails at its end if a page wrote an error to its console."""
    context = browser.new_context(permissions=["microphone"], **options)
    errors: list[str] = []
    context.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    context.on("weberror", lambda error: errors.append(str(error.error)))
    yield context
    context.close()
    # Gradio's waveforms complain when they are removed while they load.
    assert [error for error in errors if "AbortError: signal is aborted" not in error] == []


@pytest.fixture
def talk(browser: Browser, fake: FakeEndpoint, address: str) -> Iterator[TalkPage]:
    with fresh_context(browser, viewport={"width": 1280, "height": 800}) as context:
        yield TalkPage(context.new_page(), address)


def audio_in(body: dict[str, Any]) -> list[np.ndarray]:
    parts = [part for message in body["messages"] if message["role"] == "user" for part in message["content"]]
    files = [base64.b64decode(part["input_audio"]["data"]) for part in parts if part["type"] == "input_audio"]
    return [soundfile.read(io.BytesIO(file), dtype="int16")[0] for file in files]


def roles(body: dict[str, Any]) -> list[str]:
    return [message["role"] for message in body["messages"]]


def test_enter_sends_and_the_reply_is_shown_and_played(talk: TalkPage, fake: FakeEndpoint, address: str) -> None:
    urls: list[str] = []
    talk.page.on("request", lambda request: urls.append(request.url))
    talk.page.reload()
    expect(talk.page.get_by_text(DISCLOSURE)).to_be_visible()
    expect(talk.notice).to_have_text(NOTICE)
    talk.composer.fill("Good news")
    talk.composer.press("Shift+Enter")
    talk.composer.press_sequentially("today")
    talk.composer.press("Enter")
    expect(talk.player).to_have_attribute("data-playing", "true")
    talk.wait_until_done()
    assert talk.messages("bot") == [REPLY]
    assert talk.samples() == len(WORDS) * CHUNK
    expect(talk.player).to_have_attribute("data-clock", "running")
    for part in ("first text", "first audio", "1.2 s of speech"):
        expect(talk.status).to_contain_text(part)
    assert fake.requests[0]["modalities"] == ["text", "audio"]
    content = [{"type": "text", "text": "Good news\ntoday"}]
    assert fake.requests[0]["messages"] == [{"role": "user", "content": content}]
    expect(talk.composer).to_have_value("")
    assert [url for url in urls if not url.startswith((address, "blob:", "data:"))] == []  # asks no other machine


def test_a_reply_says_what_it_waits_for_and_plays_while_it_comes_in(talk: TalkPage) -> None:
    for text, phase in (("queue", "waiting for a free slot"), ("think", "thinking"), ("stall", "speaking")):
        talk.write(text)
        expect(talk.player).to_contain_text(phase)
        if phase != "speaking":
            talk.stop_reply.click()
            expect(talk.player).not_to_contain_text(phase)
    expect(talk.player).to_have_attribute("data-playing", "true")
    assert 0 < talk.samples() < len(WORDS) * CHUNK


def test_a_file_and_a_recording_reach_the_endpoint(talk: TalkPage, fake: FakeEndpoint, recording: Path) -> None:
    talk.choose_file(recording)
    talk.wait_for_replies(1)
    expect(talk.player).to_have_attribute("data-playing", "false")
    [chosen] = audio_in(fake.requests[0])
    np.testing.assert_array_equal(chosen, soundfile.read(recording, dtype="int16")[0])
    talk.record(1500)
    talk.wait_for_replies(2)
    assert roles(fake.requests[1]) == ["user", "assistant", "user"]
    assert fake.requests[1]["messages"][:2] == [
        fake.requests[0]["messages"][0],
        {"role": "assistant", "content": REPLY},
    ]
    recorded = audio_in(fake.requests[1])[1]
    assert 0.5 * 16_000 < len(recorded) < 4 * 16_000  # at the rate of the model's encoder
    assert np.abs(recorded).max() > 1000


def test_stop_of_the_recording_and_of_the_reply_cannot_be_confused(talk: TalkPage) -> None:
    talk.write("stall")
    expect(talk.chat).to_contain_text(PARTIAL)
    expect(talk.stop_recording).to_be_hidden()
    reply_colour = talk.stop_reply.evaluate("button => getComputedStyle(button).backgroundColor")
    talk.page.locator("#microphone .record-button").click()
    expect(talk.stop_recording).to_have_text("Stop recording")
    expect(talk.stop_reply).to_be_hidden()  # recording has interrupted it
    assert talk.stop_recording.evaluate("button => getComputedStyle(button).backgroundColor") != reply_colour
    talk.stop_recording.click()
    expect(talk.chat).to_contain_text(REPLY)


def test_a_refusal_is_shown_and_the_page_goes_on(talk: TalkPage, fake: FakeEndpoint) -> None:
    talk.write("please refuse")
    expect(talk.status).to_contain_text("messages[0]: too long: expected 30 s")
    expect(talk.page.get_by_role("button", name="Try again")).to_be_visible()
    talk.write("hello")
    talk.wait_until_done()
    assert talk.messages("user") == ["hello"]
    assert len(fake.requests[1]["messages"]) == 1


def test_an_unreadable_file_is_reported(talk: TalkPage, fake: FakeEndpoint, tmp_path: Path) -> None:
    text_file = tmp_path / "text.wav"
    text_file.write_bytes(b"not audio at all")
    talk.choose_file(text_file)
    expect(talk.status).to_contain_text("This audio cannot be used")
    assert not fake.requests


def test_a_stop_keeps_what_was_played_and_the_next_turn_contains_no_more(talk: TalkPage, fake: FakeEndpoint) -> None:
    talk.write("stall")
    expect(talk.chat).to_contain_text(PARTIAL)
    talk.stop_reply.click()
    expect(talk.player).to_have_attribute("data-playing", "false")
    assert fake.disconnected.wait(5)
    talk.write("hello")
    expect(talk.chat).to_contain_text(REPLY)
    sent = [message["content"] for message in fake.requests[1]["messages"] if message["role"] == "assistant"]
    assert all(PARTIAL.startswith(text) and text != PARTIAL for text in sent)
    assert talk.messages("bot") == [*sent, REPLY]


def test_a_stop_while_a_complete_reply_is_played_shortens_it(talk: TalkPage) -> None:
    talk.write("ramble")
    talk.wait_until_done()  # 24 s of audio, made in three
    talk.stop_reply.click()
    expect(talk.stop_reply).to_be_hidden()
    expect(talk.chat).not_to_contain_text(REPLY * 20)
    [reply] = talk.messages("bot")
    assert 0 < len(reply) < len(REPLY * 20) / 2


def test_a_message_interrupts_the_reply_in_progress(talk: TalkPage, fake: FakeEndpoint) -> None:
    talk.write("stall")
    expect(talk.chat).to_contain_text(PARTIAL)
    talk.page.wait_for_timeout(700)  # played to its end
    talk.write("never mind")
    expect(talk.chat).to_contain_text(REPLY)
    assert fake.disconnected.wait(5)
    assert roles(fake.requests[1]) == ["user", "assistant", "user"]


def test_quick_messages_do_not_stop_each_other(talk: TalkPage, fake: FakeEndpoint) -> None:
    for text in ("queue", "think", "hello"):
        talk.write(text)
        expect(talk.composer).to_have_value("")
    talk.wait_until_done()
    assert talk.messages("user") == ["queue", "think", "hello"]
    assert talk.messages("bot") == [REPLY]


def test_what_is_being_written_stays_when_a_reply_ends(talk: TalkPage, fake: FakeEndpoint) -> None:
    talk.write("queue")
    expect(talk.composer).to_have_value("")
    talk.composer.fill("I am still writing")
    talk.press("Stop reply")
    expect(talk.stop_reply).to_be_hidden()
    talk.page.wait_for_timeout(500)
    expect(talk.composer).to_have_value("I am still writing")


def test_two_tabs_are_answered_at_once_and_closing_one_ends_its_reply(
    talk: TalkPage, fake: FakeEndpoint, address: str
) -> None:
    other = TalkPage(talk.page.context.new_page(), address)
    for tab in (talk, other):
        tab.write("stall")
    for tab in (talk, other):
        expect(tab.chat).to_contain_text(PARTIAL)
    talk.page.close()
    assert fake.disconnected.wait(5)
    expect(other.chat).to_contain_text(PARTIAL)


def test_the_conversation_survives_a_reload(talk: TalkPage, fake: FakeEndpoint, recording: Path) -> None:
    talk.choose_file(recording)
    talk.wait_for_replies(1)
    talk.page.reload()
    talk.wait_until_ready()
    expect(talk.page.locator("#chat .minimal-audio-player")).to_have_count(2)
    assert talk.messages("bot") == [REPLY]
    talk.write("And now?")
    talk.wait_for_replies(2)
    assert fake.requests[1]["messages"][:-1] == [
        fake.requests[0]["messages"][0],
        {"role": "assistant", "content": REPLY},
    ]
    talk.press("New conversation")
    expect(talk.page.locator("#chat .message")).to_have_count(0)
    talk.page.reload()
    talk.wait_until_ready()
    expect(talk.page.locator("#chat .message")).to_have_count(0)


def test_a_new_conversation_ends_the_reply(talk: TalkPage, fake: FakeEndpoint) -> None:
    talk.write("stall")
    expect(talk.chat).to_contain_text(PARTIAL)
    talk.press("New conversation")
    expect(talk.page.locator("#chat .message")).to_have_count(0)
    assert fake.disconnected.wait(5)
    talk.write("hello")
    talk.wait_until_done()
    assert roles(fake.requests[1]) == ["user"]


def test_settings_reach_the_endpoint(talk: TalkPage, fake: FakeEndpoint) -> None:
    talk.press("Settings")
    talk.page.get_by_label("Text only").check()
    talk.page.get_by_role("spinbutton", name="Temperature").fill("0.5")
    talk.page.get_by_label("Most text tokens").fill("40")
    talk.page.get_by_label("System prompt").fill("Be brief.")
    talk.write("hello")
    talk.wait_until_done()
    [request] = fake.requests
    assert request["modalities"] == ["text"]
    assert (request["temperature"], request["top_p"], request["max_completion_tokens"]) == (0.5, 1, 40)
    assert request["messages"][0] == {"role": "system", "content": "Be brief."}
    assert talk.messages("bot") == [REPLY]
    assert talk.samples() == 0


def test_a_key_is_asked_for_sent_and_kept_only_on_request(browser: Browser, fake: FakeEndpoint, address: str) -> None:
    fake.key = "secret"
    with fresh_context(browser) as context:
        talk = TalkPage(context.new_page(), address)
        hint, field = talk.page.locator("#access-hint"), talk.page.locator("#key input")
        expect(hint).to_contain_text("needs an API key")
        assert field.get_attribute("type") == "password"
        talk.write("hello")
        expect(talk.status).to_contain_text("Enter an API key")
        field.fill("wrong")
        talk.press("Use this key")
        expect(hint).to_contain_text("does not accept")
        field.fill("secret")
        talk.press("Use this key")
        expect(hint).to_contain_text("accepted")
        talk.press("Try again")
        talk.wait_until_done()
        assert talk.messages("user") == ["hello"]
        talk.page.reload()
        expect(hint).to_contain_text("needs an API key")
        field.fill("secret")
        talk.page.get_by_label("Keep it in this browser").check()
        talk.press("Use this key")
        expect(hint).to_contain_text("accepted")
        talk.page.reload()
        expect(hint).to_contain_text("accepted")
        expect(field).to_have_value("secret")


def test_on_a_phone_the_reply_and_the_composer_are_in_view(browser: Browser, fake: FakeEndpoint, address: str) -> None:
    with fresh_context(browser, viewport=PHONE, has_touch=True, is_mobile=True) as context:
        talk = TalkPage(context.new_page(), address)
        for count in (1, 2):
            talk.write(f"Good news number {count}")
            expect(talk.page.locator("#chat .bot .message-content", has_text=REPLY)).to_have_count(count)
            expect(talk.player).to_have_attribute("data-playing", "false")
        expect(talk.page.locator("#chat .bot .message-content").last).to_be_in_viewport(ratio=1)
        expect(talk.composer).to_be_in_viewport(ratio=1)
        assert talk.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_timeout_is_reported_and_can_be_tried_again(browser: Browser, fake: FakeEndpoint) -> None:
    with (
        running(fake) as url,
        serving(build_page(ChatEndpoint(url, event_timeout=0.5))) as address,
        fresh_context(browser) as context,
    ):
        talk = TalkPage(context.new_page(), address)
        talk.write("queue")
        expect(talk.status).to_contain_text("No slot became free")
        expect(talk.stop_reply).to_be_hidden()
        talk.press("Try again")
        expect(talk.player).to_contain_text("waiting for a free slot")
        expect(talk.status).to_contain_text("No slot became free")
        assert len(fake.requests) == 2


def test_a_silent_endpoint_is_reported(browser: Browser) -> None:
    silent = ChatEndpoint(f"http://127.0.0.1:{free_ports(1)[0]}")
    with serving(build_page(silent)) as address, fresh_context(browser) as context:
        talk = TalkPage(context.new_page(), address)
        expect(talk.notice).to_contain_text("does not answer")
        talk.write("hello")
        expect(talk.status).to_contain_text("does not answer")


@pytest.mark.ray
def test_the_platform_answers_a_file(browser: Browser, served: str, recording: Path) -> None:
    with serving(build_page(ChatEndpoint(served))) as address, fresh_context(browser) as context:
        talk = TalkPage(context.new_page(), address)
        expect(talk.notice).to_contain_text("untrained")
        talk.press("Settings")
        talk.page.get_by_label("Most text tokens").fill(str(TOKENS))
        talk.choose_file(recording)
        talk.wait_until_done()
        expected = reply_of(served, recording)
        assert " ".join(talk.messages("bot")[0].split()) == " ".join(expected.text.split())
        assert min(talk.samples(), len(expected.samples)) > 0  # speech is sampled, each time with a seed of its own


def reply_of(endpoint: str, recording: Path) -> TimedReply:
    """In a thread: the browser's driver has an event loop of its own in this one."""
    audio, settings = decode_audio(recording.read_bytes()), Settings(max_tokens=TOKENS)
    with ThreadPoolExecutor(1) as other:
        return other.submit(lambda: asyncio.run(timed_reply(ChatEndpoint(endpoint), *audio, settings))).result()
