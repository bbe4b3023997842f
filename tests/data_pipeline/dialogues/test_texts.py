import json
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.dataset import Shard, ShardContent
from data_pipeline.dialogues.config import TextConfig
from data_pipeline.dialogues.schema import WRITTEN
from data_pipeline.dialogues.texts import make_dialogues, plan_dialogues
from data_pipeline.records import RejectedRow
from data_pipeline.synthesis.embedded_writer import SYSTEM_PROMPTS
from data_pipeline.synthesis.embedded_writer.tools import tool_dialogues
from data_pipeline.synthesis.protocols import Person, ReplyRequest
from tests.data_pipeline.dialogues.memory import REJECTED, MemoryWriter, answer, more

TEXTS = TextConfig(empathetic=1, shard_rows=1000)


def first_message(number: int, language: str = "en") -> dict[str, Any]:
    """A row of schema FIRST_MESSAGE."""
    about = {"id": f"message-{number}", "kind": "empathetic", "topic": "work", "language": language}
    return about | {"emotion": "sad", "gender": "male", "age": "adult", "text": f"First {number}", "writer": "memory-1"}


def plan(config: TextConfig, count: int) -> list[Shard]:
    return plan_dialogues(config, [first_message(number, config.language) for number in range(count)], "memory-1")


def write_texts(config: TextConfig, count: int, writer: MemoryWriter | None = None) -> ShardContent:
    (shard,) = plan(config, count)
    opened = MemoryWriter() if writer is None else writer
    content = make_dialogues(shard.inputs, writer=lambda: opened)
    assert content.rows.schema == WRITTEN
    return content


def rows_of(content: ShardContent) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = content.rows.to_pylist()
    return rows


def turns_of(shard: Shard) -> dict[str, int]:
    return {dialogue["id"]: dialogue["turns"] for dialogue in json.loads(shard.inputs)}


@settings(max_examples=12)
@given(st.lists(st.floats(0.1, 1), min_size=1, max_size=4), st.integers(0, 5))
def test_each_dialogue_has_its_number_of_turns_and_roles_alternate(turns: list[float], seed: int) -> None:
    config = TextConfig(empathetic=1, turns=tuple(turns), seed=seed, shard_rows=1000)
    planned = turns_of(plan(config, 20)[0])
    for row in rows_of(write_texts(config, 20)):
        roles = [message["role"] for message in row["messages"] if message["role"] != "system"]
        assert roles == [role for role, _ in zip(cycle(["user", "assistant"]), roles, strict=False)]
        assert len(roles) == 2 * planned[row["id"]]


def test_turns_have_about_their_shares() -> None:
    config = TextConfig(empathetic=1, turns=(0.5, 0.0, 0.5), shard_rows=2000)
    counts = Counter(turns_of(plan(config, 2000)[0]).values())
    assert set(counts) == {1, 3}
    assert 900 <= counts[1] <= 1100


def test_messages_are_those_of_the_writer() -> None:
    (row,) = rows_of(write_texts(TextConfig(empathetic=1, turns=(0, 1), system_share=0), 1))
    assert row["messages"] == [
        {"role": "user", "text": "First 0", "tone": "", "spoken": True},
        {"role": "assistant", "text": "Answer 1", "tone": "warm", "spoken": True},
        {"role": "user", "text": "More 2", "tone": "", "spoken": True},
        {"role": "assistant", "text": "Answer 3", "tone": "warm", "spoken": True},
    ]
    expected = first_message(0) | {"id": "dialogue-0000000"}
    assert {name: row[name] for name in WRITTEN.names if name != "messages"} == {
        name: value for name, value in expected.items() if name != "text"
    }


def rejecting(
    when: Callable[[ReplyRequest], bool], write: Callable[[ReplyRequest], str]
) -> Callable[[ReplyRequest], str | RejectedRow]:
    return lambda request: REJECTED if when(request) else write(request)


def is_second(request: ReplyRequest) -> bool:
    return request.messages[0].text == "First 1"


def test_a_rejected_reply_rejects_its_dialogue_and_no_other() -> None:
    config = TextConfig(empathetic=1, turns=(0, 0, 1), system_share=0)
    content = write_texts(config, 3, MemoryWriter(reply=rejecting(is_second, answer)))
    assert rows_of(content) == [row for row in rows_of(write_texts(config, 3)) if row["id"] != "dialogue-0000001"]
    assert content.rejects.to_pylist() == [{"id": "dialogue-0000001", "step": "reply", "reason": str(REJECTED)}]
    assert (content.report.rows_in, content.report.rows_out) == (3, 2)


def test_a_rejected_follow_up_rejects_its_dialogue_and_no_other() -> None:
    config = TextConfig(empathetic=1, turns=(0, 0, 1), system_share=0)

    def is_last_of_second(request: ReplyRequest) -> bool:
        return is_second(request) and len(request.messages) == 4

    content = write_texts(config, 3, MemoryWriter(follow_up=rejecting(is_last_of_second, more)))
    assert rows_of(content) == [row for row in rows_of(write_texts(config, 3)) if row["id"] != "dialogue-0000001"]
    assert content.rejects.to_pylist() == [{"id": "dialogue-0000001", "step": "follow-up", "reason": str(REJECTED)}]


def test_a_shard_of_rejected_dialogues_alone_is_empty() -> None:
    content = write_texts(TEXTS, 4, MemoryWriter(reply=lambda request: REJECTED))
    assert (rows_of(content), content.report.rejected) == ([], {"reply: refusal": 4})


def system_prompts(rows: Sequence[dict[str, Any]]) -> list[str]:
    return [message["text"] for row in rows for message in row["messages"] if message["role"] == "system"]


def test_about_their_share_of_dialogues_starts_with_a_system_prompt_that_is_not_spoken() -> None:
    rows = rows_of(write_texts(TextConfig(empathetic=1, system_share=0.3, shard_rows=1000), 1000))
    prompts = system_prompts(rows)
    assert 250 <= len(prompts) <= 350
    assert set(prompts) == set(SYSTEM_PROMPTS)
    with_prompt = [row["messages"] for row in rows if row["messages"][0]["role"] == "system"]
    assert len(with_prompt) == len(prompts)
    assert not any(messages[0]["spoken"] for messages in with_prompt)


def test_system_prompts_are_english_and_other_dialogues_have_none() -> None:
    assert system_prompts(rows_of(write_texts(TextConfig(empathetic=1, system_share=1, language="zh"), 20))) == []
    assert len(system_prompts(rows_of(write_texts(TextConfig(empathetic=1, system_share=1), 20)))) == 20


def test_dialogues_with_tools_are_kept_as_they_are() -> None:
    writer = MemoryWriter()
    rows = rows_of(write_texts(TextConfig(empathetic=0, tools=6), 0, writer))
    assert writer.requests == []
    for row, expected in zip(rows, tool_dialogues(6, 0), strict=True):
        system, user, call, result, answer = row["messages"]
        assert (row["kind"], row["topic"]) == ("tool", json.loads(expected.tool)["name"])
        assert [each["spoken"] for each in row["messages"]] == [False, True, False, False, True]
        assert (system["text"], user["text"]) == (expected.system, expected.request)
        assert call["text"] == f"<tool_call>\n{expected.call}\n</tool_call>"
        assert result["text"] == f"<tool_response>\n{expected.result}\n</tool_response>"
        assert (answer["text"], answer["tone"]) == (expected.answer, expected.tone)


def test_dialogues_with_tools_follow_the_others() -> None:
    rows = rows_of(write_texts(TextConfig(empathetic=1, tools=2, shard_rows=1000), 3))
    assert [row["kind"] for row in rows] == ["empathetic"] * 3 + ["tool"] * 2
    assert [row["id"] for row in rows] == [f"dialogue-{number:07d}" for number in range(5)]


def test_shards_have_so_many_dialogues() -> None:
    shards = plan(TextConfig(empathetic=1, shard_rows=4), 10)
    assert [len(turns_of(shard)) for shard in shards] == [shard.rows for shard in shards] == [4, 4, 2]


def test_the_same_plan_and_writer_give_the_same_rows() -> None:
    assert plan(TEXTS, 20) == plan(TEXTS, 20)
    assert write_texts(TEXTS, 20) == write_texts(TEXTS, 20)


def test_the_writer_reads_history_person_and_system_prompt() -> None:
    writer = MemoryWriter()
    (row,) = rows_of(write_texts(TextConfig(empathetic=1, turns=(0, 1), system_share=1), 1, writer))
    system, *messages = row["messages"]
    assert [len(request.messages) for request in writer.requests] == [1, 2, 3]
    for request in writer.requests:
        assert (request.system, request.language) == (system["text"], "en")
        history = messages[: len(request.messages)]
        assert [(each.role, each.text) for each in request.messages] == [
            (each["role"], each["text"]) for each in history
        ]
        people = {each.role: each.person for each in request.messages}
        assert people["user"] == Person(gender="male", age="adult", emotion="sad")
        assert people.get("assistant") is None
