"""A corpus of short clips, made on the spot."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from opens2s_core.audio import Waveform, encode_audio

SECONDS = 2.0
RATE = 24_000
_DISTINCT = 200
_PART_CLIPS = 5_000
_WORDS = ("rain", "had", "stopped", "when", "we", "came", "home", "nobody", "knew", "what", "to", "say", "about", "it")


def write_sources(directory: Path) -> list[Path]:
    """Clips that differ, 2 s of FLAC at 24 kHz each."""
    directory.mkdir(parents=True)
    rng = np.random.default_rng(0)
    paths = [directory / f"{number}.flac" for number in range(_DISTINCT)]
    for path in paths:
        path.write_bytes(encode_audio(_voice(rng), RATE))
    return paths


def write_corpus(directory: Path, clips: int, sources: Sequence[Path]) -> str:
    """A corpus of the layout ``manifest`` with so many clips; their files are links to ``sources``, their texts differ.
    Returns its path."""
    (directory / "clips").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for start in range(0, clips, _PART_CLIPS):
        rows = []
        for number in range(start, min(start + _PART_CLIPS, clips)):
            audio = f"clips/{number:06d}.flac"
            os.link(sources[number % len(sources)], directory / audio)
            rows.append({"audio": audio, "text": f"{' '.join(rng.choice(_WORDS, 12))} {number}"})
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (directory / f"part-{start:06d}.jsonl").write_text(lines)
    return str(directory)


def _voice(rng: np.random.Generator) -> Waveform:
    """Syllables of a buzz that glides, over quiet noise."""
    time = np.arange(int(SECONDS * RATE)) / RATE
    pitch = rng.uniform(90, 250) * (1 + 0.1 * np.sin(2 * np.pi * rng.uniform(1, 4) * time))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    buzz = sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 20))
    syllables = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * time)
    return (0.1 * syllables * buzz + 0.01 * rng.standard_normal(len(time))).astype(np.float32)
