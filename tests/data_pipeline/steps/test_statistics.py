import time
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.steps.statistics import EMILIA, METADATA, Quota, SelectionConfig, select

NO_RULES = SelectionConfig(duplicates=False)


def metadata(*rows: dict[str, Any]) -> pa.Table:
    defaults = {"corpus": "c", "language": "en", "text": "", "speaker": "", "duration": None, "dnsmos": None}
    numbered = [defaults | {"id": f"r{number}"} | row for number, row in enumerate(rows)]
    return pa.Table.from_pylist(numbered, schema=METADATA)


def reasons(table: pa.Table, config: SelectionConfig) -> list[str | None]:
    return select(table, config).to_pylist()


def test_the_first_of_equal_ids_is_used() -> None:
    table = metadata({"id": "a"}, {"id": "b"}, {"id": "a"}, {"id": "a", "corpus": "d"})
    assert reasons(table, SelectionConfig()) == [None, None, "duplicate id: a, expected once", None]


def test_the_first_of_equal_clips_is_used() -> None:
    clip = {"text": "Yes.", "speaker": "s", "duration": 1.5}
    table = metadata(clip, clip, clip | {"speaker": "t"}, clip | {"duration": 1.6}, clip | {"text": "No."}, clip)
    reason = "duplicate clip: 1.5 s with text and speaker of an earlier row"
    assert reasons(table, SelectionConfig()) == [None, reason, None, None, None, reason]


def test_what_is_unknown_is_no_duplicate() -> None:
    table = metadata({"duration": 1.5}, {"duration": 1.5}, {"text": "Yes."}, {"text": "Yes."})
    assert reasons(table, SelectionConfig()) == [None] * 4


def test_rows_outside_the_bounds_are_rejected_with_value_and_bound() -> None:
    good = {"text": "It rained.", "duration": 4.0, "dnsmos": 3.0}
    table = metadata(
        good,
        good | {"duration": 2.9},
        good | {"duration": 30.5},
        good | {"text": "a"},
        good | {"duration": 5.0, "dnsmos": 2.5},
        {},
    )
    assert reasons(table, EMILIA) == [
        None,
        "too short: 2.9 s, expected at least 3 s",
        "too long: 30.5 s, expected at most 30 s",
        "text too short: a, expected at least 2 characters",
        "bad quality: DNSMOS 2.5, expected at least 3",
        None,
    ]


def test_the_pace_is_bounded_by_the_quartiles_of_each_language() -> None:
    paces = {"en": [0.08, 0.09, 0.1, 0.11, 0.12, 0.5, 0.001], "zh": [0.3, 0.35, 0.4, 0.45, 0.5]}
    rows = [
        {"language": language, "text": "x" * 10, "duration": pace * 10}
        for language, values in paces.items()
        for pace in values
    ]
    rejected = reasons(metadata(*rows), SelectionConfig(duplicates=False, quartile_ranges=1.5))
    # Of the English: Q1 = 0.085, Q3 = 0.115.
    bounds = "s a character, expected 0.0400 to 0.1600 in 'en'"
    assert rejected == [None] * 5 + [f"unusual pace: 0.5 {bounds}", f"unusual pace: 0.001 {bounds}"] + [None] * 5


def test_rejected_rows_do_not_move_the_quartiles() -> None:
    rows = [{"text": "x" * 10, "duration": 1.0 + 0.01 * number} for number in range(20)]
    noise = [{"text": "x" * 10, "duration": 20.0} for _ in range(20)]
    config = SelectionConfig(duplicates=False, max_seconds=10, quartile_ranges=1.5)
    with_odd_one = [*rows, {"text": "x" * 10, "duration": 3.0}]
    assert reasons(metadata(*with_odd_one, *noise), config)[:21] == reasons(metadata(*with_odd_one), config)


def test_quotas_bound_hours_and_rows_of_a_language() -> None:
    rows = [{"language": language, "duration": 360.0} for language in ("en", "zh", "de") for _ in range(50)]
    config = SelectionConfig(quotas=(Quota(language="en", hours=2), Quota(language="zh", rows=7)), duplicates=False)
    rejected = reasons(metadata(*rows), config)
    counts = [sum(reason is None for reason in rejected[start : start + 50]) for start in (0, 50, 100)]
    assert counts == [20, 7, 50]
    assert {reason for reason in rejected if reason} == {
        "over quota: 5.0 h in 50 rows of 'en', expected at most 2 h",
        "over quota: 5.0 h in 50 rows of 'zh', expected at most 7 rows",
    }


def test_the_sample_of_a_quota_depends_on_seed_and_ids_not_on_the_order() -> None:
    table = metadata(*({} for _ in range(200)))
    config = SelectionConfig(quotas=(Quota(language="en", rows=50),))

    def used(table: pa.Table, config: SelectionConfig) -> set[str]:
        return set(table.filter(select(table, config).is_null())["id"].to_pylist())

    first = used(table, config)
    assert used(table.take(list(range(199, -1, -1))), config) == first
    other = used(table, SelectionConfig(quotas=config.quotas, seed=1))
    assert len(other) == 50
    assert len(other & first) < 35


def test_a_larger_quota_keeps_the_rows_of_a_smaller_one() -> None:
    table = metadata(*({"duration": 100.0 + number} for number in range(300)))
    few, many = (
        np.asarray(select(table, SelectionConfig(quotas=(Quota(language="en", hours=hours),))).is_null())
        for hours in (1, 2)
    )
    assert few.sum() < many.sum()
    assert not (few & ~many).any()


def test_a_quota_in_hours_needs_durations() -> None:
    config = SelectionConfig(quotas=(Quota(language="en", hours=1),))
    assert reasons(metadata({}, {"duration": 5.0}), config) == [
        "unknown duration: expected one, as 'en' has a quota in hours",
        None,
    ]


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.sampled_from("abcdefgh"),
            "text": st.sampled_from(["", "a", "It rained."]),
            "language": st.sampled_from(["en", "zh"]),
            "speaker": st.sampled_from(["", "s"]),
            "duration": st.none() | st.floats(0, 100),
            "dnsmos": st.none() | st.floats(1, 5),
        }
    ),
    max_size=30,
)


@given(ROWS, st.integers(1, 5))
def test_the_rows_may_come_in_any_chunks(rows: list[dict[str, Any]], size: int) -> None:
    table = metadata(*rows)
    config = SelectionConfig(min_seconds=1, quartile_ranges=1.5, quotas=(Quota(language="zh", rows=3),))
    chunked = pa.concat_tables([table.slice(start, size) for start in range(0, len(table), size)] or [table])
    result = select(chunked, config)
    assert result.equals(select(table, config))
    assert (result.type, len(result)) == (pa.string(), len(table))


def test_without_rules_every_row_is_used() -> None:
    assert reasons(metadata({"id": "a"}, {"id": "a", "duration": 1e9}), NO_RULES) == [None, None]


def test_hundreds_of_thousands_of_rows_take_seconds() -> None:
    count, rng = 200_000, np.random.default_rng(0)
    table = pa.table(
        {
            "id": [f"clip-{number:08d}" for number in range(count)],
            "corpus": ["emilia"] * count,
            "language": rng.choice(["en", "zh"], count),
            "text": [f"sentence number {number} of many" for number in range(count)],
            "speaker": [f"speaker-{number}" for number in rng.integers(0, 5000, count)],
            "duration": rng.uniform(1, 31, count),
            "dnsmos": rng.uniform(2, 5, count),
        }
    )
    config = SelectionConfig(
        min_seconds=3, max_seconds=30, min_dnsmos=3, quartile_ranges=1.5, quotas=(Quota(language="en", hours=100),)
    )
    start = time.perf_counter()
    select(table, config)
    assert time.perf_counter() - start < 5


def test_missing_columns_are_named() -> None:
    with pytest.raises(ValueError, match=r"no columns \['speaker', 'text'\]"):
        select(metadata().drop_columns(["text", "speaker"]), NO_RULES)


def test_quotas_without_a_bound_or_twice_are_refused() -> None:
    with pytest.raises(ValueError, match="quota of 'en': expected hours or rows"):
        Quota(language="en")
    with pytest.raises(ValueError, match="several quotas of en"):
        SelectionConfig(quotas=(Quota(language="en", rows=1), Quota(language="en", hours=1)))
