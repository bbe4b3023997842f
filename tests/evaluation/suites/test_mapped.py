import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from evaluation.suites import SUITES
from evaluation.suites.mapped import MappedSuite, mapped_suites, suite_of_mapping
from evaluation.suites.mapping import SetMapping, load_mapping
from evaluation.suites.records import DataError
from opens2s_core.config import ConfigError, parse_config
from tests.evaluation.suites.answers import all_judged, answer, assert_known, judged, values

RUBRIC = {
    "prompt": "Topic {topic}. {conversation} | {reply} | {rubric} | {scale} | {references}",
    "scale": "1-5",
    "criteria": [
        {"name": "warmth", "title": "Warmth", "rubric": "It is warm."},
        {"name": "fit", "title": "Fit", "rubric": "It fits."},
    ],
    "samples": 3,
    "temperature": 0.5,
}
CHOICE = {"options": "options", "answer": "answer"}


def mapping(**settings: Any) -> SetMapping:
    base = {"name": "test", "title": "Test", "source": "none", "files": ["*.jsonl"], "text": "{text}"}
    return parse_config(SetMapping, base | settings)


def write(directory: Path, rows: list[dict[str, Any]], name: str = "rows.jsonl") -> str:
    (directory / name).parent.mkdir(parents=True, exist_ok=True)
    (directory / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(directory)


def test_a_rubric_is_asked_once_a_criterion_and_its_samples_are_averaged(tmp_path: Path) -> None:
    rows = [{"text": "I failed.", "topic": "exams", "good": ["Oh no.", "Sorry."]}]
    suite = MappedSuite(mapping(rubric=RUBRIC, labels={"topic": "{topic}"}, references="good", category="{topic}"))
    (item,) = suite.items(write(tmp_path, rows))
    reply = answer(item.id, "Next time.")
    warmth, fit = suite.questions(item, reply)
    assert warmth.messages == (
        {
            "role": "user",
            "content": "Topic exams. User: I failed. | Next time. | It is warm. | from 1 (worst) to 5 (best) | "
            "Oh no.\nSorry.",
        },
    )
    assert (warmth.scale, warmth.samples, warmth.temperature) == ("1-5", 3, 0.5)
    given = [judged(warmth.id, 4.0, 0, "Four."), judged(warmth.id, 5.0, 1), judged(warmth.id, None, 2)]
    scores = suite.scores(item, reply, [*given, judged(fit.id, 2.0)])
    assert values(scores) == {"warmth": 4.5, "fit": 2.0}
    assert (scores[0].reason, scores[0].group) == ("Four.", "exams")
    assert_known(scores, suite.metrics)


def test_a_criterion_without_judgements_has_no_score(tmp_path: Path) -> None:
    suite = MappedSuite(mapping(rubric=RUBRIC, labels={"topic": "t"}))
    (item,) = suite.items(write(tmp_path, [{"text": "I failed."}]))
    assert suite.scores(item, answer(item.id, "Oh."), []) == []


def test_the_judge_reads_the_earlier_replies_of_a_dialogue(tmp_path: Path) -> None:
    suite = MappedSuite(mapping(rubric=RUBRIC | {"prompt": "{conversation} => {reply}"}, turns="turns"))
    (item,) = suite.items(write(tmp_path, [{"turns": [{"text": "One."}, {"text": "Two."}]}]))
    question = suite.questions(item, answer(item.id, "Reply one.", "Reply two."))[0]
    assert question.messages[0]["content"] == "User: One.\nAssistant: Reply one.\nUser: Two. => Reply two."


def test_choices_are_scored_by_rule(tmp_path: Path) -> None:
    suite = MappedSuite(mapping(choice=CHOICE, category="{task}", system="{question}"))
    row = {"text": "Hi.", "task": "1", "question": "Feeling?", "options": ["happy", "sad"], "answer": "B"}
    (item,) = suite.items(write(tmp_path, [row]))
    assert (item.system, item.labels) == ("Feeling?", {"options": ["happy", "sad"], "answer": 1})
    assert suite.questions(item, answer(item.id, "B")) == []
    assert values(suite.scores(item, answer(item.id, "The answer is B."), [])) == {"accuracy": 1.0, "no_choice": 0.0}
    assert values(suite.scores(item, answer(item.id, "happy"), [])) == {"accuracy": 0.0, "no_choice": 0.0}
    assert values(suite.scores(item, answer(item.id, "Who knows."), [])) == {"accuracy": 0.0, "no_choice": 1.0}
    assert suite.scores(item, answer(item.id, "happy"), [])[0].reason == "chose A, right is B"


def test_the_same_items_are_read_from_jsonl_csv_and_parquet(tmp_path: Path) -> None:
    rows = [{"id": "a", "text": "One.", "audio": "clips/a.wav"}, {"id": "b", "text": "Two.", "audio": "clips/b.wav"}]
    (tmp_path / "clips").mkdir()
    for name in ("a", "b"):
        (tmp_path / f"clips/{name}.wav").write_bytes(name.encode())
    write(tmp_path, rows)
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["id", "text", "audio"])
        writer.writeheader()
        writer.writerows(rows)
    cells = [{**row, "audio": {"bytes": row["id"].encode(), "path": "a.wav"}} for row in rows]
    pq.write_table(pa.Table.from_pylist(cells), tmp_path / "rows.parquet")
    suite = MappedSuite(mapping(rubric=RUBRIC, id="{id}", audio="{audio}"))
    read = [suite.items(str(tmp_path / f"rows.{suffix}")) for suffix in ("jsonl", "csv", "parquet")]
    assert read[0] == read[1] == read[2]
    assert [item.turns[0].audio for item in read[0]] == [b"a", b"b"]
    checksums = {suite.describe(str(tmp_path / f"rows.{suffix}"))["checksum"] for suffix in ("jsonl", "csv", "parquet")}
    assert len(checksums) == 1


def test_only_rows_and_turns_that_match_are_read(tmp_path: Path) -> None:
    rows = [
        {"ability": "empathy/anger", "messages": [{"role": "user", "text": "a"}, {"role": "assistant", "text": "b"}]},
        {"ability": "role_play/x", "messages": [{"role": "user", "text": "c"}]},
    ]
    suite = MappedSuite(
        mapping(rubric=RUBRIC, where={"ability": "empathy/*"}, turns="messages", turn_where={"role": "user"})
    )
    (item,) = suite.items(write(tmp_path, rows))
    assert [turn.text for turn in item.turns] == ["a"]


def test_a_dialogue_ends_with_the_turn_that_is_asked_and_shorter_ones_are_left_out(tmp_path: Path) -> None:
    def turns(*emotions: str) -> dict[str, Any]:
        return {"turns": [{"text": f"{n}", "emotion": emotion} for n, emotion in enumerate(emotions)]}

    last = {"field": "emotion", "unless": "neutral", "number": 2}
    suite = MappedSuite(mapping(rubric=RUBRIC, turns="turns", last_turn=last))
    data = write(tmp_path, [turns("sad", "neutral", "angry", "happy"), turns("sad", "neutral")])
    assert [[turn.text for turn in item.turns] for item in suite.items(data)] == [["0", "1", "2"]]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"options": ["x", "y"], "answer": "A"}, r"rows\.jsonl, row 1, field text: expected text, got none"),
        ({"text": "a", "options": ["x"], "answer": "A"}, r"field options: expected two options or more, got \['x'\]"),
        ({"text": "a", "options": ["x", "y"], "answer": "C"}, "field answer: expected the letter or text of one of"),
        ({"text": "a", "options": ["x", "y"]}, "field answer: expected text, got none"),
    ],
)
def test_bad_rows_are_errors_with_file_row_and_field(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        MappedSuite(mapping(choice=CHOICE)).items(write(tmp_path, [row]))


def test_ids_that_repeat_and_sets_without_rows_are_errors(tmp_path: Path) -> None:
    data = write(tmp_path, [{"text": "a", "id": "x"}, {"text": "b", "id": "x"}])
    with pytest.raises(DataError, match="expected a unique id in each row, got 'x' twice"):
        MappedSuite(mapping(rubric=RUBRIC, id="{id}")).items(data)
    with pytest.raises(DataError, match="expected rows with"):
        MappedSuite(mapping(rubric=RUBRIC, where={"id": "y"})).items(data)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "either a rubric or a choice"),
        ({"rubric": RUBRIC, "choice": CHOICE}, "either a rubric or a choice"),
        ({"rubric": RUBRIC, "text": ""}, "expected audio, text or both"),
        ({"rubric": RUBRIC, "unknown": 1}, "unknown keys"),
    ],
)
def test_a_bad_mapping_is_an_error(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mapping(**settings)


def test_a_mapping_of_ones_own_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    settings = {"name": "own", "title": "Own", "source": "here", "files": ["*"], "text": "{q}", "rubric": RUBRIC}
    path.write_text(yaml.safe_dump(settings))
    assert suite_of_mapping(path).name == "own"
    path.write_text("{")
    with pytest.raises(ConfigError, match="expected YAML"):
        load_mapping(path)


def test_all_mappings_of_the_package_are_suites() -> None:
    assert set(mapped_suites()) == {
        "echat-eval",
        "echomind-choice",
        "echomind-response",
        "humdial-eibench-choice",
        "humdial-eibench-empathy",
        "vstyle-empathy",
    }
    assert all(SUITES[name]().name == name for name in mapped_suites())


def clips(directory: Path, *names: str) -> None:
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(name.encode())


def test_humdial_dialogues_are_read_up_to_the_second_feeling(tmp_path: Path) -> None:
    top = "HD-Track1-Test/zh"
    audio = [f"{top}/HD-Track1-T3/d1_{n}.wav" for n in (1, 2, 3)]
    clips(tmp_path, *audio)
    emotions = ("neutral", "sad", "angry")
    turns = [
        {"turn_id": n, "input_audio": path, "input_emotion": emotion}
        for n, (path, emotion) in enumerate(zip(audio, emotions, strict=True), 1)
    ]
    write(tmp_path, [{"dialogue_id": "d1", "turns": turns}], f"{top}/HD-Track1-T3.jsonl")
    suite = mapped_suites()["humdial-eibench-empathy"]
    (item,) = suite.items(str(tmp_path))
    assert (item.id, item.language) == ("d1", "zh")
    assert [turn.audio for turn in item.turns] == [path.encode() for path in audio]
    questions = suite.questions(item, answer(item.id, "a", "b", "c"))
    assert values(suite.scores(item, answer(item.id, "a", "b", "c"), all_judged(questions, 4))) == {
        "textual_empathy": 4
    }


def test_vstyle_reads_its_empathy_rows(tmp_path: Path) -> None:
    clips(tmp_path, "en/wav/1.wav")
    rows = [
        {"id": 1, "ability": "empathy/anger", "instruct_text": "They charged me.", "audio_path": "wav/1.wav"},
        {"id": 2, "ability": "role_play/scenario", "instruct_text": "Act.", "audio_path": "wav/2.wav"},
    ]
    (item,) = mapped_suites()["vstyle-empathy"].items(write(tmp_path, rows, "en/metadata.jsonl"))
    assert (item.category, item.language, item.turns[0].text) == ("empathy/anger", "en", "They charged me.")
    assert item.turns[0].audio == b"en/wav/1.wav"


def test_echomind_reads_choices_and_replies(tmp_path: Path) -> None:
    clips(tmp_path, "audio/target/1.wav")
    choice = {
        "question_id": "q1",
        "audio_dir": "target",
        "audio_name": "1.wav",
        "question": "How does she feel?",
        "options_text": "A. happy\nB. sad\nC. angry\nD. afraid",
        "answer": "C",
    }
    (tmp_path / "MCQ").mkdir()
    (tmp_path / "MCQ" / "understanding.json").write_text(json.dumps([choice]))
    (item,) = mapped_suites()["echomind-choice"].items(str(tmp_path))
    assert item.labels == {"options": ["happy", "sad", "angry", "afraid"], "answer": 2}
    assert item.turns[0].audio == b"audio/target/1.wav"
    assert "Question: How does she feel?\nA. happy\nB. sad" in item.system
    script = {
        "case_id": 7,
        "topic": "work",
        "spoken_info": "sigh sound",
        "target_audio_info": {"target_input_audio_file": "target/1.wav"},
    }
    (tmp_path / "script_info_human.json").write_text(json.dumps([script]))
    suite = mapped_suites()["echomind-response"]
    (item,) = suite.items(str(tmp_path))
    assert (item.category, item.turns[0].audio) == ("sigh sound", b"audio/target/1.wav")
    assert len(suite.questions(item, answer(item.id, "Long day?"))) == 4


def test_echat_eval_reads_its_labels(tmp_path: Path) -> None:
    clips(tmp_path, "a.wav")
    (item,) = mapped_suites()["echat-eval"].items(
        write(tmp_path, [{"key": "k", "wav": "a.wav", "txt": "你好", "emotion": "sad", "task": "emotion"}])
    )
    assert (item.language, item.category, item.labels["emotion"], item.labels["age"]) == ("zh", "emotion", "sad", "")
