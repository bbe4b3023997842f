"""A headless Chromium for tests (Debian's package, driven by playwright), and the page as a person uses it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
    """A browser whose microphone hears the wav file ``microphone``, over and over; skips where there is no Chromium."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    hearing = []
    if microphone is not None:
        hearing = [
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-audio-capture={microphone}",
        ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, headless=True, args=[*QUIET, *hearing])
        try:
            yield browser
        finally:
            browser.close()


expect.set_options(timeout=15_000)


class TalkPage:
    """The page as a person uses it, whatever endpoint it talks to. Times are in milliseconds."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.player = page.locator("#player [data-samples]")
        self.status = page.locator("#status")
        self.notice = page.locator("#notice")
        page.goto(address)
        expect(page.get_by_role("button", name="Send")).to_be_visible(timeout=30_000)

    def write(self, text: str) -> None:
        self.page.locator("#text textarea").fill(text)
        self.press("Send")

    def choose_file(self, path: Path) -> None:
        self.page.get_by_label("Upload file").click()
        self.page.locator("#sound input[type=file]").set_input_files(path)
        expect(self.page.locator("#sound audio").first).to_be_attached()
        self.press("Send")

    def record(self, milliseconds: int) -> None:
        self.page.locator("#sound .record-button").click()
        self.page.wait_for_timeout(milliseconds)
        self.page.locator("#sound .stop-button").click()

    def press(self, button: str) -> None:
        self.page.locator("#actions").get_by_role("button", name=button).click()

    def replies(self) -> list[str]:
        """The words of the replies so far, oldest first."""
        return self.page.locator("#chat .bot .message-content").all_inner_texts()

    def wait_until_done(self, timeout: int = 30_000) -> None:
        """Until the line with the latencies of the last reply is there."""
        expect(self.status).to_contain_text("whole", timeout=timeout)

    def samples(self) -> int:
        """How many samples of the last reply the browser has been given to play."""
        return int(self.player.get_attribute("data-samples") or 0)
