import csv
import io
import itertools
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.corpora.files import CorpusError, CorpusFiles
from data_pipeline.records import Age, Emotion, Gender, RejectedRow
from data_pipeline.synthesis.protocols import Person
from data_pipeline.synthesis.seeds import (
    COLUMNS,
    SeedClip,
    SeedError,
    SeedTable,
    check_coverage,
    match,
    read_seeds,
)

ROW = {
    "audio": "clips/a.wav",
    "text": "I'm sad, so sad.",
    "gender": "female",
    "age": "elderly",
    "emotion": "sad",
    "language": "en",
}
OTHER = {"audio": "clips/b.wav", "text": "我很开心！", "gender": "", "age": "", "emotion": "happy", "language": "zh"}


def write(directory: Path, rows: list[dict[str, Any]], kind: str = "csv", columns: Iterable[str] = COLUMNS) -> str:
    """A table with the clips ``clips/a.wav`` to ``clips/c.wav`` beside it."""
    (directory / "clips").mkdir(exist_ok=True)
    for name in "abc":
        (directory / f"clips/{name}.wav").write_bytes(name.encode())
    path = directory / f"seeds.{kind}"
    columns = list(columns)
    if kind == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows(rows)
        path.write_text("\ufeff" + text.getvalue(), encoding="utf-8", newline="")
    else:
        pq.write_table(pa.table({name: [row[name] for row in rows] for name in columns}), path)
    return str(path)


def table(*clips: SeedClip) -> SeedTable:
    return SeedTable(files=CorpusFiles("unused"), clips=clips)


def clip(
    name: str, emotion: Emotion = "sad", gender: Gender = "female", age: Age = "adult", language: str = "en"
) -> SeedClip:
    return SeedClip(audio=name, text="t", gender=gender, age=age, emotion=emotion, language=language)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_is_read_with_its_audio(tmp_path: Path, kind: str) -> None:
    seeds = read_seeds(write(tmp_path, [ROW, OTHER], kind))
    assert seeds.clips == (SeedClip(**ROW), SeedClip(**OTHER))  # type: ignore[arg-type]
    assert seeds.unknown_columns == ()
    assert [seeds.audio(clip) for clip in seeds.clips] == [b"a", b"b"]


def test_a_table_is_read_from_a_url() -> None:
    files = fsspec.filesystem("memory")
    files.pipe("/seeds/clips/a.wav", b"a")
    files.pipe("/seeds/table.csv", f"{','.join(ROW)}\n{','.join(ROW.values()).replace('sad, so', 'so')}\n".encode())
    seeds = read_seeds("memory://seeds/table.csv")
    assert [clip.text for clip in seeds.clips] == ["I'm so sad."]
    assert seeds.audio(seeds.clips[0]) == b"a"


def test_a_table_in_the_working_directory_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, [ROW])
    monkeypatch.chdir(tmp_path)
    assert len(read_seeds("seeds.csv").clips) == 1


def test_an_absolute_path_below_the_table_is_made_relative(tmp_path: Path) -> None:
    seeds = read_seeds(write(tmp_path, [ROW | {"audio": f"{tmp_path}/clips/a.wav"}]))
    assert seeds.clips[0].audio == "clips/a.wav"


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_unknown_columns_are_reported_and_not_read(tmp_path: Path, kind: str) -> None:
    url = write(tmp_path, [ROW | {"speaker": "7", "note": ""}], kind, ["speaker", *COLUMNS, "note"])
    seeds = read_seeds(url)
    assert seeds.clips == (SeedClip(**ROW),)  # type: ignore[arg-type]
    assert seeds.unknown_columns == ("speaker", "note")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"gender": "woman"}, "unknown gender: gender is 'woman', expected one of female, male, nothing"),
        ({"age": "70"}, "unknown age: age is '70', expected one of child, young, adult, elderly, nothing"),
        ({"emotion": ""}, "unknown emotion: emotion is '', expected one of neutral, happy, "),
        ({"emotion": "Happy"}, "unknown emotion: emotion is 'Happy', expected one of neutral, "),
        ({"language": "english"}, "bad language: language is 'english', expected a code of ISO 639-1"),
        ({"text": "  "}, "no text: text is '  ', expected what is spoken"),
        ({"text": "caf\ufffd"}, "bad encoding: text is 'caf\ufffd', expected Unicode text"),
        ({"audio": ""}, "no audio: audio is '', expected a path"),
        ({"audio": "clips/z.wav"}, "missing file: clips/z.wav: audio is 'clips/z.wav', expected a file below"),
        ({"audio": "../a.wav"}, "path outside the corpus: .*: audio is '../a.wav', expected a file below"),
        ({"audio": "/etc/passwd"}, "path outside the corpus: .*: audio is '/etc/passwd', expected a file below"),
        ({"audio": "./clips/b.wav"}, "duplicate clip: audio is 'clips/b.wav', as in row 1, expected another clip"),
    ],
)
def test_a_fault_names_row_column_value_and_what_was_expected(
    tmp_path: Path, kind: str, changed: dict[str, str], message: str
) -> None:
    url = write(tmp_path, [OTHER, ROW | changed], kind)
    with pytest.raises(SeedError, match=f"^{url}, row 2: {message}"):
        read_seeds(url)


def test_a_cell_of_another_type_is_a_fault(tmp_path: Path) -> None:
    url = write(tmp_path, [ROW | {"age": 70}], "parquet")
    with pytest.raises(SeedError, match="row 1: bad row: age is 70, expected text"):
        read_seeds(url)


def test_all_faulty_rows_are_named_up_to_a_limit(tmp_path: Path) -> None:
    rows = [ROW | {"audio": "clips/c.wav"}, *([ROW | {"age": "old"}] * 25)]
    with pytest.raises(SeedError) as raised:
        read_seeds(write(tmp_path, rows))
    lines = str(raised.value).splitlines()
    assert [line.split(":")[0].split()[-1] for line in lines[:-1]] == [str(number) for number in range(2, 22)]
    assert lines[-1] == "and 5 faulty rows more"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"columns \['audio', .*\] are missing; found \[\]"),
        (b"audio,text\n", r"columns \['gender', 'age', 'emotion', 'language'\] are missing; found \['audio', 'text'\]"),
        (f"{','.join(COLUMNS)},age\n".encode(), "expected each name once"),
        (f"{','.join(COLUMNS)}\n\n".encode(), "no rows, expected at least one clip"),
        (f"{','.join(COLUMNS)}\na,b\n".encode(), r"row 1: bad row: 2 cells \['a', 'b'\], expected 6: audio, text"),
        (f'{",".join(COLUMNS)}\n"a'.encode(), "expected CSV: "),
        (b"\xff\xfe", "expected text in utf-8-sig"),
    ],
)
def test_a_damaged_csv_table_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "seeds.csv").write_bytes(content)
    with pytest.raises(CorpusError, match=f"seeds.csv.*{message}"):
        read_seeds(f"{tmp_path}/seeds.csv")


def test_a_damaged_parquet_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"columns \['age'\] are missing"):
        read_seeds(write(tmp_path, [ROW], "parquet", [name for name in COLUMNS if name != "age"]))
    (tmp_path / "seeds.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(CorpusError, match="expected a Parquet file"):
        read_seeds(f"{tmp_path}/seeds.parquet")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("seeds.csv", "no such file, expected a seed table"),
        ("seeds.parquet", "no such file, expected a seed table"),
        ("seeds.tsv", r"expected a table \*.csv or \*.parquet"),
        ("no/seeds.csv", "is not a directory"),
    ],
)
def test_a_table_that_is_not_there_is_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        read_seeds(f"{tmp_path}/{name}")


ALL = table(
    clip("1", "sad", "female", "elderly"),
    clip("2", "sad", "female", "adult"),
    clip("3", "sad", "male", "child"),
    clip("4", "sad", "", ""),
    clip("5", "happy", "male", "young"),
    clip("6", "happy", "male", "young", language="zh"),
)


@pytest.mark.parametrize(
    ("person", "language", "names"),
    [
        (Person(gender="female", age="elderly", emotion="sad"), "en", "1"),
        (Person(gender="female", age="", emotion="sad"), "en", "12"),
        (Person(gender="", age="child", emotion="sad"), "en", "3"),
        (Person(gender="", age="", emotion="sad"), "en", "1234"),
        (Person(gender="female", age="child", emotion="sad"), "en", "12"),  # any age
        (Person(gender="female", age="young", emotion="happy"), "en", "5"),  # any gender
        (Person(gender="female", age="child", emotion="happy"), "zh", "6"),  # any age and gender
        (Person(gender="male", age="", emotion=""), "en", "35"),
    ],
)
def test_age_and_then_gender_are_relaxed(person: Person, language: str, names: str) -> None:
    assert {match(ALL, person, language, seed).audio for seed in range(20)} == set(names)


@pytest.mark.parametrize(
    ("person", "language", "message"),
    [
        (Person(emotion="angry"), "en", "language 'en', emotion 'angry'; the table has 'en' with happy, sad"),
        (Person(emotion="sad"), "zh", "language 'zh', emotion 'sad'; the table has 'zh' with happy"),
        (Person(emotion=""), "fr", "language 'fr', emotion 'any'; the table has no 'fr'"),
    ],
)
def test_emotion_and_language_are_never_relaxed(person: Person, language: str, message: str) -> None:
    with pytest.raises(RejectedRow) as raised:
        match(ALL, person, language, 0)
    assert str(raised.value) == f"no seed clip: {message}"


@given(st.integers(1, 12), st.integers(0, 50))
def test_clips_of_the_same_labels_take_turns(count: int, cycle: int) -> None:
    seeds = table(*(clip(str(number)) for number in range(count)))
    person = Person(gender="female", age="adult", emotion="sad")
    used = [match(seeds, person, "en", seed).audio for seed in range(cycle * count, (cycle + 1) * count)]
    assert sorted(used, key=int) == [str(number) for number in range(count)]
    assert used == [match(seeds, person, "en", seed).audio for seed in range(cycle * count, (cycle + 1) * count)]


def test_the_order_of_turns_changes_and_any_count_is_balanced() -> None:
    seeds = table(*(clip(str(number)) for number in range(10)))
    person = Person(gender="female", age="adult", emotion="sad")
    used = [match(seeds, person, "en", seed).audio for seed in range(95)]
    assert set(Counter(used).values()) == {9, 10}
    assert len({tuple(used[start : start + 10]) for start in range(0, 90, 10)}) > 5


def test_all_missing_cells_are_listed_once() -> None:
    people = [
        Person(gender=gender, age="adult", emotion=emotion)
        for gender, emotion in itertools.product(("female", "male"), ("sad", "happy", "angry"))
    ]
    check_coverage(ALL, [(person, "en") for person in people if person.emotion != "angry"])
    with pytest.raises(SeedError) as raised:
        check_coverage(ALL, itertools.product(people, ("en", "zh")))
    assert str(raised.value).splitlines() == [
        "no seed clip: language 'en', emotion 'angry'; the table has 'en' with happy, sad",
        "no seed clip: language 'zh', emotion 'angry'; the table has 'zh' with happy",
        "no seed clip: language 'zh', emotion 'sad'; the table has 'zh' with happy",
    ]
