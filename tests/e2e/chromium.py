"""A headless Chromium for tests (Debian's package, driven by playwright), and the page as a person uses it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def open_chromium(microphone: Path | None = None) -> Iterator[Browser]:
    """A browser whose microphone records the wav file ``microphone``, in a loop; skips where there is no Chromium."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    recorded = []
    if microphone is not None:
        recorded = [
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-audio-capture={microphone}",
        ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, headless=True, args=[*QUIET, *recorded])
        try:
            yield browser
        finally:
            browser.close()


expect.set_options(timeout=15_000)


class TalkPage:
    """The page as a person uses it, whatever endpoint it talks to. Times are in milliseconds."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.chat = page.locator("#chat")
        self.player = page.locator("#player [data-samples]")
        self.status = page.locator("#status")
        self.notice = page.locator("#notice")
        self.composer = page.locator("#composer textarea")
        self.stop_reply = page.get_by_role("button", name="Stop reply")
        self.stop_recording = page.locator("#microphone .stop-button")
        page.goto(address)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Until the page is loaded, and has asked the endpoint (whose voice is not trained, or which wants a key)."""
        expect(self.composer).to_be_visible(timeout=30_000)
        expect(self.page.locator("#notice, #access").first).to_be_visible()

    def write(self, text: str) -> None:
        self.composer.fill(text)
        self.composer.press("Enter")

    def choose_file(self, path: Path) -> None:
        self.page.locator("#composer input[type=file]").first.set_input_files(path)
        expect(self.page.get_by_label("File thumbnail")).to_be_visible()
        self.page.get_by_test_id("submit-button").click()

    def record(self, milliseconds: int) -> None:
        self.page.locator("#microphone .record-button").click()
        self.page.wait_for_timeout(milliseconds)
        self.stop_recording.click()

    def press(self, button: str) -> None:
        self.page.get_by_role("button", name=button).click()

    def messages(self, role: Literal["user", "bot"]) -> list[str]:
        """The text of the messages of one side, oldest first."""
        return self.page.locator(f"#chat .{role} .message-content").all_inner_texts()

    def wait_for_replies(self, count: int) -> None:
        expect(self.page.locator("#chat .bot .minimal-audio-player")).to_have_count(count, timeout=30_000)

    def wait_until_done(self, timeout: int = 30_000) -> None:
        """Until the latencies of the last reply are shown."""
        expect(self.status).to_contain_text("whole", timeout=timeout)

    def samples(self) -> int:
        """How many samples of the last reply the browser has been given to play."""
        return int(self.player.get_attribute("data-samples") or 0)
