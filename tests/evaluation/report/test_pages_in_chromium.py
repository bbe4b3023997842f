"""The pages as a browser shows them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from evaluation.items import Turn
from evaluation.report import compare
from evaluation.scores import Metric
from tests.e2e.chromium import open_chromium
from tests.evaluation.report.small_run import FACTS, SmallSuite, clip, small_run

TEXTS_BEYOND_THE_PAGE = """() => {
  const beyond = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const range = document.createRange();
    range.selectNodeContents(walker.currentNode);
    const scrolls = walker.currentNode.parentElement.closest(".scroll");
    const right = scrolls ? scrolls.getBoundingClientRect().right : innerWidth;
    for (const box of range.getClientRects())
      if (box.width && (box.right > right + 1 || box.left < -1)) beyond.push(walker.currentNode.data.trim());
  }
  return beyond;
}"""
LONG = "https://example.org/" + "unbroken" * 60
TEXTS = (LONG, "今天丢了工作，心情很糟糕，不知道该怎么办。" * 10, "لقد فقدت وظيفتي اليوم، ولا أعرف ماذا أفعل. " * 10)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with open_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages with long words, Chinese and Arabic in all places."""
    directory = tmp_path_factory.mktemp("pages")
    run = small_run(24, audio=True, facts=FACTS | {"model": LONG, "model_fingerprint": "f" * 64})
    run.items = [
        replace(item, turns=(Turn(text=TEXTS[n % 3], audio=clip()),), category=TEXTS[n % 3], references=TEXTS)
        for n, item in enumerate(run.items)
    ]
    run.answers = [
        replace(answer, replies=(replace(answer.replies[0], text=TEXTS[n % 3], transcript=TEXTS[n % 3]),))
        for n, answer in enumerate(run.answers)
    ]
    run.answers[3] = replace(run.answers[3], replies=(), error=LONG)
    run.report(directory / "a")
    small_run(24).report(directory / "b")
    compare([directory / "a", directory / "b"], directory)
    return {"report": directory / "a/report.html", "comparison": directory / "comparison.html"}


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", ["report", "comparison"])
def test_no_text_leaves_the_page_and_nothing_is_requested(
    name: str, width: int, chromium: Browser, pages: dict[str, Path], tmp_path: Path
) -> None:
    page = chromium.new_page(viewport={"width": width, "height": 900})
    requests: list[str] = []
    problems: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: problems.append(message.text))
    page.goto(pages[name].as_uri())
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert (tmp_path / "page.png").stat().st_size > 20_000
    assert page.evaluate(TEXTS_BEYOND_THE_PAGE) == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator("svg").count() == 2
    assert [url for url in requests if not url.startswith("data:")] == [pages[name].as_uri()]
    assert problems == []
    page.close()


def test_names_of_runs_keep_their_width_beside_many_metrics(chromium: Browser, tmp_path: Path) -> None:
    metrics = tuple(Metric(name=f"m{n}", title=f"Metric number {n}", unit="of 100") for n in range(12))
    for name in ("a", "b"):
        small_run(3, suite=SmallSuite(metrics=(*SmallSuite().metrics, *metrics))).report(tmp_path / name)
    compare([tmp_path / "a", tmp_path / "b"], tmp_path)
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.goto((tmp_path / "comparison.html").as_uri())
    boxes = [heading.bounding_box() for heading in page.locator("tbody th").all()]
    assert len(boxes) == 5
    assert all(box and box["width"] >= 150 for box in boxes)
    page.close()


def test_clips_can_be_decoded(chromium: Browser, pages: dict[str, Path]) -> None:
    page = chromium.new_page()
    page.goto(pages["report"].as_uri())
    page.wait_for_function("[...document.querySelectorAll('audio')].every(clip => clip.readyState >= 1)")
    durations = page.evaluate("[...document.querySelectorAll('audio')].map(clip => clip.duration)")
    assert len(durations) >= 40
    assert durations == pytest.approx([0.5] * len(durations), abs=0.1)
    page.close()
