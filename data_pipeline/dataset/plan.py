"""The shards of a data set that are to be made."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from data_pipeline.dataset.layout import shard_name


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """A planned piece of work: ``inputs`` is all that its maker needs, as JSON; the fingerprint covers it."""

    name: str
    inputs: str
    fingerprint: str
    rows: int = 1  # that are planned


def fingerprint(value: Any) -> str:
    """SHA-256 of plain data."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def plan_shards(inputs: Sequence[Any], *, made_by: Any) -> list[Shard]:
    """One shard for each of ``inputs`` (plain data). ``made_by`` is the recipe and code version, as plain data:
    where it or an input differs, so does the fingerprint, and the shard is made again."""
    return [
        Shard(
            name=shard_name(index, len(inputs)),
            inputs=json.dumps(value, sort_keys=True),
            fingerprint=fingerprint([made_by, value]),
            rows=len(value) if isinstance(value, list) else 1,
        )
        for index, value in enumerate(inputs)
    ]
