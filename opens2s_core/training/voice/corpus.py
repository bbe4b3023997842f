"""Spoken corpora on disk, as training and measurement read them.

A corpus is a directory of plain files, so that a machine without Ray and Arrow reads it: ``manifest.jsonl`` has one
JSON object a line, the fields of :class:`Utterance`, and the sounds lie beside it as FLAC, each at its own rate.
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
"""Hz, what the published vocoder speaks at."""
_CACHE_BYTES = 2**30

Split = Literal["train", "held_out"]


class CorpusError(ValueError):
    """A corpus that cannot be used; names the line of its manifest, what was found and what was expected."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Utterance:
    """One line of the manifest: who says what how, and where its ``samples`` at ``rate`` Hz lie.

    ``file`` is relative to the corpus. What is ``held_out`` is for measuring: training must not see it.
    """

    id: str
    file: str
    text: str
    voice: str
    feeling: str
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

    Sounds are decoded when they are asked for and kept in memory as 16-bit samples until ``cache_bytes`` are full.
    """

    def __init__(self, directory: str | Path, split: Split, *, cache_bytes: int = _CACHE_BYTES) -> None:
        self._root = Path(directory)
        rows = [(number, row) for number, row in _numbered_lines(self._root) if row.split == split]
        if not rows:
            raise CorpusError(f"{self._root / MANIFEST}: expected utterances of split {split!r}, got none")
        self.utterances = tuple(row for _, row in rows)
        self._places = [f"{self._root / MANIFEST} line {number}" for number, _ in rows]
        self._free = cache_bytes
        self._cache: dict[tuple[int, int], NDArray[np.int16]] = {}

    def __len__(self) -> int:
        return len(self.utterances)

    def waveform(self, index: int, rate: int = VOICE_RATE) -> Waveform:
        """The sound of ``utterances[index]``: float32 (n,) in [-1, 1] at ``rate`` Hz, n = ⌈samples · rate / its own⌉.

        The same samples whether they come from the file or from memory.
        """
        samples = self._cache.get((index, rate))
        if samples is None:
            waveform = resample(self._decode(index), self.utterances[index].rate, rate)
            samples = np.rint(np.clip(waveform, -1.0, 32767 / 32768) * 32768).astype(np.int16)
            # What fits stays: in an endless shuffle, making room by dropping others would only cost more decoding.
            if samples.nbytes <= self._free:
                self._free -= samples.nbytes
                self._cache[index, rate] = samples
        return samples.astype(np.float32) / np.float32(32768)

    def _decode(self, index: int) -> Waveform:
        utterance, place = self.utterances[index], self._places[index]
        try:
            data = (self._root / utterance.file).read_bytes()
            samples, rate = decode_audio(data, max_seconds=utterance.samples / utterance.rate + 1.0)
        except AudioError as error:
            raise CorpusError(f"{place}: {utterance.file}: {error}") from error
        if (len(samples), rate) != (utterance.samples, utterance.rate):
            raise CorpusError(
                f"{place}: {utterance.file}: expected {utterance.samples} samples at {utterance.rate} Hz, "
                f"got {len(samples)} at {rate} Hz"
            )
        return samples


def _numbered_lines(root: Path) -> list[tuple[int, Utterance]]:
    """Line numbers (from 1) and utterances of all splits."""
    path = root / MANIFEST
    if not path.is_file():
        raise CorpusError(f"{root}: expected a spoken corpus with {MANIFEST} in it")
    rows: list[tuple[int, Utterance]] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        place = f"{path} line {number}"
        utterance = _parse_line(line, place)
        try:
            found = inside(root, utterance.file).is_file()
        except StorageError as error:
            raise CorpusError(f"{place}: {error}") from error
        if not found:
            raise CorpusError(f"{place}: expected a sound file at {utterance.file!r}, there is none")
        if utterance.id in seen:
            raise CorpusError(f"{place}: id {utterance.id!r} is that of line {seen[utterance.id]} already")
        seen[utterance.id] = number
        rows.append((number, utterance))
    return rows


def _parse_line(line: bytes, place: str) -> Utterance:
    try:
        utterance = parse_config(Utterance, json.loads(line), place)
    except ConfigError as error:
        raise CorpusError(str(error)) from error
    except (ValueError, RecursionError) as error:  # neither JSON nor UTF-8, or brackets without end
        raise CorpusError(f"{place}: expected a JSON object, got {line[:80]!r}") from error
    if utterance.samples < 1 or utterance.rate < 1:
        raise CorpusError(
            f"{place}: expected samples and rate of at least 1, got {utterance.samples} and {utterance.rate}"
        )
    return utterance
