import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.dataset import DatasetError, Shard
from data_pipeline.dialogues.config import TextConfig
from data_pipeline.dialogues.first_messages import make_first_messages, plan_first_messages, select_messages
from data_pipeline.dialogues.schema import FIRST_MESSAGE, LABELS
from data_pipeline.records import RejectedRow
from data_pipeline.synthesis.protocols import UserTurnRequest
from tests.data_pipeline.dialogues.memory import REJECTED, MemoryWriter

CELLS = 2 * 6 * 4 * 2
"""Topics of the writer, emotions, ages and genders."""


def requests_of(config: TextConfig) -> list[dict[str, Any]]:
    shards = plan_first_messages(config, MemoryWriter())
    return [request for shard in shards for request in json.loads(shard.inputs).get("requests", [])]


def cell_of(row: dict[str, Any]) -> tuple[str, ...]:
    labels = row.get("person", row)
    return (row["topic"], *(labels[name] for name in LABELS))


def make(shards: Sequence[Shard], writer: MemoryWriter, language: str = "en") -> list[dict[str, Any]]:
    contents = [make_first_messages(shard.inputs, writer=lambda: writer, language=language) for shard in shards]
    assert all(content.rows.schema == FIRST_MESSAGE for content in contents)
    return [row for content in contents for row in content.rows.to_pylist()]


def written(config: TextConfig, writer: MemoryWriter) -> list[dict[str, Any]]:
    return make(plan_first_messages(config, writer), writer, config.language)


def instructions(directory: Path, *lines: str) -> str:
    path = directory / "instructions.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


@given(st.integers(1, 400), st.sampled_from([1.0, 1.3, 2.5]))
def test_each_cell_is_asked_for_surplus_times_its_quota(empathetic: int, surplus: float) -> None:
    asked: Counter[tuple[str, ...]] = Counter()
    for request in requests_of(TextConfig(empathetic=empathetic, surplus=surplus)):
        assert request["count"] <= 8
        asked[cell_of(request)] += request["count"]
    low, more = divmod(empathetic, CELLS)
    quotas = [low + 1] * more + [low] * (CELLS - more if low else 0)
    assert sorted(asked.values(), reverse=True) == [math.ceil(quota * surplus) for quota in quotas]


def test_requests_have_different_seeds_which_depend_on_that_of_the_corpus() -> None:
    seeds = [{request["seed"] for request in requests_of(TextConfig(empathetic=CELLS, seed=seed))} for seed in (0, 1)]
    assert [len(each) for each in seeds] == [CELLS, CELLS]
    assert seeds[0].isdisjoint(seeds[1])


def test_shards_count_the_messages_that_are_asked_for() -> None:
    shards = plan_first_messages(TextConfig(empathetic=10 * CELLS, surplus=1), MemoryWriter())
    assert sum(shard.rows for shard in shards) == 10 * CELLS


def test_equal_numbers_are_selected_of_each_cell() -> None:
    config, writer = TextConfig(empathetic=2 * CELLS, general=16), MemoryWriter()
    rows, missing = select_messages(config, writer, written(config, writer))
    assert missing == 0
    counts = Counter(cell_of(row) for row in rows if row["kind"] == "empathetic")
    assert set(counts.values()) == {2}
    assert len(counts) == CELLS
    general = [row for row in rows if row["kind"] == "general"]
    assert {(row["topic"], row["emotion"]) for row in general} == {("general", "neutral")}
    assert set(Counter((row["age"], row["gender"]) for row in general).values()) == {2}


def test_of_near_duplicates_the_first_is_used() -> None:
    texts = ["I lost my keys on the bus today.", "I lost my keys on the bus TODAY!", "We won the match."]
    writer = MemoryWriter(write=lambda request: texts, topics=("work",))
    config = TextConfig(empathetic=3, emotions=("sad",), ages=("adult",), genders=("male",), surplus=1)
    rows, missing = select_messages(config, writer, written(config, writer))
    assert [row["text"] for row in rows] == [texts[0], texts[2]]
    assert missing == 1


def test_of_equal_texts_the_row_of_the_first_is_used() -> None:
    writer = MemoryWriter(write=lambda request: ["I lost my keys."])
    config = TextConfig(empathetic=CELLS, surplus=1)
    rows = written(config, writer)
    selected, missing = select_messages(config, writer, rows)
    assert selected == rows[:1]
    assert missing == CELLS - 1


def test_a_request_without_messages_is_rejected_with_its_reason() -> None:
    def write(request: UserTurnRequest) -> list[str] | RejectedRow:
        return REJECTED if request.topic == "work" else ["I lost my keys."]

    writer = MemoryWriter(write=write)
    (shard,) = plan_first_messages(TextConfig(empathetic=12), writer)
    content = make_first_messages(shard.inputs, writer=lambda: writer, language="en")
    assert {row["topic"] for row in content.rows.to_pylist()} == {"family"}
    assert content.report.rejected == {"first message: refusal": 6}
    assert {row["reason"] for row in content.rejects.to_pylist()} == {str(REJECTED)}


def test_the_same_plan_and_writer_give_the_same_rows() -> None:
    config = TextConfig(empathetic=20, general=4)
    assert plan_first_messages(config, MemoryWriter()) == plan_first_messages(config, MemoryWriter())
    assert written(config, MemoryWriter()) == written(config, MemoryWriter())


def test_another_writer_makes_all_messages_again() -> None:
    config = TextConfig(empathetic=20)
    one, other = (plan_first_messages(config, MemoryWriter(name=name)) for name in ("memory-1", "memory-2"))
    assert {shard.fingerprint for shard in one}.isdisjoint(shard.fingerprint for shard in other)


def test_instructions_are_edited_translated_or_rejected(tmp_path: Path) -> None:
    file = instructions(
        tmp_path,
        '{"text": "name a fruit."}',
        "",
        '{"text": "说一种水果。", "language": "zh"}',
        '{"text": "print a table."}',
    )
    config = TextConfig(empathetic=0, general=3, instructions=file)
    writer = MemoryWriter(rewrite=lambda text: REJECTED if "table" in text else text.capitalize())
    (shard,) = plan_first_messages(config, writer)
    assert shard.rows == 3
    content = make_first_messages(shard.inputs, writer=lambda: writer, language="en")
    rows = {row["id"]: row for row in content.rows.to_pylist()}
    assert {id: row["text"] for id, row in rows.items()} == {
        "instruction-1": "Name a fruit.",
        "instruction-3": "说一种水果。 (en)",
    }
    assert {(row["kind"], row["language"], row["emotion"]) for row in rows.values()} == {("general", "en", "neutral")}
    assert [(row["id"], row["reason"]) for row in content.rejects.to_pylist()] == [("instruction-4", str(REJECTED))]


def test_so_many_instructions_are_chosen_at_random_and_used(tmp_path: Path) -> None:
    file = instructions(tmp_path, *(json.dumps({"text": f"list{n} item{n}"}) for n in range(100)))
    config, writer = TextConfig(empathetic=0, general=10, instructions=file), MemoryWriter()
    rows = written(config, writer)
    assert len({row["text"] for row in rows}) == 13
    assert max(int(row["id"].removeprefix("instruction-")) for row in rows) > 13
    selected, missing = select_messages(config, writer, rows)
    assert (len(selected), missing) == (10, 0)


def test_missing_instructions_are_counted(tmp_path: Path) -> None:
    file = instructions(tmp_path, '{"text": "name a fruit."}')
    config, writer = TextConfig(empathetic=0, general=5, instructions=file), MemoryWriter()
    rows, missing = select_messages(config, writer, written(config, writer))
    assert ([row["text"] for row in rows], missing) == (["Name a fruit."], 4)


def test_near_duplicates_of_chinese_instructions_are_found_by_characters(tmp_path: Path) -> None:
    texts = ["请告诉我今天北京的天气怎么样", "请告诉我明天北京的天气怎么样", "推荐一本好看的小说"]
    file = instructions(tmp_path, *(json.dumps({"text": text}) for text in texts))
    config = TextConfig(empathetic=0, general=3, instructions=file, language="zh")
    writer = MemoryWriter()
    rows, missing = select_messages(config, writer, written(config, writer))
    assert (len(rows), missing) == (2, 1)


@pytest.mark.parametrize("line", ["{", "[]", '"text"', "{}", '{"text": 5}', '{"text": "a", "language": null}'])
def test_a_bad_instruction_is_an_error_with_its_line(tmp_path: Path, line: str) -> None:
    file = instructions(tmp_path, '{"text": "name a fruit."}', "", line)
    config = TextConfig(empathetic=0, general=2, instructions=file)
    with pytest.raises(DatasetError, match=r"jsonl, line 3: expected an object with the key text, got "):
        plan_first_messages(config, MemoryWriter())
