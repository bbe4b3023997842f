"""The page in a real browser, against a small endpoint that speaks the wire format."""

import asyncio
import base64
import io
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import soundfile
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from playwright.sync_api import Browser, expect

from serve_app.ui.page import DISCLOSURE, build_page, launch
from tests.conftest import free_ports
from tests.e2e.chromium import TalkPage, open_chromium

RATE = 22_050
NOTICE = "The voice of this checkpoint has not been trained: expect noise."
WORDS = ["I ", "hear ", "that ", "you ", "are ", "<b>glad</b>."]
REPLY = "".join(WORDS)
CHUNK = 4410


@dataclass
class FakeEndpoint:
    """Answers every request with the same words and a sine; what the user writes asks for trouble."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    hung_up: threading.Event = field(default_factory=threading.Event)

    def app(self) -> FastAPI:
        app = FastAPI()
        app.get("/v1/models")(self.models)
        app.post("/v1/chat/completions")(self.chat)
        return app

    def models(self) -> dict[str, Any]:
        model = {"id": "opens2s", "object": "model", "created": 0, "owned_by": "opens2s"}
        return {"object": "list", "data": [model | {"sample_rate": RATE, "voice_trained": False, "notice": NOTICE}]}

    async def chat(self, request: Request) -> Any:
        body = await request.json()
        self.requests.append(body)
        if "refuse" in written(body):
            error = {"message": "too long: expected 30 s", "type": "invalid_request_error", "param": "messages[0]"}
            return JSONResponse({"error": error | {"code": None}}, status_code=400)
        return StreamingResponse(self.stream(body), media_type="text/event-stream")

    async def stream(self, body: dict[str, Any]) -> AsyncIterator[str]:
        words = WORDS * 100 if "ramble" in written(body) else WORDS
        try:
            for i, word in enumerate(words):
                if "speak" in written(body) and i == 3:
                    await asyncio.sleep(60)
                yield event({"audio": {"id": "a", "transcript": word, "data": sine(i)}} if spoken(body) else word)
                await asyncio.sleep(0.02)
            yield "data: [DONE]\n\n"
        except asyncio.CancelledError:
            self.hung_up.set()
            raise


def spoken(body: dict[str, Any]) -> bool:
    return "audio" in body["modalities"]


def written(body: dict[str, Any]) -> str:
    return " ".join(part["text"] for part in body["messages"][-1]["content"] if part["type"] == "text")


def event(delta: Any) -> str:
    delta = {"content": delta} if isinstance(delta, str) else delta
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "opens2s"}
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    return f"data: {json.dumps(chunk | {'choices': [choice]})}\n\n"


def sine(chunk: int) -> str:
    times = (np.arange(CHUNK) + chunk * CHUNK) / RATE
    return base64.b64encode((8000 * np.sin(2 * np.pi * 440 * times)).astype("<i2").tobytes()).decode()


@pytest.fixture
def fake() -> FakeEndpoint:
    return FakeEndpoint()


@pytest.fixture
def endpoint(fake: FakeEndpoint) -> Iterator[str]:
    """The address of an endpoint; another suite may put the real one here."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(fake.app(), log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    server.force_exit = True
    thread.join(10)


@pytest.fixture
def address(endpoint: str, recording: Path) -> Iterator[str]:
    page = build_page(endpoint, examples={recording: "a tone"})
    yield launch(page, host="127.0.0.1", port=free_ports(1)[0])
    close(page)


def close(page: gr.Blocks) -> None:
    try:
        page.close(verbose=False)
    except RuntimeError:
        # It sets an event of the server's loop from this thread, where those who wait for it may change meanwhile.
        page.close(verbose=False)


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sounds") / "hello.wav"
    times = np.arange(2 * 16_000) / 16_000
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 300 * times), 16_000, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def browser(recording: Path) -> Iterator[Browser]:
    with open_chromium(microphone=recording) as chromium:
        yield chromium


@pytest.fixture
def talk(browser: Browser, address: str) -> Iterator[TalkPage]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, permissions=["microphone"])
    yield TalkPage(context.new_page(), address)
    context.close()


def sounds_in(body: dict[str, Any]) -> list[np.ndarray]:
    parts = [part for message in body["messages"] if message["role"] == "user" for part in message["content"]]
    sounds = [base64.b64decode(part["input_audio"]["data"]) for part in parts if part["type"] == "input_audio"]
    return [soundfile.read(io.BytesIO(sound), dtype="int16")[0] for sound in sounds]


def test_written_question_is_answered_in_words_and_sound(talk: TalkPage, fake: FakeEndpoint, tmp_path: Path) -> None:
    talk.write("Good news today")
    talk.wait_until_done()
    assert talk.replies() == [REPLY]
    assert talk.samples() == len(WORDS) * CHUNK
    expect(talk.player).to_have_attribute("data-clock", "running")
    for part in ("first text", "first audio", "1.2 s of speech"):
        expect(talk.status).to_contain_text(part)
    assert fake.requests[0]["modalities"] == ["text", "audio"]
    assert fake.requests[0]["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Good news today"}]}]
    talk.page.screenshot(path=tmp_path / "page.png")


def test_sound_plays_while_the_reply_is_still_coming(talk: TalkPage) -> None:
    talk.write("speak slowly")
    expect(talk.player).to_have_attribute("data-playing", "true")
    assert 0 < talk.samples() < len(WORDS) * CHUNK


def test_chosen_file_reaches_the_endpoint_as_it_is(talk: TalkPage, fake: FakeEndpoint, recording: Path) -> None:
    talk.choose_file(recording)
    talk.wait_until_done()
    assert talk.replies() == [REPLY]
    [sound] = sounds_in(fake.requests[0])
    np.testing.assert_array_equal(sound, soundfile.read(recording, dtype="int16")[0])


def test_recording_is_sent_when_it_stops(talk: TalkPage, fake: FakeEndpoint) -> None:
    talk.record(1500)
    talk.wait_until_done()
    assert talk.replies() == [REPLY]
    [sound] = sounds_in(fake.requests[0])
    assert np.abs(sound).max() > 1000


def test_second_turn_carries_the_first(talk: TalkPage, fake: FakeEndpoint, recording: Path) -> None:
    talk.choose_file(recording)
    talk.wait_until_done()
    talk.write("And now?")
    expect(talk.page.locator("#chat .bot.message", has_text=REPLY)).to_have_count(2)
    talk.wait_until_done()
    roles = [message["role"] for message in fake.requests[1]["messages"]]
    assert roles == ["user", "assistant", "user"]
    assert fake.requests[1]["messages"][0] == fake.requests[0]["messages"][0]
    assert fake.requests[1]["messages"][1]["content"] == REPLY
    expect(talk.page.locator("#chat .minimal-audio-player")).to_have_count(
        3
    )  # what was said once, what was answered twice


def test_refusal_is_shown_and_the_page_goes_on(talk: TalkPage, fake: FakeEndpoint) -> None:
    talk.write("please refuse")
    expect(talk.status).to_contain_text("messages[0]: too long: expected 30 s")
    expect(talk.page.locator("#text textarea")).to_have_value("please refuse")
    talk.write("hello")
    talk.wait_until_done()
    assert talk.replies() == [REPLY]
    assert len(fake.requests[1]["messages"]) == 1


def test_file_that_is_no_sound_is_refused_on_the_page(talk: TalkPage, fake: FakeEndpoint, tmp_path: Path) -> None:
    noise = tmp_path / "noise.wav"
    noise.write_bytes(b"not a sound at all")
    talk.choose_file(noise)
    expect(talk.status).to_contain_text("not a readable sound file")
    assert not fake.requests


def test_stop_hangs_up_silences_and_keeps_what_was_heard(talk: TalkPage, fake: FakeEndpoint) -> None:
    talk.write("speak slowly")
    expect(talk.page.locator("#chat")).to_contain_text("I hear that")
    talk.press("Stop")
    expect(talk.player).to_have_attribute("data-playing", "false")
    assert fake.hung_up.wait(5)
    talk.wait_until_done()
    assert talk.replies() == ["I hear that"]


def test_sending_interrupts_the_reply_in_progress(talk: TalkPage, fake: FakeEndpoint) -> None:
    talk.write("speak slowly")
    expect(talk.page.locator("#chat")).to_contain_text("I hear that")
    talk.write("never mind")
    expect(talk.page.locator("#chat")).to_contain_text(REPLY)
    assert fake.hung_up.wait(5)
    assert [message["role"] for message in fake.requests[1]["messages"]] == ["user", "assistant", "user"]


def test_closing_the_tab_hangs_up(talk: TalkPage, fake: FakeEndpoint) -> None:
    talk.write("ramble")
    expect(talk.page.locator("#chat")).to_contain_text("I hear that")
    talk.page.close()
    assert fake.hung_up.wait(20)


def test_clear_forgets_the_conversation(talk: TalkPage, fake: FakeEndpoint) -> None:
    talk.write("speak slowly")
    expect(talk.page.locator("#chat")).to_contain_text("I hear that")
    talk.press("Clear")
    expect(talk.page.locator("#chat .message")).to_have_count(0)
    talk.write("hello")
    talk.wait_until_done()
    assert len(fake.requests[1]["messages"]) == 1
    assert talk.replies() == [REPLY]


def test_settings_reach_the_endpoint(talk: TalkPage, fake: FakeEndpoint) -> None:
    talk.page.get_by_role("button", name="Settings").click()
    talk.page.get_by_label("Text only").check()
    talk.page.get_by_role("spinbutton", name="Temperature").fill("0.5")
    talk.page.get_by_label("Most text tokens").fill("40")
    talk.page.get_by_label("System prompt").fill("Be brief.")
    talk.write("hello")
    talk.wait_until_done()
    request = fake.requests[0]
    assert request["modalities"] == ["text"]
    assert request["temperature"] == 0.5
    assert request["top_p"] == 1
    assert request["max_completion_tokens"] == 40
    assert request["messages"][0] == {"role": "system", "content": "Be brief."}
    assert talk.replies() == [REPLY]
    assert talk.samples() == 0


def test_people_are_told_what_the_voice_is(talk: TalkPage) -> None:
    expect(talk.page.get_by_text(DISCLOSURE)).to_be_visible()
    expect(talk.notice).to_have_text(NOTICE)
    expect(talk.notice).to_be_visible()


def test_several_browsers_are_answered_at_once(browser: Browser, address: str) -> None:
    tabs = [TalkPage(browser.new_context().new_page(), address) for _ in range(3)]
    for tab in tabs:
        tab.write("speak slowly")
    for tab in tabs:
        expect(tab.page.locator("#chat")).to_contain_text("I hear that")
        tab.page.context.close()


def test_page_asks_no_other_machine_for_anything(browser: Browser, address: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    talk = TalkPage(page, address)
    talk.write("hello")
    talk.wait_until_done()
    assert [url for url in asked if not url.startswith((address, "blob:", "data:"))] == []
    context.close()


def test_silent_endpoint_is_reported(browser: Browser) -> None:
    page = build_page(f"http://127.0.0.1:{free_ports(1)[0]}")
    context = browser.new_context()
    talk = TalkPage(context.new_page(), launch(page, host="127.0.0.1", port=free_ports(1)[0]))
    expect(talk.notice).to_contain_text("does not answer")
    talk.write("hello")
    expect(talk.status).to_contain_text("does not answer")
    context.close()
    close(page)


def test_phone_needs_no_sideways_scrolling(browser: Browser, address: str, tmp_path: Path) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    talk = TalkPage(context.new_page(), address)
    talk.write("Good news today")
    talk.wait_until_done()
    assert talk.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    talk.page.screenshot(path=tmp_path / "phone.png", full_page=True)
    context.close()
