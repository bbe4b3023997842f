"""Clips with transcripts and emotions, from prepared data sets and from manifests in JSON Lines."""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fsspec.core import url_to_fs

from data_pipeline.corpora.files import CorpusFiles
from data_pipeline.corpora.manifest import Manifest
from data_pipeline.dataset import read_rows
from data_pipeline.dataset.layout import MANIFEST, DatasetFiles
from data_pipeline.records import RejectedRow, Utterance
from data_pipeline.schema import SAMPLE
from data_pipeline.steps.clips import read_clip
from evaluation.suites.data_files import DataFiles, find_files
from opens2s_core.audio import encode_audio

_MAX_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """An empty transcript or emotion is an unknown one."""

    id: str
    audio: bytes
    transcript: str
    emotion: str
    language: str


def read_clips(data: str, language: str) -> Iterator[Clip]:
    """The clips of a finished data set of ``ray_jobs.prepare_data`` (samples with exactly one), or of a manifest
    ``{audio, text, label}`` or a directory of manifests, see :class:`~data_pipeline.corpora.manifest.Manifest`.

    ``language`` is that of the clips of a manifest. Raises ``ValueError`` that names the row and what was expected.
    """
    if _is_prepared(data):
        for row in read_rows(data, SAMPLE):
            if len(row["audios"]) == 1:
                yield _of_sample(row)
        return
    files = find_files(data, ("*.jsonl",))
    root = files.filesystem.unstrip_protocol(posixpath.dirname(files.paths[0]))
    corpus = CorpusFiles(root)
    for path in files.paths:
        for entry in Manifest(language=language).read(corpus, posixpath.basename(path)):
            if not isinstance(entry, Utterance):
                raise ValueError(f"{path}, row {entry.id}: {entry.reason}")
            yield _of_utterance(corpus, entry, path)


def checksum(data: str) -> str:
    """SHA-256 of the manifest of a data set, which has those of its shards, or of the manifests in JSON Lines."""
    if _is_prepared(data):
        filesystem, root = url_to_fs(data)
        return DataFiles(filesystem, (f"{root.rstrip('/')}/{MANIFEST}",)).sha256()
    return find_files(data, ("*.jsonl",)).sha256()


def _is_prepared(data: str) -> bool:
    return DatasetFiles(data).exists(MANIFEST)


def _of_sample(row: dict[str, Any]) -> Clip:
    return Clip(
        id=row["id"],
        audio=row["audios"][0],
        transcript=row["transcript"],
        emotion=row["emotion"],
        language=row["language"],
    )


def _of_utterance(files: CorpusFiles, entry: Utterance, path: str) -> Clip:
    try:
        samples, rate = read_clip(files, entry.audio, max_seconds=_MAX_SECONDS)
    except RejectedRow as error:
        raise ValueError(f"{path}, row {entry.id}: {error}") from error
    return Clip(
        id=entry.id,
        audio=encode_audio(samples, rate),
        transcript=entry.text,
        emotion=entry.emotion,
        language=entry.language,
    )
