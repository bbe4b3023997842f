"""A data set of the dialogues on which training is measured."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from data_pipeline.dataset.index import build_index, write_index
from data_pipeline.dataset.layout import MANIFEST, DatasetFiles, absolute_url, shard_name
from data_pipeline.dataset.parquet import parquet_bytes
from data_pipeline.report import Report
from data_pipeline.schema import SAMPLE
from opens2s_core.benchmark.dialogues import Dialogue, Dialogues
from opens2s_core.prompt import IGNORED


def write_dialogues(directory: Path, dialogues: Dialogues) -> str:
    """Write a finished data set of one shard; returns its URL."""
    files = DatasetFiles(absolute_url(str(directory)))
    name = shard_name(0, 1)
    rows = [_row(number, dialogue) for number, dialogue in enumerate(dialogues.dialogues)]
    files.put(f"{name}.parquet", parquet_bytes(pa.Table.from_pylist(rows, schema=SAMPLE)))
    write_index(files, build_index(files.filesystem, files.root, [name]))
    files.put_json(MANIFEST, {"report": Report().to_dict(), "shards": [name]})
    return files.url


def _row(number: int, dialogue: Dialogue) -> dict[str, Any]:
    sample = dialogue.sample
    return asdict(sample) | {
        "id": f"dialogue-{number}",
        "corpus": "random",
        "language": "en",
        "length": dialogue.length,
        "speech_length": dialogue.speech_length,
        "text_labels": sum(label != IGNORED for label in sample.labels),
        "unit_labels": sum(len(units) + 1 for units in sample.units),
    }
