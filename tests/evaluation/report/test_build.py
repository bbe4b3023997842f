import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluation.items import Answer, Item, Reply, Turn
from evaluation.report import build_report
from evaluation.scores import Score
from tests.evaluation.report.small_run import FACTS, HtmlPage, SmallRun, clip, small_run, with_text

HOSTILE = """</style><script>alert("1")</script>'"><img src=x onerror=alert(1)> \\1 $x_1$ {{ 7 * 7 }}"""
CHINESE, ARABIC = "今天丢了工作，心情很糟糕。", "لقد فقدت وظيفتي اليوم"


def report_of(run: SmallRun, directory: Path) -> tuple[dict[str, Any], HtmlPage]:
    report = run.report(directory)
    assert json.loads((directory / "report.json").read_text("utf-8")) == report
    return report, HtmlPage(directory / "report.html")


def failing_run() -> SmallRun:
    """Six items: one without answer, one with an error, one that the judge failed, one that it failed once."""
    run = small_run(6)
    run.answers[1] = Answer(item="item-00001", error="HTTP 503: overloaded")
    del run.answers[0]
    run.values = {
        "item-00002": (None, None),
        "item-00003": (None, 4.0),
        "item-00004": (1.0, 2.0),
        "item-00005": (5.0, 5.0),
    }
    return run


def test_numbers_are_those_of_the_hand(tmp_path: Path) -> None:
    report, page = report_of(failing_run(), tmp_path)
    quality, wer = report["metrics"]
    assert quality["value"] == pytest.approx((4 + 1 + 2 + 5 + 5) / 5)
    assert (quality["items"], quality["missing"]) == (3, 3)
    assert (wer["value"], wer["items"], wer["missing"]) == (25.0, 4, 2)
    assert {name: (part["value"], part["items"], part["missing"]) for name, part in quality["categories"].items()} == {
        "happy": (4.0, 1, 1),
        "neutral": (1.5, 1, 1),
        "sad": (5.0, 1, 1),
    }
    assert report["counts"] == {
        "items": 6,
        "answered": 4,
        "questions": 4,
        "judgements": 8,
        "judgements_without_value": 3,
    }
    assert "Judged quality 3.40 of 5 95 % interval" in page.text
    assert "Judged quality of 5, higher is better 3.40" in page.text
    assert "Word error %, lower is better 25.00 25.00 to 25.00 – – 4 2" in page.text


def test_published_values_stand_beside_those_of_the_run(tmp_path: Path) -> None:
    _, page = report_of(small_run(1), tmp_path)
    assert "This run 95 % interval OpenS2S, published Other, published Items Missing" in page.text
    assert "higher is better 1.50 – 4.09 3.50 1 0" in page.text


def test_failures_are_listed_with_their_reasons(tmp_path: Path) -> None:
    report, page = report_of(failing_run(), tmp_path)
    assert [(each["kind"], each["item"], each["sample"], each["reason"]) for each in report["failures"]] == [
        ("answer", "item-00000", None, "not answered"),
        ("answer", "item-00001", None, "HTTP 503: overloaded"),
        ("judgement", "item-00002", 0, "no rating in the text"),
        ("judgement", "item-00002", 1, "no rating in the text"),
        ("judgement", "item-00003", 0, "no rating in the text"),
    ]
    assert "Judgement without value no rating in the text 3 item-00002 item-00003" in page.text
    assert "No answer HTTP 503: overloaded 1 item-00001" in page.text


def test_a_question_that_was_not_judged_is_a_failure(tmp_path: Path) -> None:
    run = small_run(2)
    run.values = {"item-00001": (2.0, 3.0)}
    report, _ = report_of(run, tmp_path)
    assert [(each["item"], each["reason"], each["question"]) for each in report["failures"]] == [
        ("item-00000", "not judged", "item-00000:quality")
    ]
    assert report["metrics"][0]["missing"] == 1


def test_a_spoken_reply_without_transcript_is_a_failure(tmp_path: Path) -> None:
    run = small_run(2, audio=True)
    run.answers[1] = Answer(item="item-00001", replies=(replace(run.answers[1].replies[0], transcript=None),))
    report, page = report_of(run, tmp_path)
    assert [(each["kind"], each["item"]) for each in report["failures"]] == [("transcript", "item-00001")]
    assert report["metrics"][0]["missing"] == 0  # its scores are there
    assert "Reply without transcript not transcribed 1 item-00001" in page.text


def test_an_answer_to_an_unknown_item_is_refused(tmp_path: Path) -> None:
    run = small_run(2)
    run.answers.append(Answer(item="other"))
    with pytest.raises(ValueError, match="expected an answer to an item of the run, got item 'other'"):
        run.report(tmp_path)


def test_answers_are_read_one_after_the_other(tmp_path: Path) -> None:
    run = small_run(50, audio=True)
    whole = run.report(tmp_path / "a")
    scores = [Score(**score) for score in whole["scores"]]
    streamed = build_report(
        tmp_path / "b", run.facts, run.suite, run.items, iter(run.answers), run.questions(), run.judgements(), scores
    )
    assert streamed == whole


def test_facts_stand_beside_the_numbers(tmp_path: Path) -> None:
    report, page = report_of(small_run(3), tmp_path)
    assert report["facts"] == FACTS
    assert page.text.index("model fingerprint sha256:0123abcd") < page.text.index("Metrics")
    for text in ("data checksum sha256:4567ef01", "judge model gpt-4o-mini, temperature 0.5", "commit ab6a200"):
        assert text in page.text


def test_absent_facts_are_refused(tmp_path: Path) -> None:
    run = small_run(1, facts={name: value for name, value in FACTS.items() if name not in ("judge", "commit")})
    with pytest.raises(ValueError, match="absent: judge, commit"):
        run.report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_worst_items_come_first_and_random_ones_are_those_of_every_run(tmp_path: Path) -> None:
    run = small_run(60)
    report, page = report_of(run, tmp_path / "a")
    means = {item: sum(pair) / 2 for item, pair in run.values.items()}  # type: ignore[arg-type]
    assert len(report["worst"]) == len(set(report["worst"])) == 20
    assert [means[item] for item in report["worst"]] == sorted(means.values())[:20]
    other, _ = report_of(small_run(60, change=7), tmp_path / "b")
    assert len(set(report["random"])) == 20
    assert other["random"] == report["random"] != sorted(report["random"])
    shown = set(report["worst"]) | set(report["random"])
    assert {f"Question number {int(item[5:])}?" in page.text for item in shown} == {True}
    assert len(page.having("details")) == len(shown)  # an item that is both is shown once


def test_everything_about_an_item_is_shown(tmp_path: Path) -> None:
    run = small_run(1, audio=True)
    run.items[0] = replace(run.items[0], system="Be kind.")
    _, page = report_of(run, tmp_path)
    for text in (
        "Be kind.",
        "Question number 0?",
        "Reply number 0.",
        "reply number 0",
        "Reference 0.",
        "emotion: happy",
        "Word error one of four words",
        "gpt-4o-mini: 1 Rating: 1",
        "gpt-4o-mini: 2 Rating: 2",
        "user: How good is this reply?",
    ):
        assert text in page.text
    sources = [str(audio["src"]) for audio in page.having("audio")]
    assert [source[:22] for source in sources] == ["data:audio/mpeg;base64"] * 2


def test_an_empty_run_has_a_report(tmp_path: Path) -> None:
    report, page = report_of(SmallRun(), tmp_path)
    assert [metric["value"] for metric in report["metrics"]] == [None, None]
    assert "Items 0 0 answered" in page.text
    assert page.having("svg") == page.having("article") == []


def test_items_without_audio_have_no_players(tmp_path: Path) -> None:
    _, page = report_of(small_run(4), tmp_path)
    assert page.having("audio") == []


def test_one_item_has_no_interval(tmp_path: Path) -> None:
    report, _ = report_of(small_run(1), tmp_path)
    assert [report["metrics"][0][name] for name in ("value", "low", "high")] == [1.5, None, None]


def test_nothing_is_loaded_or_run(tmp_path: Path) -> None:
    _, page = report_of(small_run(30, audio=True), tmp_path)
    assert len(page.having("svg")) == 2
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object", "image"}
    urls = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href") and value and not value.startswith(("data:audio/mpeg", "#"))
    ]
    assert urls == []


def test_ids_are_unique_and_links_lead_to_them(tmp_path: Path) -> None:
    _, page = report_of(small_run(30), tmp_path)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [str(attributes["href"]) for attributes in page.having("a")]
    assert links
    assert {link[1:] for link in links} <= set(ids)


@pytest.mark.parametrize("text", [HOSTILE, CHINESE, ARABIC, "half of a pair: \ud800"])
def test_text_of_others_stays_text(text: str, tmp_path: Path) -> None:
    run = with_text(small_run(4), text)
    run.report(tmp_path)
    report, page = json.loads((tmp_path / "report.json").read_bytes()), HtmlPage(tmp_path / "report.html")
    assert report["suite"] == text
    assert not {tag for tag, _ in page.tags} & {"script", "img"}
    assert not [attributes for _, attributes in page.tags if any(name.startswith("on") for name in attributes)]
    assert len(page.having("style")) == 1 + len(page.having("svg"))
    assert page.text.count(text.encode("utf-8", "backslashreplace").decode()) > 20


def test_texts_have_their_own_direction(tmp_path: Path) -> None:
    _, page = report_of(with_text(small_run(2), ARABIC), tmp_path)
    assert {tag["dir"] for tag in page.having("p") if "dir" in tag} == {"auto"}


def test_a_long_clip_is_cut_and_a_broken_one_is_named(tmp_path: Path) -> None:
    run = small_run(2)
    run.items[0] = replace(run.items[0], turns=(Turn(text="long", audio=clip(40, 8000)),))
    run.items[1] = replace(run.items[1], turns=(Turn(text="broken", audio=b"not audio"),))
    _, page = report_of(run, tmp_path)
    assert len(page.having("audio")) == 1
    assert "The first 30 of 40 s." in page.text
    assert "Audio cannot be shown:" in page.text


def test_ten_thousand_items_make_a_page_of_bounded_size(tmp_path: Path) -> None:
    run = small_run(10_000)
    words = "many words " * 2000
    turns, references = (Turn(text=words),) * 30, (words,) * 50
    run.items = [
        replace(item, turns=turns, category=f"category {n % 100}", references=references)
        for n, item in enumerate(run.items)
    ]
    run.answers = [Answer(item=item.id, replies=(Reply(text=words),) * 30) for item in run.items[:-3000]]
    run.answers += [Answer(item=item.id, error=f"error {n}") for n, item in enumerate(run.items[-3000:])]
    run.report(tmp_path)
    assert (tmp_path / "report.html").stat().st_size < 5_000_000
    page = HtmlPage(tmp_path / "report.html")
    assert "The 80 categories with the fewest items are not drawn." in page.text
    assert "2980 more reasons are in report.json." in page.text


def test_clips_of_a_page_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluation.report.clips.BYTES", 10_000)
    _, page = report_of(small_run(20, audio=True), tmp_path)
    sizes = [len(str(audio["src"])) for audio in page.having("audio")]
    assert 2 <= len(sizes) < 20
    assert sum(sizes[:-1]) < 4 / 3 * 10_000 + 100 * len(sizes)  # the last one may go beyond
    assert page.text.count("Audio left out: the page has as much as it may.") == 40 - len(sizes)


def test_the_later_judgement_counts(tmp_path: Path) -> None:
    run = small_run(1)
    judgements = run.judgements()
    failed = [replace(judgement, value=None, error="timed out") for judgement in judgements]
    run.judgements = lambda: [*failed, *judgements]  # type: ignore[method-assign]
    report, _ = report_of(run, tmp_path)
    assert report["failures"] == []
    assert report["counts"]["judgements"] == 2


def test_scores_and_categories_of_all_items_are_kept_for_comparisons(tmp_path: Path) -> None:
    report, _ = report_of(small_run(2), tmp_path)
    assert report["items"] == {"item-00000": "happy", "item-00001": "neutral"}
    scores = [Score(**score) for score in report["scores"] if score["metric"] == "quality"]
    assert [(score.item, score.value) for score in scores] == [
        ("item-00000", 1),
        ("item-00000", 2),
        ("item-00001", 2),
        ("item-00001", 3),
    ]


def test_an_item_without_category_is_in_no_plot(tmp_path: Path) -> None:
    run = small_run(4)
    run.items = [Item(id=item.id, turns=item.turns) for item in run.items]
    report, page = report_of(run, tmp_path)
    assert page.having("svg") == []
    assert report["metrics"][0]["categories"] == {}
