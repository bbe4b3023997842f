"""A small corpus in the layout of LibriSpeech, with clips that sound like nothing but can be decoded."""

from pathlib import Path

import numpy as np

from opens2s_core.audio import encode_audio

RATE = 24_000


def write_speech(root: Path, clips: int, *, speakers: int = 4, seconds: float = 0.6) -> Path:
    """``clips`` utterances of ``speakers``, each with words of its own."""
    rng = np.random.default_rng(0)
    lines: dict[Path, list[str]] = {}
    for number in range(clips):
        speaker = f"{100 + number % speakers}"
        directory = root / "train-clean-100" / speaker / "1"
        directory.mkdir(parents=True, exist_ok=True)
        name = f"{speaker}-1-{number:04d}"
        tone = np.sin(np.arange(int(seconds * RATE)) * 2 * np.pi * (200 + 7 * number) / RATE)
        noise = rng.normal(0, 0.01, len(tone))
        (directory / f"{name}.flac").write_bytes(encode_audio((0.3 * tone + noise).astype(np.float32), RATE))
        lines.setdefault(directory / f"{speaker}-1.trans.txt", []).append(f"{name} WORDS NUMBER {number}\n")
    for table, content in lines.items():
        table.write_text("".join(content))
    return root
