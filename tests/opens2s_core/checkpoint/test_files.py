import json
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.files import open_tensors, read_json, write_json, write_tensors
from opens2s_core.checkpoint.shards import LazyTensor

TENSORS = {
    "a.weight": torch.arange(12.0).reshape(3, 4),
    "b": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "c": torch.tensor(7),
}


def read_all(directory: Path, stem: str = "model") -> dict[str, Tensor]:
    files = open_tensors(directory, stem)
    return {name: files[name].read() for name in files}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype and torch.equal(left[name], right[name]) for name in left
    )


class Bomb:
    """Pickled, it makes a directory wherever it is loaded."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


def test_names_shapes_and_types_are_known_before_anything_is_read(tmp_path: Path) -> None:
    write_tensors(TENSORS, tmp_path)
    files = open_tensors(tmp_path)
    known = {name: (tuple(lazy.shape), lazy.dtype) for name, lazy in files.items()}
    assert known == {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in TENSORS.items()}
    assert same({name: lazy.read() for name, lazy in files.items()}, TENSORS)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.integers(4, 300))
def test_any_number_of_shards_reads_as_one_file(tmp_path_factory: Any, sizes: list[int], max_bytes: int) -> None:
    directory = tmp_path_factory.mktemp("shards")
    tensors = {f"t{i}": torch.randn(size) for i, size in enumerate(sizes)}
    write_tensors(tensors, directory, max_bytes=max_bytes)
    shards = list(directory.glob("*.safetensors"))
    assert all(path.stat().st_size <= max_bytes + 2000 or len(tensors) == 1 for path in shards)
    assert (len(shards) > 1) == (directory / "model.safetensors.index.json").exists()
    assert same(read_all(directory), tensors)


def test_older_files_of_a_stem_are_replaced_even_while_they_are_read(tmp_path: Path) -> None:
    write_tensors(TENSORS, tmp_path, max_bytes=16)
    write_tensors({"other": torch.ones(2)}, tmp_path, "hift")
    write_tensors(open_tensors(tmp_path), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"model.safetensors", "hift.safetensors"}
    write_tensors(open_tensors(tmp_path), tmp_path)
    assert same(read_all(tmp_path), TENSORS)
    write_tensors(open_tensors(tmp_path), tmp_path, max_bytes=16)
    assert not (tmp_path / "model.safetensors").exists()
    assert same(read_all(tmp_path), TENSORS)


def test_lazy_tensors_are_read_one_shard_at_a_time(tmp_path: Path) -> None:
    log: list[str] = []

    def lazy(name: str) -> LazyTensor:
        def read() -> Tensor:
            log.append(f"{name} after {len(list(tmp_path.glob('model*')))}")
            return torch.zeros(4)

        return LazyTensor(torch.Size([4]), torch.float32, read)

    write_tensors({name: lazy(name) for name in "abc"}, tmp_path, max_bytes=16)
    assert log == ["a after 0", "b after 1", "c after 2"]


@pytest.mark.parametrize("suffix", ["pt", "bin"])
@pytest.mark.parametrize("kind", [dict, OrderedDict])
@pytest.mark.parametrize("zipped", [True, False])
def test_pickles_of_tensors_are_read_like_safetensors(tmp_path: Path, suffix: str, kind: type, zipped: bool) -> None:
    path = tmp_path / f"flow.{suffix}"
    torch.save(kind(TENSORS), path, _use_new_zipfile_serialization=zipped)
    assert same(read_all(tmp_path, "flow"), TENSORS)


def test_nothing_in_a_pickle_is_ever_run(tmp_path: Path) -> None:
    for content in (Bomb(tmp_path / "trace"), {"a": Bomb(tmp_path / "trace")}):
        torch.save(content, tmp_path / "flow.pt")
        with pytest.raises(CheckpointError, match=r"flow\.pt: expected a file of tensors only"):
            open_tensors(tmp_path, "flow")
        assert not (tmp_path / "trace").exists()


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": TENSORS}, "expected a plain tensor under 'state_dict', got"),
        ({"a": torch.ones(1), "epoch": 3}, "expected a plain tensor under 'epoch', got int"),
        ({"a": torch.ones(2, 2).to_sparse()}, "expected a plain tensor under 'a'"),
        ({1: torch.ones(1)}, "expected names of tensors, got 1"),
        ([torch.ones(1)], "expected a flat mapping of names to tensors, got list"),
        (torch.ones(1), "expected a flat mapping of names to tensors, got Tensor"),
    ],
)
def test_anything_but_a_flat_mapping_to_tensors_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "flow.pt")
    with pytest.raises(CheckpointError, match=message):
        open_tensors(tmp_path, "flow")


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"garbage" * 9, b"\xff" * 64, b"PK\x03\x04" + b"\0" * 60])
def test_what_is_no_file_of_tensors_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=name):
        open_tensors(tmp_path)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model.{suffix}"
    if suffix == "pt":
        torch.save(TENSORS, path)
    else:
        save_file(TENSORS, path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CheckpointError, match=path.name):
        open_tensors(tmp_path)


@pytest.mark.parametrize(
    "place", ["../outside.safetensors", "{root}/outside.safetensors", "a/../../outside.safetensors"]
)
def test_an_index_cannot_lead_out_of_its_directory(tmp_path: Path, place: str) -> None:
    save_file(TENSORS, tmp_path / "outside.safetensors")
    directory = tmp_path / "inside"
    directory.mkdir()
    file = place.format(root=tmp_path)
    write_json(directory / "model.safetensors.index.json", {"weight_map": dict.fromkeys(TENSORS, file)})
    with pytest.raises(CheckpointError, match="expected a relative path inside"):
        open_tensors(directory)


def test_only_the_shards_of_the_index_are_read(tmp_path: Path) -> None:
    write_tensors(TENSORS, tmp_path, max_bytes=16)
    save_file({"stray": torch.ones(1)}, tmp_path / "model-extra.safetensors")
    save_file({"stale": torch.ones(1)}, tmp_path / "model.safetensors")
    assert same(read_all(tmp_path), TENSORS)
    next(tmp_path.glob("model-00001*")).unlink()
    with pytest.raises(CheckpointError, match="model-00001"):
        open_tensors(tmp_path)


def test_the_index_says_which_file_a_tensor_is_read_from(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1), "b": torch.ones(1)}, tmp_path / "one.safetensors")
    save_file({"a": torch.ones(1), "not.named": torch.ones(1)}, tmp_path / "two.safetensors")
    for first in ("one", "two"):
        weight_map = {"a": f"{first}.safetensors", "b": "one.safetensors"}
        write_json(tmp_path / "model.safetensors.index.json", {"weight_map": weight_map})
        expected = torch.zeros(1) if first == "one" else torch.ones(1)
        assert same(read_all(tmp_path), {"a": expected, "b": torch.ones(1)})


def test_an_index_must_name_what_its_shards_hold(tmp_path: Path) -> None:
    write_tensors(TENSORS, tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    write_json(index, {"weight_map": {"a.weight": "model.safetensors", "z": "model.safetensors"}})
    with pytest.raises(CheckpointError, match=r"missing are \['z'\]"):
        open_tensors(tmp_path)


@pytest.mark.parametrize("content", [{}, {"weight_map": {}}, {"weight_map": []}, {"weight_map": {"a.weight": 1}}])
def test_an_index_without_names_of_tensors_is_refused(tmp_path: Path, content: dict[str, Any]) -> None:
    write_tensors(TENSORS, tmp_path)
    write_json(tmp_path / "model.safetensors.index.json", content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors\.index\.json: expected a weight_map from names"):
        open_tensors(tmp_path)


def test_files_have_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    write_tensors({"a": torch.ones(1)}, tmp_path)
    write_json(tmp_path / "config.json", {})
    assert (tmp_path / "model.safetensors").stat().st_mode == (tmp_path / "config.json").stat().st_mode


def test_two_names_for_one_memory_are_two_tensors(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    write_tensors({"a": shared, "b": shared.view(2, 3), "c": shared[:2]}, tmp_path)
    read = {name: tensor.read() for name, tensor in open_tensors(tmp_path).items()}
    assert torch.equal(read["a"], shared)
    assert torch.equal(read["b"], shared.view(2, 3))
    assert torch.equal(read["c"], shared[:2])


def test_a_pickle_under_its_older_name_is_found_and_replaced(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "pytorch_model.bin")
    assert torch.equal(open_tensors(tmp_path)["a"].read(), torch.ones(1))
    write_tensors({"a": torch.zeros(1)}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_shards_without_an_index_must_be_whole_and_agree(tmp_path: Path) -> None:
    for number, tensors in ((1, {"a": torch.ones(1)}), (2, {"b": torch.ones(2)})):
        save_file(tensors, tmp_path / f"model-0000{number}-of-00002.safetensors")
    assert set(open_tensors(tmp_path)) == {"a", "b"}
    save_file({"a": torch.ones(1)}, tmp_path / "model-00002-of-00002.safetensors")
    with pytest.raises(CheckpointError, match="no other shard holds"):
        open_tensors(tmp_path)
    save_file({"a": torch.ones(1)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="expected one file or many"):
        open_tensors(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match="expected all shards of one set"):
        open_tensors(tmp_path)


def test_an_empty_directory_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"expected hift\.safetensors, shards of that name, hift\.pt"):
        open_tensors(tmp_path, "hift")


@pytest.mark.parametrize("content", ["{", "[1]", '"text"', "\x00", "[" * 100_000])
def test_what_is_no_json_object_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"config\.json: expected a JSON"):
        read_json(tmp_path / "config.json")
    with pytest.raises(CheckpointError, match=r"other\.json"):
        read_json(tmp_path / "other.json")


def test_json_comes_back_as_it_was_written(tmp_path: Path) -> None:
    values = {"b": [1, 2.5, None], "a": {"text": "…"}}
    write_json(tmp_path / "values.json", values)
    assert read_json(tmp_path / "values.json") == values == json.loads((tmp_path / "values.json").read_text())
