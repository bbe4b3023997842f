import pickle
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opens2s_core.storage import StorageError, new_directory
from opens2s_core.training.run import RunError, open_run

CONFIG = {"learning_rate": 0.001, "sizes": (1, 2), "seed": None}
IDENTITY = {"config": CONFIG, "data": "abc"}

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)
identities = st.dictionaries(st.text(max_size=2), plain, max_size=4)


def with_config(**changed: object) -> dict[str, Any]:
    return {**IDENTITY, "config": {**CONFIG, **changed}}


@pytest.fixture(params=["local", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return str(tmp_path / "deep" / "run")
    if request.param == "s3":
        request.getfixturevalue("s3")
    return f"{request.param}://bucket/{uuid.uuid4().hex}/run"


def test_a_run_is_opened_again_with_the_same_identity(place: str) -> None:
    run = open_run(place, IDENTITY)
    assert open_run(place, IDENTITY) == run == pickle.loads(pickle.dumps(run))
    assert not run.is_finished()


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ({**IDENTITY, "data": "abd"}, r"data was 'abc', is 'abd'"),
        (with_config(learning_rate=0.002), r"config.learning_rate was 0.001, is 0.002"),
        (with_config(sizes=(1, 3)), r"config.sizes\[1\] was 2, is 3"),
        (with_config(sizes=(1,)), r"config.sizes was \[1, 2\], is \[1\]"),
        ({**IDENTITY, "start": None}, r"start was absent, is None"),
        ({"data": "abc"}, r"config was {.*}, is absent"),
        ({"data": 1, "config": 2}, r"config was {.*}, is 2; data was 'abc', is 1"),
    ],
)
def test_every_difference_of_another_run_is_named(tmp_path: Path, other: dict[str, Any], difference: str) -> None:
    open_run(tmp_path, IDENTITY)
    with pytest.raises(RunError, match=rf"^{tmp_path}: the run was started with other settings: {difference}$"):
        open_run(tmp_path, other)
    open_run(tmp_path, IDENTITY)


@given(identities, identities)
def test_runs_are_the_same_if_and_only_if_their_identities_are_equal(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    url = f"memory://runs/{uuid.uuid4().hex}"
    open_run(url, first)
    if repr_of(first) == repr_of(second):
        open_run(url, second)
    else:
        with pytest.raises(RunError, match="the run was started with other settings: "):
            open_run(url, second)


def repr_of(value: Any) -> Any:
    """Equal for equal values; True is not 1."""
    if isinstance(value, dict):
        return {key: repr_of(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [repr_of(inner) for inner in value]
    return isinstance(value, bool), value


@pytest.mark.parametrize("name", ["checkpoints", "export"])
def test_results_of_an_unknown_run_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(RunError, match=f"{tmp_path}: expected run.json beside {name}, or an empty directory"):
        open_run(tmp_path, IDENTITY)


def test_a_damaged_identity_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(RunError, match=r"run.json: expected a JSON file"):
        open_run(tmp_path, IDENTITY)


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(StorageError, match=r"nowhere://bucket/run: Protocol not known"):
        open_run("nowhere://bucket/run", IDENTITY)


def test_a_run_with_an_export_is_finished(place: str) -> None:
    run = open_run(place, IDENTITY)
    with new_directory(run.export) as directory:
        (directory / "weights").write_text("1")
    assert open_run(place, IDENTITY).is_finished()


def test_skipped_steps_are_stored_with_their_reasons(place: str) -> None:
    run = open_run(place, IDENTITY)
    assert run.read_skipped() == {}
    run.write_skipped({7: "loss nan", 3: "loss inf"})
    assert run.read_skipped() == {3: "loss inf", 7: "loss nan"}


def test_one_job_at_a_time_trains_a_run(tmp_path: Path) -> None:
    run = open_run(tmp_path, IDENTITY)
    again = open_run(tmp_path, IDENTITY)
    with run.for_one_job(), pytest.raises(RunError, match="another job trains it"), again.for_one_job():
        pass
    with run.for_one_job():
        pass


def test_object_stores_have_no_locks() -> None:
    run = open_run(f"memory://bucket/{uuid.uuid4().hex}", IDENTITY)
    with run.for_one_job(), run.for_one_job():
        pass
