from contextlib import nullcontext
from pathlib import Path

import pytest

from data_pipeline.benchmark.preparing import PreparingBenchmark, preparing_rows
from data_pipeline.benchmark.steps import step_rows
from data_pipeline.preparation.config import PrepareConfig
from data_pipeline.steps.tokenise import TokeniseConfig

CONFIG = PrepareConfig(tokenise=TokeniseConfig(task="transcription"), shard_rows=4)


@pytest.mark.ray
@pytest.mark.slow
def test_ray_data_and_a_process_pool_write_the_same_files(ray_local: str, tiny_bundle: Path, tmp_path: Path) -> None:
    benchmark = PreparingBenchmark(clips=10, repeats=1, processes=2)
    rows = {row.name: row for row in preparing_rows(benchmark, CONFIG, str(tiny_bundle), tmp_path, nullcontext)}
    assert rows["files that differ from those of the pool"].value == 0
    for name in ("prepare 10 clips", "prepare 20 clips", "start-up, until every process has prepared a clip"):
        assert rows[name].value > 0
        assert rows[name].baseline.value > 0
    assert rows["peak memory, 20 clips"].value > 100
    corpora = {"sources", "first", "first-plan", "clips-10", "clips-10-plan", "clips-20", "clips-20-plan"}
    assert {path.name for path in tmp_path.iterdir()} == corpora, "what was prepared takes room"


def test_every_step_takes_time(tiny_bundle: Path, tmp_path: Path) -> None:
    rows = list(step_rows(50, CONFIG, str(tiny_bundle), tmp_path))
    assert [row.name.removeprefix("CPU time of a clip, ") for row in rows] == [
        "read",
        "decode",
        "resample",
        "encode as FLAC",
        "these four by prepare_clips",
        "to an Arrow table",
        "from an Arrow table",
        "tokenise",
        "to Parquet",
        "write to the disk",
    ]
    assert all(row.value > 0 for row in rows)
