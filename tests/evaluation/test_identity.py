"""A directory holds one run; what differs in another one is named."""

from pathlib import Path

import pytest

from evaluation import identity
from evaluation.identity import open_run

RUN = {"suite": "s", "data": {"checksum": "1", "rows": 3}, "model_fingerprint": {"model": "m"}, "judge": "j", "seed": 0}


def test_the_same_run_is_opened_again_with_the_date_of_its_first_start(tmp_path: Path) -> None:
    first = open_run(tmp_path, RUN, model="here")
    again = open_run(tmp_path, RUN, model="moved")
    assert again == first | {"model": "moved"}
    assert RUN.items() <= first.items()


def test_every_difference_of_another_run_is_named_and_nothing_is_changed(tmp_path: Path) -> None:
    open_run(tmp_path, RUN, model="here")
    before = (tmp_path / "run.json").read_bytes()
    other = RUN | {"data": {"checksum": "2", "rows": 3}, "seed": 1}
    with pytest.raises(ValueError, match=r'data\.checksum was "1" and is "2"; seed was 0 and is 1'):
        open_run(tmp_path, other, model="here")
    assert (tmp_path / "run.json").read_bytes() == before


def test_a_run_is_given_a_judge_later_but_not_another_one(tmp_path: Path) -> None:
    open_run(tmp_path, RUN | {"judge": ""}, model="here")
    assert open_run(tmp_path, RUN, model="here")["judge"] == "j"
    for judge in ("other", ""):
        with pytest.raises(ValueError, match='judge was "j"'):
            open_run(tmp_path, RUN | {"judge": judge}, model="here")


def test_all_commits_that_worked_on_a_run_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for commit in ("one", "two", "one"):
        monkeypatch.setattr(identity, "current_commit", lambda commit=commit: commit)
        facts = open_run(tmp_path, RUN, model="here")
    assert facts["commit"] == "one; two"
