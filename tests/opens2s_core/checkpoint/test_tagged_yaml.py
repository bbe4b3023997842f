import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.tagged_yaml import read_yaml


def read(directory: Path, text: str, *sections: str) -> dict[str, Any]:
    path = directory / "config.yaml"
    path.write_text(textwrap.dedent(text))
    return read_yaml(path, sections)


def test_tags_are_passed_over_and_references_are_looked_up(tmp_path: Path) -> None:
    text = """
        __set_seed1: !apply:random.seed [1986]
        rate: 22050
        sizes:
            wide: {spk: 192}
        flow: !new:some.module.Flow
            rate: !ref <rate>
            spk: !ref <sizes[wide][spk]>
            sizes: !ref <sizes>
            params: !new:omegaconf.DictConfig
                content:
                    sigma: 1e-06
                    large: -2.5E+3
                    names: !name:torch.nn.SiLU
            list: !apply:numpy.array [1, 0x10, 1.5, true, no, null, ~, '1', 2001-01-01]
    """
    assert read(tmp_path, text, "flow") == {
        "flow": {
            "rate": 22050,
            "spk": 192,
            "sizes": {"wide": {"spk": 192}},
            "params": {"content": {"sigma": 1e-6, "large": -2500.0, "names": ""}},
            "list": [1, 16, 1.5, True, False, None, None, "1", "2001-01-01"],
        }
    }


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.mkdir [TRACE]",
        "!!python/object/new:os.mkdir {args: [TRACE]}",
        "!apply:os.mkdir [TRACE]",
        "!new:os.mkdir {name: TRACE}",
        "!!python/name:os.mkdir TRACE",
        "!!python/module:os TRACE",
        "!include TRACE",
    ],
)
def test_no_tag_builds_or_runs_anything(tmp_path: Path, value: str) -> None:
    trace = tmp_path / "trace"
    read_back = read(tmp_path, f"flow: {value.replace('TRACE', str(trace))}", "flow")["flow"]
    assert str(trace) in str(read_back)
    assert isinstance(read_back, str | list | dict)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("!ref <a> * 2", "expected <name>"),
        ("!ref <a>/b", "expected <name>"),
        ("!ref a", "expected <name>"),
        ("!ref <missing>", "<missing>: nothing of that name"),
        ("!ref <a[b]>", "nothing of that name"),
        ("!ref <flow>", "a value holds itself"),
        ("!ref <flow[value]>", "a value holds itself"),
    ],
)
def test_other_references_are_errors_only_where_they_are_needed(tmp_path: Path, reference: str, message: str) -> None:
    text = f"a: 1\nhift:\n  size: 2\nflow:\n  value: {reference}\n"
    assert read(tmp_path, text, "hift") == {"hift": {"size": 2}}
    with pytest.raises(CheckpointError, match=message):
        read(tmp_path, text, "hift", "flow")


def test_a_value_cannot_hold_itself(tmp_path: Path) -> None:
    for text in ("flow: &a [*a]", "flow: &a {b: *a}", "flow: !ref <b>\nb: !ref <flow>"):
        with pytest.raises(CheckpointError, match="holds itself"):
            read(tmp_path, text, "flow")


def test_values_that_unfold_without_end_are_refused(tmp_path: Path) -> None:
    laughs = ["a0: &a0 [1, 2]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    with pytest.raises(CheckpointError, match="at most 20000 values"):
        read(tmp_path, "\n".join([*laughs, "flow: *a11"]), "flow")
    references = ["a0: [1, 2]"] + [f"a{i}: [{', '.join([f'!ref <a{i - 1}>'] * 9)}]" for i in range(1, 12)]
    with pytest.raises(CheckpointError, match="at most 20000 values"):
        read(tmp_path, "\n".join([*references, "flow: !ref <a11>"]), "flow")
    assert read(tmp_path, "\n".join([*laughs, "flow: *a1"]), "flow") == {"flow": [[1, 2]] * 9}


@pytest.mark.parametrize(
    "text",
    [
        "flow: " + "{a: " * 50_000,
        "- 1",
        "",
        "flow: [",
        "flow: 1\nflow: 2",
        "{[1]: 2}",
        "a: *b",
        "\x07",
        "a\n---\nb",
    ],
)
def test_what_is_no_mapping_of_settings_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(CheckpointError, match=r"config\.yaml"):
        read(tmp_path, text, "flow")


@pytest.mark.parametrize("value", ["!!int abc", "!!float abc", "{1: 2, 1: 3}", "{[a]: 1}", "!!bool maybe"])
def test_malformed_values_are_errors_where_they_are_needed(tmp_path: Path, value: str) -> None:
    text = f"hift: 1\nflow: {value}\n"
    assert read(tmp_path, text, "hift") == {"hift": 1}
    with pytest.raises(CheckpointError, match=r"config\.yaml"):
        read(tmp_path, text, "flow")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nothing\.yaml"):
        read_yaml(tmp_path / "nothing.yaml", ["flow"])


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(), values, max_size=4),
    max_leaves=20,
)


@settings(max_examples=50)
@given(plain)
def test_plain_data_comes_back_as_it_was_written(tmp_path_factory: Any, values: Any) -> None:
    path = tmp_path_factory.mktemp("yaml") / "config.yaml"
    path.write_text(yaml.safe_dump({"flow": values}), encoding="utf-8")
    assert read_yaml(path, ["flow"]) == {"flow": values}
