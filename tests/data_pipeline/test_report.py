import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.records import EMOTIONS, Reject
from data_pipeline.report import (
    DURATION_BINS,
    LabelCount,
    Report,
    RowFacts,
    SampleFacts,
    SplitCount,
    count_rows,
    merge_reports,
    render_report,
)
from opens2s_core.config import ConfigError

COUNTS = st.integers(min_value=0, max_value=2**40)
ROWS = st.builds(
    RowFacts,
    corpus=st.sampled_from(["librispeech", "esd", "a/b"]),
    split=st.sampled_from(["train", "test"]),
    language=st.sampled_from(["en", "zh"]),
    emotion=st.sampled_from([*EMOTIONS, ""]),
    gender=st.sampled_from(["female", "male", ""]),
    age=st.sampled_from(["child", "adult", ""]),
    clip_samples=st.lists(st.integers(min_value=0, max_value=2_000_000), max_size=3).map(tuple),
    samples=st.lists(
        st.builds(
            SampleFacts, length=COUNTS, text_labels=COUNTS, unit_labels=COUNTS, units=COUNTS, spoken_tokens=COUNTS
        ),
        max_size=2,
    ).map(tuple),
)
REJECTS = st.builds(
    Reject,
    id=st.text(max_size=3),
    step=st.sampled_from(["decode", "filter"]),
    reason=st.sampled_from(["too short: 0.1 s", "too short: 0.2 s", "empty"]),
)
SHARDS = st.lists(st.tuples(st.lists(ROWS, max_size=4), st.lists(REJECTS, max_size=3)), max_size=5)

ROW = RowFacts(
    corpus="esd",
    split="train",
    language="zh",
    emotion="sad",
    gender="female",
    clip_samples=(16_000, 47_999),
    samples=(SampleFacts(length=50, text_labels=9, unit_labels=31, units=30, spoken_tokens=12),),
)
SHORT = Reject(id="a", step="filter", reason="too short: 0.10 s")
EMPTY = Reject(id="b", step="decode", reason="empty")


def test_a_row_is_counted_by_corpus_labels_durations_and_lengths() -> None:
    assert count_rows([ROW, replace(ROW, emotion="", samples=())], [SHORT, EMPTY, SHORT]) == Report(
        rows_in=5,
        rows_out=2,
        rejected={"decode: empty": 1, "filter: too short": 2},
        splits=(SplitCount(corpus="esd", language="zh", split="train", rows=2, audio_samples=2 * 63_999),),
        labels=(
            LabelCount(language="zh", emotion="", gender="female", age="", rows=1),
            LabelCount(language="zh", emotion="sad", gender="female", age="", rows=1),
        ),
        durations=(0, 2, 2, *[0] * (DURATION_BINS - 3)),
        samples=1,
        positions=50,
        text_labels=9,
        unit_labels=31,
        units=30,
        spoken_tokens=12,
    )


def test_the_last_bin_of_durations_is_open() -> None:
    clips = (0, 15_999, 30 * 16_000 - 1, 30 * 16_000, 3600 * 16_000)
    durations = count_rows([replace(ROW, clip_samples=clips)]).durations
    assert (durations[0], durations[-2], durations[-1]) == (2, 1, 2)
    assert sum(durations) == len(clips)


@given(SHARDS, st.randoms())
def test_reports_of_shards_add_up_to_the_report_of_all_rows_in_any_order(shards: list, random: object) -> None:
    whole = count_rows([row for rows, _ in shards for row in rows], [row for _, rejects in shards for row in rejects])
    reports = [count_rows(rows, rejects) for rows, rejects in shards]
    random.shuffle(reports)  # type: ignore[attr-defined]
    assert merge_reports(reports) == whole
    assert list(merge_reports(reports).rejected) == sorted(whole.rejected)


@given(SHARDS, st.integers(min_value=0, max_value=5))
def test_parts_can_be_merged_first(shards: list, cut: int) -> None:
    reports = [count_rows(rows, rejects) for rows, rejects in shards]
    parts = [merge_reports(reports[:cut]), merge_reports(reports[cut:])]
    assert merge_reports(parts) == merge_reports(reports)


@given(SHARDS)
def test_json_keeps_a_report_exactly(shards: list) -> None:
    report = merge_reports(count_rows(rows, rejects) for rows, rejects in shards)
    assert Report.from_dict(json.loads(json.dumps(report.to_dict()))) == report


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"audio_seconds": 1.5}, "unknown keys"),
        ({"rejected": {"a": 1.5}}, "expected counts of rows"),
        ({"rows_in": 1.0}, "rows_in: expected int"),
        ({"durations": [1, 2]}, "expected 31 bins, got 2"),
    ],
)
def test_another_json_is_refused_by_name(change: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Report.from_dict(Report().to_dict() | change)


def test_nothing_adds_up_to_nothing() -> None:
    assert merge_reports([]) == count_rows([]) == Report()


def test_units_per_token_are_known_where_something_is_spoken() -> None:
    assert count_rows([ROW, ROW]).units_per_token == 2.5
    assert Report().units_per_token is None


def test_seconds_are_those_of_all_clips() -> None:
    assert (
        count_rows([replace(ROW, clip_samples=(8_000,)), replace(ROW, split="test")]).audio_seconds
        == 0.5 + 63_999 / 16_000
    )


def test_the_summary_names_the_most_frequent_reason_first() -> None:
    hour = replace(ROW, clip_samples=(3600 * 16_000,))
    report = count_rows([hour] * 3 + [replace(hour, corpus="meld", language="en")], [SHORT, EMPTY, SHORT])
    assert render_report(report).splitlines() == [
        "rows     7 in, 4 prepared, 3 rejected",
        "         2 x filter: too short",
        "         1 x decode: empty",
        "audio    4.0 h",
        "         3.0 h esd (zh)",
        "         1.0 h meld (en)",
        "samples  4 of 200 positions in all",
        "labels   36 of text, 124 of units",
        "speech   120 units, 2.50 for each token",
    ]


def test_the_summary_of_nothing_is_short() -> None:
    assert render_report(Report()).splitlines() == ["rows     0 in, 0 prepared, 0 rejected", "audio    0.0 s"]
