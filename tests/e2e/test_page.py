"""The page in a real browser, talking to the served platform."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, expect

from opens2s_core.audio import decode_audio
from serve_app.ui.client import Endpoint, Settings
from serve_app.ui.page import build_page, launch
from serve_app.ui.timed_reply import Exchange, converse
from tests.conftest import free_ports
from tests.e2e.chromium import TalkPage, open_chromium

pytestmark = pytest.mark.ray

TOKENS = 6


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, served: str) -> Iterator[TalkPage]:
    blocks = build_page(served)
    address = launch(blocks, host="127.0.0.1", port=free_ports(1)[0])
    tab = browser.new_page()
    talk = TalkPage(tab, address)
    tab.get_by_text("Settings").first.click()
    tab.get_by_label("Most text tokens").fill(str(TOKENS))
    yield talk
    tab.close()
    blocks.close()


def exchange(endpoint: str, recording: Path) -> Exchange:
    """What the endpoint says to it, asked beside the browser (whose driver has an event loop of its own here)."""
    sound, settings = decode_audio(recording.read_bytes()), Settings(max_tokens=TOKENS)
    with ThreadPoolExecutor(1) as other:
        return other.submit(lambda: asyncio.run(converse(Endpoint(endpoint), *sound, settings))).result()


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "hello.wav"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 20_000), 16_000)
    return path


def test_a_file_is_answered_with_the_words_and_sound_of_the_endpoint(
    page: TalkPage, served: str, recording: Path, tmp_path: Path
) -> None:
    page.choose_file(recording)
    page.wait_until_done()
    said = exchange(served, recording)
    assert " ".join(page.replies()[0].split()) == " ".join(said.text.split())
    assert page.samples() == len(said.samples) > 0
    page.page.screenshot(path=tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000


def test_an_untrained_voice_is_announced(page: TalkPage) -> None:
    expect(page.notice).to_contain_text("untrained")


def test_a_second_turn_follows_a_written_one(page: TalkPage) -> None:
    page.write("Hello there.")
    page.wait_until_done()
    page.write("And again.")
    expect(page.page.locator("#chat .bot .message-content")).to_have_count(2, timeout=30_000)
    page.wait_until_done()
