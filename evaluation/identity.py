"""What a run is, in ``run.json`` of its directory: neither a run of something else nor a second process writes into
it."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from opens2s_core.benchmark.report import current_commit
from opens2s_core.checkpoint.files import read_json, write_json
from opens2s_core.storage import exclusive

RUN = "run.json"
_ADDED_LATER = "judge"
_LOCK = "run.lock"
_CHANGES = ("model", "data_path", "judge", "commit")
"""Facts of the run of a model that may be others at its next start."""


def open_run(directory: Path, identity: Mapping[str, Any], **noted: Any) -> dict[str, Any]:
    """Write ``run.json``, and return the facts in it: ``identity``, what is ``noted`` and may differ between starts, as
    where the model is, the ``commit`` of the code (all of them, where several worked on the run), and the ``date`` of
    the first start.

    A run without a judge may be given one later. Raises ``ValueError``, which names the differences, where
    ``directory`` has a run of another identity.
    """
    path = directory / RUN
    facts = json.loads(json.dumps(identity))
    commits, date = [current_commit() or "unknown"], datetime.now(UTC).isoformat(timespec="seconds")
    if path.exists():
        before = read_json(path)
        commits, date = list(dict.fromkeys([*before["commit"].split("; "), *commits])), before["date"]
        identity_before = {name: value for name, value in before.items() if name not in (*noted, "commit", "date")}
        if not identity_before.get(_ADDED_LATER):
            identity_before[_ADDED_LATER] = facts.get(_ADDED_LATER)
        if differences := list(name_differences(identity_before, facts)):
            raise ValueError(f"{directory} is another run: {'; '.join(differences)}. Name another --output")
    facts |= {**noted, "commit": "; ".join(commits), "date": date}
    directory.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    write_json(unfinished, facts)
    os.replace(unfinished, path)
    return facts


def read_run(directory: Path) -> dict[str, Any]:
    """The facts about the run of a model. Raises ``ValueError`` where ``directory`` has none."""
    facts = read_json(directory / RUN)
    if absent := [name for name in ("suite", "options", "data_checksum", "model_fingerprint") if name not in facts]:
        raise ValueError(f"{directory / RUN}: expected the run of a model by a suite; absent: {', '.join(absent)}")
    return facts


def lasting_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the run of a model that are the same at all its starts."""
    return {name: value for name, value in facts.items() if name not in _CHANGES}


def name_differences(before: Any, now: Any, name: str = "") -> Iterator[str]:
    """``seed was 0 and is 1``, for each value of two JSON objects that is not the same."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            yield from name_differences(before.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif before != now:
        yield f"{name} was {json.dumps(before, ensure_ascii=False)} and is {json.dumps(now, ensure_ascii=False)}"


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Two processes that appended to the same files would do everything twice. Raises ``ValueError`` for the second."""
    with ExitStack() as held:
        try:
            held.enter_context(exclusive(directory / _LOCK))
        except BlockingIOError:
            raise ValueError(f"{directory}: another process works on this run") from None
        yield
