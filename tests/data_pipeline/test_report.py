from data_pipeline.report import Report, count_rejects, merge_reports, render_report

SHARDS = [
    Report(rows_in=5, rows_out=3, rejected={"filter: too short": 2}, audio_seconds=1800.0, units=30, spoken_tokens=12),
    Report(rows_in=4, rows_out=2, rejected={"decode: bad user audio": 1, "filter: too short": 1}, audio_seconds=1800.0),
]


def test_reports_add_up() -> None:
    assert merge_reports(SHARDS) == Report(
        rows_in=9,
        rows_out=5,
        rejected={"decode: bad user audio": 1, "filter: too short": 3},
        audio_seconds=3600.0,
        units=30,
        spoken_tokens=12,
    )


def test_units_per_token_are_known_where_both_were_counted() -> None:
    assert merge_reports(SHARDS).units_per_token == 2.5
    assert Report(units=30).units_per_token is None  # of a version that did not count tokens
    assert Report().units_per_token is None


def test_nothing_adds_up_to_nothing() -> None:
    assert merge_reports([]) == Report()


def test_rejects_are_counted_by_step_and_kind() -> None:
    rejects = [
        {"id": "a", "step": "filter", "reason": "too short: 0.10 s"},
        {"id": "b", "step": "filter", "reason": "too short: 0.20 s"},
        {"id": "c", "step": "decode", "reason": "empty"},
    ]
    assert count_rejects(rejects) == {"decode: empty": 1, "filter: too short": 2}


def test_the_summary_names_every_number() -> None:
    assert render_report(merge_reports(SHARDS)).splitlines() == [
        "rows in       9",
        "rows out      5",
        "rows rejected 4",
        "  1 x decode: bad user audio",
        "  3 x filter: too short",
        "audio         1.000 h",
        "speech units  30",
        "units a token 2.50",
    ]
