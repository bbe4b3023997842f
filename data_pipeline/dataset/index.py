"""The random-access index of a data set: one small file with the position, lengths and label counts of every sample."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fsspec.core import url_to_fs
from fsspec.spec import AbstractFileSystem
from numpy.typing import NDArray

from data_pipeline.dataset.layout import MANIFEST, DatasetError, DatasetFiles
from data_pipeline.dataset.shards import read_footer, read_row_groups, shard_path

INDEX = "_index.parquet"


_CATEGORY = pa.dictionary(pa.int32(), pa.string())
INDEX_SCHEMA = pa.schema(
    [
        pa.field("shard", pa.int32(), nullable=False),  # in the list of shards
        pa.field("group", pa.int32(), nullable=False),  # row group of the shard
        pa.field("row", pa.int32(), nullable=False),  # of the row group
        pa.field("bytes", pa.int64(), nullable=False),  # its share of the row group in the file
        pa.field("length", pa.int32(), nullable=False),
        pa.field("speech_length", pa.int32(), nullable=False),
        pa.field("text_labels", pa.int32(), nullable=False),
        pa.field("unit_labels", pa.int32(), nullable=False),
        pa.field("corpus", _CATEGORY, nullable=False),
        pa.field("language", _CATEGORY, nullable=False),
    ]
)
_COPIED = ["length", "speech_length", "text_labels", "unit_labels", "corpus", "language"]
_SHARDS = b"shards"
"""Key of the file's metadata: the names of the shards as JSON."""
_THREADS = 16


@dataclass(frozen=True)
class Index:
    """The positions of the samples of a data set, in the order of its shards and their rows; arrays are (n,)."""

    shards: tuple[str, ...]
    shard: NDArray[np.int32]
    group: NDArray[np.int32]  # of the shard
    row: NDArray[np.int32]  # of the row group
    bytes: NDArray[np.int64]
    lengths: NDArray[np.int32]
    speech_lengths: NDArray[np.int32]
    text_labels: NDArray[np.int32]
    unit_labels: NDArray[np.int32]
    corpora: tuple[str, ...]
    corpus: NDArray[np.int32]  # in ``corpora``
    languages: tuple[str, ...]
    language: NDArray[np.int32]  # in ``languages``

    def __len__(self) -> int:
        return len(self.row)

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """The row group of each sample, numbered from 0 over all shards."""
        changes = (np.diff(self.shard) != 0) | (np.diff(self.group) != 0)
        return np.concatenate([[0], np.cumsum(changes)])[: len(self)]


def build_index(filesystem: AbstractFileSystem, root: str, shards: Sequence[str]) -> pa.Table:
    """One row of :data:`INDEX_SCHEMA` for each sample of ``<root>/<shard>.parquet``.

    Reads footers and small columns, of several shards at once. Raises :class:`DatasetError` for a shard that is
    missing or has other columns than the schema SAMPLE.
    """
    with ThreadPoolExecutor(_THREADS) as threads:
        tables = list(threads.map(partial(_index_shard, filesystem, root), range(len(shards)), shards))
    table = pa.concat_tables(tables).unify_dictionaries() if tables else INDEX_SCHEMA.empty_table()
    return with_shards(table.combine_chunks(), shards)


def with_shards(index: pa.Table, shards: Sequence[str]) -> pa.Table:
    """The index with the names of the shards that its numbers mean."""
    return index.replace_schema_metadata({_SHARDS: json.dumps(list(shards))})


def write_index(files: DatasetFiles, index: pa.Table) -> None:
    """Publish what :func:`build_index` returned as ``_index.parquet``; the same index gives the same bytes."""
    buffer = pa.BufferOutputStream()
    pq.write_table(index, buffer, compression="zstd", row_group_size=max(index.num_rows, 1))
    files.put(INDEX, buffer.getvalue().to_pybytes())


def read_index(url: str) -> Index:
    """The index of the finished data set at ``url``, read as one file. Raises :class:`DatasetError`."""
    filesystem, root = url_to_fs(url, use_listings_cache=False)
    if not filesystem.exists(f"{root}/{MANIFEST}"):
        raise DatasetError(f"{url} is not a finished data set: expected {root}/{MANIFEST}")
    path = f"{root}/{INDEX}"
    try:
        table = pq.read_table(pa.BufferReader(filesystem.cat_file(path)))
    except FileNotFoundError as error:
        raise DatasetError(f"{url} is not a data set of samples: expected {path}") from error
    except pa.ArrowInvalid as error:
        raise DatasetError(f"{path}: expected a Parquet file: {error}") from error
    if not table.schema.equals(INDEX_SCHEMA) or _SHARDS not in (table.schema.metadata or {}):
        raise DatasetError(f"{path} has columns {table.schema.names}, expected an index with {INDEX_SCHEMA.names}")
    return _from_table(table)


def _from_table(table: pa.Table) -> Index:
    columns = {name: pa.concat_arrays(table[name].chunks) for name in table.schema.names if table.num_rows}
    if not columns:
        columns = {field.name: pa.array([], field.type) for field in table.schema}
    corpus, language = columns.pop("corpus"), columns.pop("language")
    numbers = {name: column.to_numpy() for name, column in columns.items()}
    return Index(
        shards=tuple(json.loads(table.schema.metadata[_SHARDS])),
        lengths=numbers.pop("length"),
        speech_lengths=numbers.pop("speech_length"),
        corpora=tuple(corpus.dictionary.to_pylist()),
        corpus=corpus.indices.to_numpy(),
        languages=tuple(language.dictionary.to_pylist()),
        language=language.indices.to_numpy(),
        **numbers,
    )


def _index_shard(filesystem: AbstractFileSystem, root: str, number: int, name: str) -> pa.Table:
    path = shard_path(root, name)
    footer = read_footer(filesystem, path)
    groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
    table = read_row_groups(filesystem, path, footer, range(len(groups)), ["input_ids", *_COPIED])
    sizes = np.array([group.num_rows for group in groups], dtype=np.int64)
    ends = np.cumsum(sizes)
    lengths = table["length"].to_numpy()
    # A slot of an audio is one token, so what a sample is longer than its tokens grows with its audio.
    audio = lengths - pc.list_value_length(table["input_ids"]).to_numpy()
    other = 1 + lengths + table["unit_labels"].to_numpy()
    shares = [
        _shares(group, audio[end - size : end], other[end - size : end])
        for group, size, end in zip(groups, sizes, ends, strict=True)
    ]
    columns = {
        "shard": np.full(len(lengths), number, np.int32),
        "group": np.repeat(np.arange(len(groups), dtype=np.int32), sizes),
        "row": (np.arange(len(lengths)) - np.repeat(ends - sizes, sizes)).astype(np.int32),
        "bytes": np.concatenate([np.zeros(0, np.int64), *shares]),
        **{name: table[name] for name in _COPIED},
        **{name: table[name].dictionary_encode() for name in ("corpus", "language")},
    }
    return pa.table(columns, schema=INDEX_SCHEMA)


def _shares(group: pq.RowGroupMetaData, audio: NDArray[np.int32], other: NDArray[np.int32]) -> NDArray[np.int64]:
    """The bytes of a row group by its rows (rows,): those of the audio in proportion to ``audio``, the rest to
    ``other``. They add up to the whole group."""
    columns = [group.column(i) for i in range(group.num_columns)]
    total = sum(column.total_compressed_size for column in columns)
    audios = [column.total_compressed_size for column in columns if column.path_in_schema.startswith("audios.")]
    in_audio = sum(audios) if audio.any() else 0
    exact = in_audio * audio / max(audio.sum(), 1) + (total - in_audio) * other / other.sum()
    return np.diff(np.rint(np.cumsum(exact)).astype(np.int64), prepend=0)
