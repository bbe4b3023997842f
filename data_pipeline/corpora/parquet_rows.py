"""Rows of Parquet files without their audio."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline.corpora.files import CorpusError, CorpusFiles


def parquet_rows(
    files: CorpusFiles, path: str, columns: Sequence[str], audio_columns: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """The rows of a file, in order, with ``columns`` only. ``audio_columns`` must be there too but are not read.

    Raises :class:`CorpusError` where a column is missing or the file is no Parquet file.
    """
    try:
        with files.open(path) as file, pq.ParquetFile(file) as table:
            found = table.schema_arrow.names
            if missing := [name for name in (*columns, *audio_columns) if name not in found]:
                raise CorpusError(f"{files.root}/{path}: columns {missing} are missing; found {found}")
            for batch in table.iter_batches(columns=list(columns)):
                yield from batch.to_pylist()
    except pa.ArrowInvalid as error:
        raise CorpusError(f"{files.root}/{path}: expected a Parquet file: {error}") from error
