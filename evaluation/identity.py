"""What a run is, in ``run.json`` of its directory: a run of something else does not write into it."""

import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from opens2s_core.benchmark.report import current_commit
from opens2s_core.checkpoint.files import read_json, write_json

RUN = "run.json"
_ADDED_LATER = "judge"
_NOTED = ("model", "commit", "date")
"""Facts that may differ between the starts of a run."""


def open_run(directory: Path, identity: Mapping[str, Any], *, model: str) -> dict[str, Any]:
    """Write ``run.json``, and return the facts in it: ``identity``, where the ``model`` is, the ``commit`` of the code
    (all of them, where several worked on the run), and the ``date`` of the first start.

    A run without a judge may be given one later. Raises ``ValueError``, which names the differences, where
    ``directory`` has a run of another identity.
    """
    path = directory / RUN
    facts = json.loads(json.dumps(identity))
    commits, date = [current_commit() or "unknown"], datetime.now(UTC).isoformat(timespec="seconds")
    if path.exists():
        before = read_json(path)
        commits, date = list(dict.fromkeys([*before["commit"].split("; "), *commits])), before["date"]
        identity_before = {name: value for name, value in before.items() if name not in _NOTED}
        if not identity_before.get(_ADDED_LATER):
            identity_before[_ADDED_LATER] = facts.get(_ADDED_LATER)
        if differences := list(_differences(identity_before, facts)):
            raise ValueError(f"{directory} is another run: {'; '.join(differences)}. Name another --output")
    facts |= {"model": model, "commit": "; ".join(commits), "date": date}
    directory.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    write_json(unfinished, facts)
    os.replace(unfinished, path)
    return facts


def _differences(before: Any, now: Any, name: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            yield from _differences(before.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif before != now:
        yield f"{name} was {json.dumps(before, ensure_ascii=False)} and is {json.dumps(now, ensure_ascii=False)}"
