"""Sharded data sets: written by data preparation and by the making of dialogues, read by them and by training.

``<shard>.parquet`` holds rows, ``_rejects/<shard>.parquet`` the rows that could not be used, ``_files/`` what else
belongs to shards, and
``_shards/<shard>.json``, written last, says that both are complete and by which fingerprint they were made.
``_dataset.json`` says that the whole data set is finished. All names but those of rows begin with an underscore, and
readers of Parquet skip them.
"""

from data_pipeline.dataset.layout import DatasetError, absolute_url
from data_pipeline.dataset.plan import Shard, plan_shards
from data_pipeline.dataset.reader import finished_shards, read_report, read_rows, read_shard
from data_pipeline.dataset.writer import DatasetWriter, ShardContent

__all__ = [
    "DatasetError",
    "DatasetWriter",
    "Shard",
    "ShardContent",
    "absolute_url",
    "finished_shards",
    "plan_shards",
    "read_report",
    "read_rows",
    "read_shard",
]
