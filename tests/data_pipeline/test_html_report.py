import base64
import re
from html.parser import HTMLParser

import pytest

from data_pipeline.html_report import Example, render_html
from data_pipeline.records import Reject
from data_pipeline.report import Report, RowFacts, SampleFacts, count_rows

HOSTILE = """</style><script>alert("1")</script>'"><img src=x onerror=alert(1)> $x_1$"""
HOUR = 3600 * 16_000


class Page(HTMLParser):
    """What a browser would find in the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"

    def having(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def facts(corpus: str = "esd", **settings: str) -> RowFacts:
    labels = {"split": "train", "language": "zh"} | settings
    samples = (SampleFacts(length=1_234_567, text_labels=9, unit_labels=31, units=30, spoken_tokens=12),)
    return RowFacts(corpus=corpus, clip_samples=(HOUR,), samples=samples, **labels)  # type: ignore[arg-type]


def example(number: int, **settings: str) -> Example:
    clips = (b"fLaC" + bytes([number]),)
    return Example(
        **({"id": f"clip-{number}", "corpus": "esd", "language": "zh", "text": "今天"} | settings), clips=clips
    )  # type: ignore[arg-type]


def rejects(count: int, reason: str = "too short: 0.1 s") -> list[Reject]:
    return [Reject(id=f"bad-{number}", step="filter", reason=reason) for number in range(count)]


@pytest.fixture(scope="module")
def page() -> Page:
    rows = [facts(emotion="sad", gender="female"), facts(emotion="sad", age="adult"), facts("meld", language="en")]
    bad = [*rejects(5), Reject(id="worse", step="decode", reason="empty")]
    return Page(render_html("My data", count_rows(rows, bad), [example(n) for n in range(12)], bad))


def test_the_page_has_the_counts(page: Page) -> None:
    text = " ".join(page.text.split())
    for part in (
        "Rows 3 of 9 read",
        "Audio 3.0 h 3 clips",
        "Rejected 6 66.7% of the rows read",
        "3.7M 3,703,701",
        "2.50",
    ):
        assert part in text


def test_there_is_a_plot_for_each_question(page: Page) -> None:
    assert [svg["aria-label"] for svg in page.having("svg")] == [
        "Histogram of clip durations",
        "Hours per corpus",
        "Hours per language",
        "Rejected rows by reason",
        "Rows by emotion, gender and age",
    ]
    assert "Emotion by gender and age: zh" in page.text
    assert "Emotion by gender and age: en" not in page.text  # nothing is known of these rows


def test_ten_samples_can_be_played_from_the_page_itself(page: Page) -> None:
    sources = [audio["src"] for audio in page.having("audio")]
    assert sources == [
        f"data:audio/flac;base64,{base64.b64encode(b'fLaC' + bytes([number])).decode()}" for number in range(10)
    ]


def test_three_examples_of_each_reason_are_shown(page: Page) -> None:
    assert re.findall(r"bad-\d|worse", page.text) == ["bad-0", "bad-1", "bad-2", "worse"]


def test_nothing_is_loaded_or_run(page: Page) -> None:
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object", "image"}
    urls = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href") and value and not value.startswith(("data:audio/flac", "#"))
    ]
    assert urls == []


def test_text_of_rows_stays_text() -> None:
    row = facts(HOSTILE, split=HOSTILE, language=HOSTILE, gender="male")
    bad = [Reject(id=HOSTILE, step="filter", reason=f"{HOSTILE}: {HOSTILE}")]
    clip = example(1, id=HOSTILE, text=HOSTILE, reply=HOSTILE, corpus=HOSTILE)
    found = Page(render_html(HOSTILE, count_rows([row], bad), [clip], bad))
    assert not {tag for tag, _ in found.tags} & {"script", "img", "b"}
    assert not [attributes for _, attributes in found.tags if any(name.startswith("on") for name in attributes)]
    assert len(found.having("style")) == 1 + len(found.having("svg"))
    assert found.text.count(HOSTILE) >= 9


def test_ids_are_unique_among_the_plots_that_refer_to_them(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = {
        reference for _, attributes in page.tags for reference in re.findall(r"url\(#(.*?)\)", str(attributes.values()))
    }
    used |= {str(attributes["xlink:href"])[1:] for _, attributes in page.tags if "xlink:href" in attributes}
    assert used
    assert used <= set(ids)


def test_plots_follow_the_colours_of_the_page(page: Page) -> None:
    styles = " ".join(str(attributes.get("style")) for _, attributes in page.tags)
    assert {"--ink", "--muted", "--line", "--accent"} == set(re.findall(r"var\((--\w+)\)", styles))
    assert "#0" not in styles


def test_the_same_report_gives_the_same_page() -> None:
    report = count_rows([facts(emotion="sad")], rejects(1))
    assert render_html("t", report, [], rejects(1)) == render_html("t", report, [], rejects(1))


def test_many_reasons_are_shortened_in_the_plot_and_complete_in_the_table() -> None:
    bad = [Reject(id=f"r{number}", step="filter", reason=f"kind {number:02}") for number in range(20)]
    found = Page(render_html("t", count_rows([], bad), [], bad))
    assert "and 8 more" in found.text
    assert all(f"filter: kind {number:02}" in found.text for number in range(20))


@pytest.mark.filterwarnings("error")
def test_names_may_be_in_any_script() -> None:
    name = "中文语料 عربى \x1b\x00"
    found = Page(render_html(name, count_rows([facts(name)]), [], []))
    assert found.text.count("中文语料 عربى") >= 4


def test_an_empty_data_set_has_a_page() -> None:
    found = Page(render_html("Nothing", Report(), [], []))
    assert "No row was rejected." in found.text
    assert found.having("svg") == []
