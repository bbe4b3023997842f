from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipeline.corpora import CorpusError, CorpusFiles
from data_pipeline.corpora.parquet_rows import parquet_rows
from tests.data_pipeline.corpora.reading import write


def test_rows_keep_their_order_over_row_groups(tmp_path: Path) -> None:
    table = pa.table({"id": [str(number) for number in range(10)], "audio": [b"clip"] * 10})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=3)
    rows = list(parquet_rows(CorpusFiles(str(tmp_path)), "a.parquet", ["id"], audio_columns=["audio"]))
    assert rows == [{"id": str(number)} for number in range(10)]


def test_missing_columns_are_an_error(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(CorpusError, match=r"columns \['text', 'audio'\] are missing; found \['id'\]"):
        list(parquet_rows(CorpusFiles(str(tmp_path)), "a.parquet", ["id", "text"], audio_columns=["audio"]))


def test_another_kind_of_file_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", b"no table")
    with pytest.raises(CorpusError, match="expected a Parquet file"):
        list(parquet_rows(CorpusFiles(str(tmp_path)), "a.parquet", ["id"]))
