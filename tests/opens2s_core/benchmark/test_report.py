import json
import subprocess
from pathlib import Path

import pytest

from opens2s_core.benchmark.report import (
    Baseline,
    Bound,
    Measurement,
    current_commit,
    make_report,
    render_table,
    write_report,
)

ROWS = (
    Measurement(name="errors", value=14.25, unit="points", bound=Bound("at most", 12), interval=(10.5, 18.0)),
    Measurement(name="codes", value=80.0, unit="%", bound=Bound("at least", 60)),
    Measurement(name="pitch", value=None, unit="cents"),
)


@pytest.mark.parametrize(
    ("bound", "kept", "broken"),
    [(Bound("at most", 12), (11.9, 12.0), (12.1, None)), (Bound("at least", 60), (60.0, 99.0), (59.9, None))],
)
def test_a_bound_holds_up_to_its_limit_and_never_for_what_was_not_measured(bound, kept, broken) -> None:
    assert all(bound.holds(value) for value in kept)
    assert not any(bound.holds(value) for value in broken)


def test_the_report_has_the_form_that_all_benchmarks_share(tmp_path: Path) -> None:
    report = make_report({"sentences": 3}, ROWS, ["pytest"])
    write_report(report, tmp_path / "new" / "out.json")
    written = json.loads((tmp_path / "new" / "out.json").read_text())
    assert list(written) == ["commit", "machine", "versions", "config", "rows"]
    assert written["config"] == {"sentences": 3}
    assert written["versions"]["pytest"] == pytest.__version__
    assert written["rows"] == [
        {"name": "errors", "value": 14.25, "unit": "points"}
        | {"bound": "at most 12", "holds": False, "interval": [10.5, 18.0]},
        {"name": "codes", "value": 80.0, "unit": "%", "bound": "at least 60", "holds": True, "interval": None},
        {"name": "pitch", "value": None, "unit": "cents", "bound": None, "holds": None, "interval": None},
    ]


def test_the_table_shows_failed_bounds_and_missing_values() -> None:
    lines = render_table(make_report({}, ROWS)).splitlines()
    assert lines[2].split() == ["errors", "14.2", "10.5", "to", "18", "points", "at", "most", "12", "NO"]
    assert lines[3].split() == ["codes", "80", "%", "at", "least", "60", "yes"]
    assert lines[4].split() == ["pitch", "not", "measured", "cents"]


@pytest.mark.parametrize(
    ("better", "value", "worse"),
    [("lower", 3.5, False), ("lower", 9.0, True), ("higher", 3.5, False), ("higher", 1.0, True), (None, 9.0, None)],
)
def test_a_row_is_worse_than_its_baseline_by_more_than_the_spread_of_both(better, value, worse) -> None:
    spread = (value - 0.5, value + 0.5)
    row = Measurement(
        name="a", value=value, unit="ms", spread=spread, better=better, baseline=Baseline(3.0, (2.0, 4.0))
    )
    assert row.worse is worse
    assert row.to_dict()["baseline"] == {"value": 3.0, "spread": (2.0, 4.0), "ratio": value / 3.0, "worse": worse}


def test_the_machine_has_its_vector_extensions() -> None:
    assert "vector_extensions" in make_report({}, ROWS).machine


def test_the_commit_is_that_of_this_code() -> None:
    head = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    commit = current_commit()
    if commit is None:
        pytest.skip("the code is not under version control here")
    assert commit.partition(",")[0] == head.stdout.strip()
