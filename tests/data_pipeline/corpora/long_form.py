"""Tables of GigaSpeech and WenetSpeech for tests."""

import json
from pathlib import Path
from typing import Any


def write_table(root: Path, corpus: str, audios: list[Any], *, missing: tuple[str, ...] = ()) -> Path:
    """The table with all recordings as empty files, except those in ``missing`` and those outside of the root."""
    root.mkdir(parents=True, exist_ok=True)
    for audio in audios:
        path = audio.get("path") if isinstance(audio, dict) else None
        if isinstance(path, str) and path.startswith("audio/") and path not in missing:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).touch()
    table = root / f"{corpus}.json"
    table.write_text(json.dumps({"dataset": corpus, "audios": audios}, indent=2, ensure_ascii=False), "utf-8")
    return table
