import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.corpora import CorpusError, CorpusFiles
from data_pipeline.corpora.emilia import Emilia
from data_pipeline.records import AudioReference, Reject, Utterance
from tests.data_pipeline.corpora.reading import read_utterances


def metadata(key: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": key,
        "wav": f"EN_B00000/EN_B00000_S00000/mp3/{key}.mp3",
        "text": " You can help.",
        "duration": 6.264,
        "speaker": "EN_B00000_S00000",
        "language": "en",
        "dnsmos": 3.2927,
    } | changes


def clip(key: str) -> bytes:
    return f"ID3 {key} ".encode() * 40


def archive(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def pair(key: str, *, json_first: bool = False, **changes: Any) -> list[tuple[str, bytes]]:
    members = [(f"{key}.mp3", clip(key)), (f"{key}.json", json.dumps(metadata(key, **changes)).encode())]
    return members[::-1] if json_first else members


def write_archive(root: Path, data: bytes, name: str = "EN/EN-B000000.tar") -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(data)


def bytes_of(root: Path, utterance: Utterance) -> bytes:
    audio = utterance.audio
    assert audio.offset is not None
    return CorpusFiles(str(root)).read(audio.path, audio.offset, audio.size)


@pytest.mark.parametrize("json_first", [False, True])
def test_an_entry_of_an_archive_names_the_bytes_of_its_clip(tmp_path: Path, json_first: bool) -> None:
    write_archive(tmp_path, archive(*pair("a", json_first=json_first), *pair("b", json_first=json_first)))
    utterances, rejects = read_utterances(Emilia(), tmp_path)
    assert not rejects
    assert [bytes_of(tmp_path, utterance) for utterance in utterances] == [clip("a"), clip("b")]
    assert utterances[0] == Utterance(
        id="a",
        corpus="emilia",
        split="train",
        language="en",
        audio=AudioReference(
            path="EN/EN-B000000.tar", offset=utterances[0].audio.offset, size=utterances[0].audio.size
        ),
        text="You can help.",
        duration=6.264,
        speaker="EN_B00000_S00000",
        dnsmos=3.2927,
    )


def test_members_of_a_pair_may_lie_apart_and_below_directories(tmp_path: Path) -> None:
    key = "x" * 150 + "/录音"
    (mp3, text), other = pair(key), pair("b")
    write_archive(tmp_path, archive(text, *other, ("README.txt", b"hello"), mp3))
    utterances, rejects = read_utterances(Emilia(), tmp_path)
    assert not rejects
    assert [bytes_of(tmp_path, utterance) for utterance in utterances] == [clip("b"), clip(key)]


def test_the_metadata_of_emilia_yodas_are_read(tmp_path: Path) -> None:
    named = {"_id": "EN_B000000_S00109_W000023", "phone_count": 21}
    unnamed = {"_id": None, "id": None, "phone_count": None, "dnsmos": None}
    write_archive(tmp_path, archive(*pair("a", **named), *pair("b", **unnamed)))
    utterances, rejects = read_utterances(Emilia(), tmp_path)
    assert not rejects
    assert [(utterance.id, utterance.dnsmos) for utterance in utterances] == [
        ("EN_B000000_S00109_W000023", 3.2927),
        ("b", None),
    ]


def test_bad_members_are_rejected_singly(tmp_path: Path) -> None:
    broken = ("broken.json", json.dumps(metadata("broken")).encode()[:-9])
    write_archive(
        tmp_path,
        archive(
            *pair("a"),
            *pair("a"),
            ("broken.mp3", clip("broken")),
            broken,
            ("list.mp3", b"x"),
            ("list.json", b"[]"),
            ("nan.mp3", b"x"),
            ("nan.json", b'{"id": "nan", "dnsmos": NaN}'),
            ("latin.mp3", b"x"),
            ("latin.json", '{"text": "é"}'.encode("latin-1")),
            *pair("silent", text="  "),
            *pair("odd", dnsmos="good"),
            *pair("half", text="\ud800"),
            *pair("french", language="fr"),
            *pair("none", language=None),
            ("alone.mp3", clip("alone")),
            ("mute.json", json.dumps(metadata("mute")).encode()),
            *pair("z"),
        ),
    )
    utterances, rejects = read_utterances(Emilia(), tmp_path)
    assert [utterance.id for utterance in utterances] == ["a", "z"]
    assert {key: reason.partition(": ")[0] for key, reason in rejects.items()} == {
        "a.mp3": "duplicate id",
        "a.json": "duplicate id",
        "broken": "bad row",
        "list": "bad row",
        "nan": "bad row",
        "latin": "bad row",
        "silent": "no text",
        "odd": "bad row",
        "half": "bad encoding",
        "french": "other language",
        "none": "no language",
        "alone": "no metadata",
        "mute": "missing file",
    }


def test_a_repeated_clip_cannot_replace_the_first(tmp_path: Path) -> None:
    write_archive(tmp_path, archive(*pair("a"), ("a.mp3", b"other")))
    utterances, rejects = read_utterances(Emilia(), tmp_path)
    assert [bytes_of(tmp_path, utterance) for utterance in utterances] == [clip("a")]
    assert rejects == {"a.mp3": "duplicate id: a.mp3 is already in EN/EN-B000000.tar"}


FOUR = archive(*pair("a"), *pair("b"), *pair("c"), *pair("d"))


def test_a_damaged_header_loses_only_its_member(tmp_path: Path) -> None:
    header = FOUR.index(b"b.mp3\0")
    write_archive(tmp_path, FOUR[:header] + b"\xff" * 512 + FOUR[header + 512 :])
    utterances, rejects = read_utterances(Emilia(), tmp_path)
    assert [utterance.id for utterance in utterances] == ["a", "c", "d"]
    assert rejects["b"].startswith("missing file: ")
    assert rejects["EN/EN-B000000.tar"].startswith("bad archive: bytes ")


def test_a_negative_size_is_damage(tmp_path: Path) -> None:
    header = FOUR.index(b"c.mp3\0")
    block = bytearray(FOUR[header : header + tarfile.BLOCKSIZE])
    block[124:136] = b"\xff" * 10 + (-1024 & 0xFFFF).to_bytes(2, "big")  # base 256
    block[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(block))[0]
    write_archive(tmp_path, FOUR[:header] + bytes(block) + FOUR[header + tarfile.BLOCKSIZE :])
    utterances, rejects = read_utterances(Emilia(), tmp_path)
    ids = [utterance.id for utterance in utterances]
    assert ids[:2] == ["a", "b"]
    assert "c" not in ids
    assert rejects["EN/EN-B000000.tar"].startswith("bad archive: ")


def test_a_size_beyond_all_memory_is_damage(tmp_path: Path) -> None:
    header = FOUR.index(b"c.mp3\0")
    block = bytearray(FOUR[header : header + tarfile.BLOCKSIZE])
    block[124:136] = b"\x80" + b"\x7f" * 11
    block[156:157] = b"x"  # a header of extended attributes
    block[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(block))[0]
    write_archive(tmp_path, FOUR[:header] + bytes(block) + FOUR[header + tarfile.BLOCKSIZE :])
    utterances, rejects = read_utterances(Emilia(), tmp_path)
    assert [utterance.id for utterance in utterances] == ["a", "b"]
    assert rejects["EN/EN-B000000.tar"].startswith("bad archive: ")


def test_a_damaged_last_header_is_reported(tmp_path: Path) -> None:
    header = FOUR.index(b"d.json\0")
    write_archive(tmp_path, FOUR[:header] + b"\xff" * 512 + FOUR[header + 512 :])
    utterances, rejects = read_utterances(Emilia(), tmp_path)
    assert [utterance.id for utterance in utterances] == ["a", "b", "c"]
    assert set(rejects) == {"d", "EN/EN-B000000.tar"}


@given(st.integers(0, len(FOUR.rstrip(b"\0")) - 1))
def test_a_cut_archive_is_read_up_to_the_cut_and_reported(cut: int) -> None:
    files = _Memory({"EN/EN-B000000.tar": FOUR[:cut]})
    entries = list(Emilia().read(files, "EN/EN-B000000.tar"))
    found = [entry.id for entry in entries if isinstance(entry, Utterance)]
    whole = [key for key in "abcd" if _end_of(f"{key}.json") <= cut]
    assert found == whole
    assert any(isinstance(entry, Reject) and "archive: " in entry.reason for entry in entries)


@given(st.integers(0, len(FOUR) - 1), st.binary(min_size=1, max_size=700))
def test_no_damage_breaks_the_reader_or_yields_a_clip_outside_the_file(at: int, damage: bytes) -> None:
    data = FOUR[:at] + damage + FOUR[at + len(damage) :]
    for entry in Emilia().read(_Memory({"EN/EN-B000000.tar": data}), "EN/EN-B000000.tar"):
        if isinstance(entry, Utterance):
            assert entry.audio.offset is not None
            assert entry.audio.size is not None
            assert entry.audio.offset + entry.audio.size <= len(data)


@pytest.mark.parametrize("data", [b"", b"no archive at all" * 100])
def test_a_file_that_is_no_archive_is_rejected(tmp_path: Path, data: bytes) -> None:
    write_archive(tmp_path, data)
    utterances, rejects = read_utterances(Emilia(), tmp_path)
    assert not utterances
    assert list(rejects) == ["EN/EN-B000000.tar"]


def write_table(root: Path, *rows: dict[str, Any] | str, directory: str = "raw/EN") -> None:
    (root / directory).mkdir(parents=True)
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    (root / directory / "EN_B00000.jsonl").write_text("\n".join(lines), "utf-8")
    for row in rows:
        if isinstance(row, dict) and str(row.get("wav")).startswith("EN_B"):
            clip = root / directory / row["wav"]
            clip.parent.mkdir(parents=True, exist_ok=True)
            clip.touch()


@pytest.mark.parametrize("directory", ["raw/EN", "EN", ".", "a/b/EN"])
def test_paths_of_a_table_are_relative_to_its_directory(tmp_path: Path, directory: str) -> None:
    write_table(tmp_path, metadata("a"), directory=directory) if directory != "." else _write_flat(tmp_path)
    utterances, rejects = read_utterances(Emilia(), tmp_path)
    assert not rejects
    assert [(utterance.id, utterance.audio, utterance.dnsmos) for utterance in utterances] == [
        (
            "a",
            AudioReference(path=f"{directory}/EN_B00000/EN_B00000_S00000/mp3/a.mp3".removeprefix("./")),
            3.2927,
        )
    ]


def _write_flat(root: Path) -> None:
    write_table(root, metadata("a"), directory="EN")
    for path in (root / "EN").iterdir():
        path.rename(root / path.name)


def test_bad_rows_of_a_table_are_rejected_singly(tmp_path: Path) -> None:
    write_table(
        tmp_path,
        metadata("a"),
        metadata("gone", wav="gone.mp3"),
        metadata("out", wav="../../../out.mp3"),
        metadata("absolute", wav="/etc/passwd"),
        metadata("null", wav=None),
        metadata("a"),
        json.dumps(metadata("cut"))[:40],
        "",
        metadata("z"),
        '{"id": "last", "te',
    )
    utterances, rejects = read_utterances(Emilia(), tmp_path)
    assert [utterance.id for utterance in utterances] == ["a", "z"]
    assert {key: reason.partition(": ")[0] for key, reason in rejects.items()} == {
        "gone": "missing file",
        "out": "path outside the corpus",
        "absolute": "path outside the corpus",
        "null": "no audio",
        "a": "duplicate id",
        "raw/EN/EN_B00000.jsonl:7": "bad row",
        "raw/EN/EN_B00000.jsonl:10": "bad row",
    }


def test_languages_are_chosen_by_their_directories(tmp_path: Path) -> None:
    for name in ("Emilia/EN/EN-B000000.tar", "Emilia/FR/FR-B000000.tar", "Emilia-YODAS/ZH/ZH-B000000.tar"):
        write_archive(tmp_path, archive(), name)
    assert Emilia().parts(CorpusFiles(str(tmp_path))) == ["Emilia/EN/EN-B000000.tar", "Emilia-YODAS/ZH/ZH-B000000.tar"]
    assert Emilia(languages=("fr",)).parts(CorpusFiles(str(tmp_path))) == ["Emilia/FR/FR-B000000.tar"]


def test_another_layout_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"expected \*\.tar or \*\.jsonl of Emilia"):
        read_utterances(Emilia(), tmp_path)


class _Memory(CorpusFiles):
    """Files in memory, for properties that are checked on many archives."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        super().__init__("memory")
        object.__setattr__(self, "contents", contents)

    def open(self, name: str) -> Any:
        return io.BytesIO(self.contents[name])  # type: ignore[attr-defined]


def _end_of(name: str) -> int:
    with tarfile.open(fileobj=io.BytesIO(FOUR)) as tar:
        member = tar.getmember(name)
        return member.offset_data + member.size
