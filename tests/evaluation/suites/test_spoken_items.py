import json
from pathlib import Path

import pytest

from evaluation.suites.records import DataError
from evaluation.suites.spoken_items import items_checksum, spoken_items
from tests.data_pipeline.dialogues.memory import build, dialogue, flac, message


def test_a_manifest_has_a_clip_and_a_text_in_each_row(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"a")
    rows = [{"audio": "a.wav", "text": "One."}, {"audio": "a.wav", "id": "x", "emotion": "sad", "language": "zh"}]
    path = tmp_path / "m.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    first, second = spoken_items(str(path))
    assert (first.id, first.language, first.turns[0].text, first.turns[0].audio) == ("1", "en", "One.", b"a")
    assert (second.id, second.language, second.category, second.labels) == ("x", "zh", "sad", {"emotion": "sad"})
    path.write_text(json.dumps({"text": "One."}))
    with pytest.raises(DataError, match=r"m\.jsonl, row 1, field audio: expected a clip"):
        spoken_items(str(path))


def test_of_dialogues_the_first_message_of_the_user_is_taken(tmp_path: Path) -> None:
    system = message("system", "Be kind.", spoken=False)
    written = [
        dialogue("a", system, message("user", "I lost my keys."), message("assistant", "I am sorry.")),
        dialogue("b", message("user", "I won it all."), message("assistant", "Great."), message("user", "Yes.")),
    ]
    build(tmp_path, written)
    first, second = spoken_items(str(tmp_path))
    assert (first.id, first.system, second.system) == ("a", "Be kind.", "")
    assert [(turn.text, turn.audio) for turn in second.turns] == [("I won it all.", flac("I won it all."))]
    assert first.labels == {"emotion": "sad", "gender": "female", "age": "adult", "topic": "work", "tone": "warm"}


def test_the_checksum_depends_on_every_part_of_the_items(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"a")
    (tmp_path / "b.wav").write_bytes(b"b")
    seen = set()
    for row in (
        {"audio": "a.wav"},
        {"audio": "b.wav"},
        {"audio": "a.wav", "text": "t"},
        {"audio": "a.wav", "tone": "x"},
    ):
        (tmp_path / "m.jsonl").write_text(json.dumps(row))
        seen.add(items_checksum(spoken_items(str(tmp_path / "m.jsonl"))))
    assert len(seen) == 4
