"""The directory of a training run, on this machine or at a URL.

``run.json``     what the run depends on: two runs are the same if and only if these values are
``checkpoints/`` see :mod:`opens2s_core.training.checkpoints`
``skipped.json`` the steps that were left out, if any
``metrics.jsonl``, ``tensorboard/``, ``curves.png``   metrics of every step
``lock``         held by the job that trains, on a disk
``export/``      the trained model, published last: a run with it is finished
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opens2s_core.storage import exclusive, is_published
from opens2s_core.training.checkpoints import CheckpointStore
from opens2s_core.training.folder import Folder

IDENTITY, CHECKPOINTS, SKIPPED, EXPORT, LOCK = "run.json", "checkpoints", "skipped.json", "export", "lock"
_ABSENT = object()


class RunError(ValueError):
    """A directory with another run, or with a run that cannot be read."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run that :func:`open_run` has opened. It can be sent to other processes."""

    folder: Folder

    @property
    def export(self) -> str:
        """Path or URL of the trained model."""
        return f"{self.folder.url}/{EXPORT}"

    @property
    def checkpoints(self) -> CheckpointStore:
        return CheckpointStore(self.folder / CHECKPOINTS)

    def is_finished(self) -> bool:
        return is_published(self.export)

    @contextmanager
    def for_one_job(self) -> Iterator[None]:
        """Lock a run on a disk until the block or the process ends. Object stores have no locks.

        Raises :class:`RunError` where another job has locked it.
        """
        with ExitStack() as held:
            if self.folder.path is not None:
                try:
                    held.enter_context(exclusive(self.folder.path / LOCK))
                except BlockingIOError:
                    raise RunError(
                        f"{self.folder.url}: another job trains it: expected one at a time, wait for it or end it"
                    ) from None
            yield

    def read_skipped(self) -> dict[int, str]:
        """The steps that are left out (from 1), with the reason of each."""
        try:
            return {int(step): str(reason) for step, reason in json.loads(self.folder.read(SKIPPED)).items()}
        except FileNotFoundError:
            return {}
        except (ValueError, AttributeError) as error:
            raise RunError(f"{self.folder.url}/{SKIPPED}: expected steps with reasons: {error}") from error

    def write_skipped(self, skipped: Mapping[int, str]) -> None:
        self.folder.write(SKIPPED, _json(skipped))


def open_run(directory: str | Path, identity: Mapping[str, Any]) -> Run:
    """The run in ``directory``, new or not. One process opens a run, before any rank trains.

    ``identity`` is plain data with everything that the results depend on: configuration, fingerprints of data and of
    the initial model, seed. It is stored when the run is new. What may change without making it another run, for
    example the number of workers, is left out by the caller.

    Raises :class:`RunError` if the directory has a run with another identity and names each difference, or if it has
    checkpoints or an export of no known run.
    """
    run = Run(Folder.at(directory))
    own = json.loads(_json(identity))
    if not run.folder.exists(IDENTITY):
        if found := sorted({CHECKPOINTS, EXPORT} & set(run.folder.names())):
            raise RunError(f"{run.folder.url}: expected {IDENTITY} beside {' and '.join(found)}, or an empty directory")
        run.folder.write(IDENTITY, _json(identity))
    try:
        stored = json.loads(run.folder.read(IDENTITY))
    except ValueError as error:
        raise RunError(f"{run.folder.url}/{IDENTITY}: expected a JSON file: {error}") from error
    if changed := list(_differences(stored, own, "")):
        raise RunError(f"{run.folder.url}: the run was started with other settings: " + "; ".join(changed))
    return run


def _json(values: Mapping[Any, Any]) -> bytes:
    return (json.dumps(values, indent=2, sort_keys=True) + "\n").encode()


def _differences(before: Any, now: Any, where: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            values = before.get(key, _ABSENT), now.get(key, _ABSENT)
            yield from _differences(*values, f"{where}.{key}" if where else key)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for index, values in enumerate(zip(before, now, strict=True)):
            yield from _differences(*values, f"{where}[{index}]")
    elif before != now or isinstance(before, bool) != isinstance(now, bool):
        yield f"{where} was {_shown(before)}, is {_shown(now)}"


def _shown(value: Any) -> str:
    return "absent" if value is _ABSENT else repr(value)
