from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_pipeline.pipeline import PrepareConfig

from data_pipeline.dataset import DatasetError, DatasetWriter, ShardContent, absolute_url, plan_shards
from data_pipeline.report import Report
from data_pipeline.schema import DIALOGUE, REJECT
from data_pipeline.synthesis.dialogues import DialogueConfig
from ray_jobs.build_dialogues import build_dialogues
from ray_jobs.prepare_data import main, prepare_data

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def dialogues(ray_local: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dialogues")
    build_dialogues(DialogueConfig(turns=10, shard_turns=4), str(directory))
    return directory


def rows(directory: Path) -> list[dict]:
    return [row for path in sorted(directory.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def times(directory: Path) -> dict[str, int]:
    return {str(path.relative_to(directory)): path.stat().st_mtime_ns for path in directory.rglob("*")}


def test_every_dialogue_becomes_a_sample_once(dialogues: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    report = prepare_data(PrepareConfig(), str(dialogues), str(tiny_bundle), str(tmp_path))
    samples = rows(tmp_path)
    assert [sample["id"] for sample in samples] == [f"turn-{index:06d}" for index in range(10)]
    assert [sample["audios"] for sample in samples] == [[row["user_audio"]] for row in rows(dialogues)]
    assert (report.rows_in, report.rows_out, report.rejected) == (10, 10, {})
    assert report.units == sum(len(units) for sample in samples for units in sample["units"])
    before = times(tmp_path)
    assert prepare_data(PrepareConfig(), str(dialogues), str(tiny_bundle), str(tmp_path)) == report
    assert times(tmp_path) == before


def publish_dialogues(turns: list[dict], directory: Path) -> None:
    (shard,) = plan_shards(["given"], made_by="test")
    sink = DatasetWriter(absolute_url(str(directory)))
    table = pa.Table.from_pylist(turns, schema=DIALOGUE)
    sink.publish(shard, ShardContent(rows=table, rejects=REJECT.empty_table(), report=Report()))
    sink.finish([shard])


def test_bad_rows_are_published_beside_the_samples(dialogues: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    turns = rows(dialogues)[:4]
    turns[1]["user_audio"] = b"broken"
    publish_dialogues(turns, tmp_path / "in")
    report = prepare_data(PrepareConfig(), str(tmp_path / "in"), str(tiny_bundle), str(tmp_path / "out"))
    assert report.rejected == {"decode: bad user audio": 1}
    assert [sample["id"] for sample in rows(tmp_path / "out")] == ["turn-000000", "turn-000002", "turn-000003"]
    (reject,) = rows(tmp_path / "out" / "_rejects")
    assert (reject["id"], reject["step"]) == ("turn-000001", "decode")


def test_a_job_that_can_use_no_row_fails(dialogues: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    publish_dialogues([row | {"reply_audio": b""} for row in rows(dialogues)[:2]], tmp_path / "in")
    places = {"--input": tmp_path / "in", "--model": tiny_bundle, "--output": tmp_path / "out"}
    with pytest.raises(SystemExit, match="no samples: all 2 rows were rejected"):
        main(["--recipe", "smoke", *(str(part) for pair in places.items() for part in pair)])


def test_unfinished_dialogues_are_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is not a finished dataset"):
        prepare_data(PrepareConfig(), str(tmp_path), str(tiny_bundle), str(tmp_path / "out"))
