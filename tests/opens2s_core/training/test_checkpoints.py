import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.config import ConfigError
from opens2s_core.storage import cache_directory
from opens2s_core.training.checkpoints import CheckpointStore, RetentionConfig, Writer
from opens2s_core.training.folder import Folder

TENSORS = {
    "model.weight": torch.arange(12, dtype=torch.float32).reshape(3, 4),
    "model.half": torch.randn(5).bfloat16(),
    "model.transposed": torch.arange(6.0).reshape(2, 3).T,
    "optimizer.weight.step": torch.tensor(7.0),
    "codes": torch.tensor([[1, 2]], dtype=torch.int64),
    "mask": torch.tensor([True, False]),
    "empty": torch.zeros(0, 3),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OPENS2S_CACHE", str(tmp_path / "cache"))
    yield
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


@pytest.fixture(params=["local", "memory", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    if request.param == "local":
        return Folder.at(tmp_path / "checkpoints")
    if request.param == "s3":
        request.getfixturevalue("s3")
    return Folder.at(f"{request.param}://bucket/{uuid.uuid4().hex}")


def share(tensors: dict[str, Tensor], rank: int, world: int) -> dict[str, Tensor]:
    return {name: tensor for index, (name, tensor) in enumerate(tensors.items()) if index % world == rank}


def save(
    store: CheckpointStore,
    steps: int,
    tensors: dict[str, Tensor] = TENSORS,
    *,
    world: int = 1,
    metrics: dict[str, float] | None = None,
    attempt: int = 1,
) -> None:
    writers = [Writer(rank=rank, world=world, attempt=attempt) for rank in range(world)]
    for writer in reversed(writers):
        store.write(steps, writer, share(tensors, writer.rank, world))
    store.publish(steps, writers[0], metrics or {}, {"recent_losses": [1.5]})


def read(store: CheckpointStore, steps: int) -> dict[str, Tensor]:
    with store.read(steps).open() as tensors:
        return {name: tensor.read().clone() for name, tensor in tensors.items()}


def equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype and torch.equal(left[name], right[name]) for name in left
    )


@pytest.mark.parametrize("world", [1, 2, 9])
def test_any_number_of_ranks_writes_what_one_reads(folder: Folder, world: int) -> None:
    store = CheckpointStore(folder)
    save(store, 100, world=world, metrics={"loss": 0.5, "bad": float("nan")})
    checkpoint = store.latest()
    assert checkpoint is not None
    assert (checkpoint.steps, checkpoint.metrics) == (100, {"loss": 0.5})
    assert checkpoint.state == {"recent_losses": [1.5]}
    assert equal(read(store, 100), TENSORS)
    assert folder.names() == ["step-00000100"]


def test_shapes_and_types_are_known_before_anything_is_read(folder: Folder) -> None:
    save(CheckpointStore(folder), 1)
    with CheckpointStore(folder).read(1).open() as tensors:
        known = {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
        assert not cache_directory().exists()
    assert known == {name: (tensor.shape, tensor.dtype) for name, tensor in TENSORS.items()}


def test_only_the_files_of_the_tensors_that_are_read_are_fetched() -> None:
    folder = Folder.at(f"memory://bucket/{uuid.uuid4().hex}")
    save(CheckpointStore(folder), 1, world=2)
    with CheckpointStore(folder).read(1).open() as tensors:
        tensors["model.weight"].read()
        tensors["model.transposed"].read()
        assert len(list(cache_directory().rglob("*.safetensors"))) == 1


def test_large_shares_are_split_into_files(tmp_path: Path) -> None:
    store, writer = CheckpointStore(Folder.at(tmp_path)), Writer(rank=0, world=1, attempt=5)
    store.write(3, writer, TENSORS, max_bytes=60)
    store.publish(3, writer, {}, {})
    assert len(list((tmp_path / "step-00000003").glob("*.safetensors"))) > 1
    assert {path.suffix for path in (tmp_path / "step-00000003").iterdir()} == {".safetensors", ".json"}
    assert [path.name for path in (tmp_path / "step-00000003").glob("*.json")] == ["checkpoint.json"]
    assert equal(read(store, 3), TENSORS)


def test_a_checkpoint_is_invisible_until_all_ranks_have_written(folder: Folder) -> None:
    store, second = CheckpointStore(folder), Writer(rank=1, world=2, attempt=1)
    save(store, 5)
    store.write(10, second, share(TENSORS, 1, 2))
    assert store.steps() == [5]
    with pytest.raises(CheckpointError, match=r"step-00000010: expected rank-00000-of-00002-000001.json: is the run"):
        store.publish(10, second, {}, {})
    with pytest.raises(CheckpointError, match=r"step-00000010: expected a complete checkpoint"):
        store.read(10)
    assert equal(read(store, 5), TENSORS)


def test_what_killed_writers_left_is_removed(folder: Folder) -> None:
    store = CheckpointStore(folder)
    save(store, 5)
    store.write(10, Writer(rank=1, world=2, attempt=1), TENSORS)
    store.remove_incomplete()
    assert folder.names() == ["step-00000005"]


def test_files_of_an_earlier_attempt_are_not_part_of_a_checkpoint(folder: Folder) -> None:
    store = CheckpointStore(folder)
    old = {name: torch.zeros_like(tensor) for name, tensor in TENSORS.items()}
    store.write(10, Writer(rank=0, world=2, attempt=1), share(old, 0, 2))
    save(store, 10, world=2, attempt=2)
    assert equal(read(store, 10), TENSORS)
    assert not [name for name in (folder / "step-00000010").names() if "000001" in name]


def test_a_tensor_of_two_ranks_is_refused(tmp_path: Path) -> None:
    store = CheckpointStore(Folder.at(tmp_path))
    for rank in (0, 1):
        store.write(1, Writer(rank=rank, world=2, attempt=1), {"weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"expected each tensor from one rank, got \['weight'\] again"):
        store.publish(1, Writer(rank=0, world=2, attempt=1), {}, {})


@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_damaged_file_is_named_when_it_is_read(folder: Folder, damage: str) -> None:
    save(CheckpointStore(folder), 1, world=2)
    step = folder / "step-00000001"
    name = next(name for name in step.names() if name.startswith("rank-00001"))
    content = step.read(name)
    if damage == "gone":
        step.remove(name)
    else:
        step.write(name, content[:-1] if damage == "cut" else content[:-1] + bytes([content[-1] ^ 1]))
    with CheckpointStore(folder).read(1).open() as tensors:
        assert torch.equal(tensors["model.weight"].read(), TENSORS["model.weight"])
        with pytest.raises(CheckpointError, match=rf"step-00000001: damaged file {name}: expected SHA-256"):
            tensors["model.half"].read()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"steps": 2, "metrics": {}, "state": {}, "files": {}}',
        b'{"steps": 1, "metrics": {}, "state": {}}',
        b'{"steps": 1, "metrics": {}, "state": {}, "files": {"../a": {"sha256": "", "tensors": {}}}}',
        b'{"steps": 1, "metrics": {}, "state": {}, "files": {"a": {"sha256": "", "tensors": {"w": ["nn", [1]]}}}}',
        b'{"steps": 1, "metrics": {}, "state": {}, "files": {"a": {"sha256": "", "tensors": {"w": ["int8", ["1"]]}}}}',
    ],
)
def test_a_malformed_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    folder = Folder.at(tmp_path)
    save(CheckpointStore(folder), 1)
    (folder / "step-00000001").write("checkpoint.json", content)
    with pytest.raises(CheckpointError, match=r"step-00000001/checkpoint.json: expected the manifest of a checkpoint"):
        CheckpointStore(folder).latest()


def test_the_last_checkpoints_and_the_best_are_kept(folder: Folder) -> None:
    store = CheckpointStore(folder)
    retention = RetentionConfig(last=2, best="loss")
    kept = []
    for steps, loss in ((1, 3.0), (2, 1.0), (3, 2.0), (4, float("nan")), (5, 1.5), (6, 1.0), (7, 4.0), (8, 4.0)):
        save(store, steps, {"w": torch.tensor(loss)}, metrics={"loss": loss})
        store.prune(retention)
        kept.append(store.steps())
    assert kept == [[1], [1, 2], [2, 3], [2, 3, 4], [2, 4, 5], [5, 6], [6, 7], [6, 7, 8]]
    assert folder.names() == ["step-00000006", "step-00000007", "step-00000008"]


@settings(max_examples=30)
@given(st.lists(st.none() | st.integers(0, 5).map(float), min_size=1, max_size=8), st.integers(1, 3), st.booleans())
def test_pruning_keeps_what_was_configured(losses: list[float | None], last: int, best: bool) -> None:
    directory = Path(tempfile.mkdtemp())
    store = CheckpointStore(Folder.at(directory))
    for steps, loss in enumerate(losses):
        save(store, steps, {}, metrics={} if loss is None else {"loss": loss})
    store.prune(RetentionConfig(last=last, best="loss" if best else None))
    expected = set(range(len(losses))[-last:])
    if best and any(loss is not None for loss in losses):
        lowest = min(loss for loss in losses if loss is not None)
        expected.add(max(steps for steps, loss in enumerate(losses) if loss == lowest))
    assert store.steps() == sorted(expected)
    assert sorted(path.name for path in directory.iterdir()) == [f"step-{steps:08}" for steps in sorted(expected)]
    shutil.rmtree(directory)


def test_at_least_one_checkpoint_is_kept() -> None:
    with pytest.raises(ConfigError, match="last: expected at least 1 checkpoint to keep, got 0"):
        RetentionConfig(last=0)


def test_a_process_that_is_killed_between_any_two_operations_leaves_whole_checkpoints(tmp_path: Path) -> None:
    """Saves a checkpoint and prunes the one before, and dies at the n-th change of the folder, for every n."""

    class Killed(BaseException):
        pass

    def dying(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
        calls = 0

        def counted(method: Callable[..., object]) -> Callable[..., object]:
            def call(*args: object) -> object:
                nonlocal calls
                calls += 1
                if calls > count:
                    raise Killed
                return method(*args)

            return call

        for name in ("write", "remove"):
            monkeypatch.setattr(Folder, name, counted(getattr(Folder, name)))

    changed = {name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in TENSORS.items()}
    count = 0
    while True:
        store = CheckpointStore(Folder.at(tmp_path / str(count)))
        save(store, 1)
        with pytest.MonkeyPatch.context() as patched:
            dying(count, patched)
            try:
                save(store, 2, changed, world=2)
                store.prune(RetentionConfig(last=1))
                finished = True
            except Killed:
                finished = False
        store.remove_incomplete()
        assert store.steps() in ([1], [1, 2], [2])
        assert sorted(path.name for path in (tmp_path / str(count)).iterdir()) == [
            f"step-{steps:08}" for steps in store.steps()
        ]
        for steps in store.steps():
            assert equal(read(store, steps), TENSORS if steps == 1 else changed)
        if finished:
            assert store.steps() == [2]
            assert count >= 5
            return
        count += 1
