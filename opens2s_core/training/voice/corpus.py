"""Speech corpora on disk, for training and benchmarks.

A corpus is a directory of plain files, readable without Ray and Arrow: ``manifest.jsonl`` with one JSON object per
line, the fields of :class:`Utterance`, and FLAC files, each at its own rate.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from opens2s_core.audio import AudioError, Waveform, decode_audio, resample
from opens2s_core.config import ConfigError, config_to_dict, parse_config
from opens2s_core.storage import StorageError, inside

MANIFEST = "manifest.jsonl"
VOICE_RATE = 22_050
"""Hz, of the published vocoder."""
_CACHE_BYTES = 2**30

Split = Literal["train", "held_out"]


class CorpusError(ValueError):
    """An invalid corpus; the message has the line of the manifest, the value and what was expected."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Utterance:
    """One line of the manifest: ``samples`` samples at ``rate`` Hz in ``file``, relative to the corpus.

    Utterances of the split ``held_out`` are for evaluation, not for training.
    """

    id: str
    file: str
    text: str
    voice: str
    emotion: str
    split: Split
    samples: int
    rate: int


def write_manifest(directory: Path, utterances: Iterable[Utterance]) -> None:
    lines = [json.dumps(config_to_dict(utterance), ensure_ascii=False) + "\n" for utterance in utterances]
    (directory / MANIFEST).write_text("".join(lines), encoding="utf-8")


def read_manifest(directory: str | Path) -> list[Utterance]:
    """The utterances of all splits, in the manifest's order. Raises :class:`CorpusError`."""
    return [utterance for _, utterance in _numbered_lines(Path(directory))]


class SpeechCorpus:
    """The utterances of one split, in the manifest's order. Raises :class:`CorpusError`.

    Audio is decoded on demand and cached as 16-bit samples up to ``cache_bytes``.
    """

    def __init__(self, directory: str | Path, split: Split, *, cache_bytes: int = _CACHE_BYTES) -> None:
        self._root = Path(directory)
        rows = [(number, row) for number, row in _numbered_lines(self._root) if row.split == split]
        if not rows:
            raise CorpusError(f"{self._root / MANIFEST}: expected utterances of split {split!r}, got none")
        self.utterances = tuple(row for _, row in rows)
        self._locations = [f"{self._root / MANIFEST} line {number}" for number, _ in rows]
        self._free_bytes = cache_bytes
        self._cache: dict[tuple[int, int], NDArray[np.int16]] = {}

    def __len__(self) -> int:
        return len(self.utterances)

    def waveform(self, index: int, rate: int = VOICE_RATE) -> Waveform:
        """The audio of ``utterances[index]``: float32 (n,) in [-1, 1] at ``rate`` Hz, n = ⌈samples · rate / its own
        rate⌉.

        The result is the same with and without a cache hit.
        """
        samples = self._cache.get((index, rate))
        if samples is None:
            waveform = resample(self._decode(index), self.utterances[index].rate, rate)
            samples = np.rint(np.clip(waveform, -1.0, 32767 / 32768) * 32768).astype(np.int16)
            # No eviction: with shuffled epochs it would only add decoding.
            if samples.nbytes <= self._free_bytes:
                self._free_bytes -= samples.nbytes
                self._cache[index, rate] = samples
        return samples.astype(np.float32) / np.float32(32768)

    def _decode(self, index: int) -> Waveform:
        utterance, where = self.utterances[index], self._locations[index]
        try:
            data = (self._root / utterance.file).read_bytes()
            samples, rate = decode_audio(data, max_seconds=utterance.samples / utterance.rate + 1.0)
        except AudioError as error:
            raise CorpusError(f"{where}: {utterance.file}: {error}") from error
        if (len(samples), rate) != (utterance.samples, utterance.rate):
            raise CorpusError(
                f"{where}: {utterance.file}: expected {utterance.samples} samples at {utterance.rate} Hz, "
                f"got {len(samples)} at {rate} Hz"
            )
        return samples


def _numbered_lines(root: Path) -> list[tuple[int, Utterance]]:
    """Line numbers (from 1) and utterances of all splits."""
    path = root / MANIFEST
    if not path.is_file():
        raise CorpusError(f"{root}: expected a speech corpus with {MANIFEST}")
    rows: list[tuple[int, Utterance]] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        where = f"{path} line {number}"
        utterance = _parse_line(line, where)
        try:
            found = inside(root, utterance.file).is_file()
        except StorageError as error:
            raise CorpusError(f"{where}: {error}") from error
        if not found:
            raise CorpusError(f"{where}: audio file {utterance.file!r} does not exist")
        if utterance.id in seen:
            raise CorpusError(f"{where}: duplicate id {utterance.id!r}, first in line {seen[utterance.id]}")
        seen[utterance.id] = number
        rows.append((number, utterance))
    return rows


def _parse_line(line: bytes, where: str) -> Utterance:
    try:
        utterance = parse_config(Utterance, json.loads(line), where)
    except ConfigError as error:
        raise CorpusError(str(error)) from error
    except (ValueError, RecursionError) as error:  # neither JSON nor UTF-8, or nested too deeply
        raise CorpusError(f"{where}: expected a JSON object, got {line[:80]!r}") from error
    if utterance.samples < 1 or utterance.rate < 1:
        raise CorpusError(
            f"{where}: expected samples and rate of at least 1, got {utterance.samples} and {utterance.rate}"
        )
    return utterance
