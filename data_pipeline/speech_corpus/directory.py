"""From shards of utterances to a corpus of plain files (see :mod:`opens2s_core.training.voice.corpus`).

The corpus appears whole or not at all. ``corpus.json`` has the configuration and distinguishes it from other
directories; ``rejects.jsonl`` has the utterances that could not be spoken, with the reason.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_pipeline.dataset import DatasetError, DatasetWriter, Shard, absolute_url, read_shard
from data_pipeline.report import Report
from data_pipeline.schema import REJECT, UTTERANCE
from opens2s_core.storage import new_directory
from opens2s_core.training.voice.corpus import Utterance, write_manifest

MADE = "corpus.json"
REJECTS = "rejects.jsonl"
_AUDIO = "audio"


def shards_writer(directory: Path) -> DatasetWriter:
    """Writes the shards beside the corpus, where they stay until it is complete: a job that resumes finds them."""
    return DatasetWriter(absolute_url(str(_shards(directory))))


def finished_report(directory: Path, plan: Sequence[Shard]) -> Report | None:
    """The report of the corpus at ``directory``; None where there is none, or one of another plan.

    Raises :class:`~data_pipeline.dataset.DatasetError` for a directory that is not a corpus: it would be replaced.
    """
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return None
    if not (directory / MADE).is_file():
        raise DatasetError(f"{directory} is not a speech corpus: expected {MADE} in it, or no directory of that name")
    made = json.loads((directory / MADE).read_bytes())
    return Report.from_dict(made["report"]) if made["fingerprint"] == _fingerprint(plan) else None


def publish_corpus(directory: Path, plan: Sequence[Shard], report: Report, config: dict[str, Any]) -> None:
    """Unpack the finished shards of ``plan`` into ``directory``; an older corpus there is replaced."""
    utterances: list[Utterance] = []
    rejects: list[dict[str, Any]] = []
    with new_directory(directory) as target:
        (target / _AUDIO).mkdir()
        for shard in plan:
            utterances += _unpack(shards_writer(directory).url, shard, target)
            rejects += read_shard(f"{shards_writer(directory).url}/_rejects", shard.name, REJECT).to_pylist()
        write_manifest(target, utterances)
        (target / REJECTS).write_text("".join(json.dumps(reject) + "\n" for reject in rejects), encoding="utf-8")
        made = {"config": config, "fingerprint": _fingerprint(plan), "report": report.to_dict()}
        (target / MADE).write_text(json.dumps(made, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def remove_shards(directory: Path) -> None:
    shutil.rmtree(_shards(directory), ignore_errors=True)


def describe_corpus(utterances: Sequence[Utterance]) -> str:
    """Hours and utterances of every voice, the one with most audio first."""
    seconds: dict[str, list[float]] = {}
    for utterance in utterances:
        seconds.setdefault(utterance.voice, []).append(utterance.samples / utterance.rate)
    ordered = sorted(seconds.items(), key=lambda item: -sum(item[1]))
    return "\n".join(f"{name:24} {len(lengths):6} utterances {sum(lengths) / 3600:7.3f} h" for name, lengths in ordered)


def _unpack(url: str, shard: Shard, target: Path) -> list[Utterance]:
    utterances = []
    for row in read_shard(url, shard.name, UTTERANCE).to_pylist():
        audio, file = row.pop("audio"), f"{_AUDIO}/{row['id']}.flac"
        (target / file).write_bytes(audio)
        utterances.append(Utterance(file=file, **row))
    return utterances


def _shards(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}.shards")


def _fingerprint(plan: Sequence[Shard]) -> str:
    return hashlib.sha256("\n".join(shard.fingerprint for shard in plan).encode()).hexdigest()
