"""The dialogues as text: replies to the first messages, and what follows."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa

from data_pipeline.dataset import Shard, ShardContent, plan_shards
from data_pipeline.dialogues.config import Kind, TextConfig
from data_pipeline.dialogues.first_messages import text_facts
from data_pipeline.dialogues.schema import LABELS, WRITTEN
from data_pipeline.records import RejectedRow, Role
from data_pipeline.report import count_rows
from data_pipeline.steps.rejects import Rejects
from data_pipeline.synthesis.embedded_writer import SYSTEM_PROMPTS
from data_pipeline.synthesis.embedded_writer.tools import tool_dialogues
from data_pipeline.synthesis.protocols import Person, ReplyRequest, Writer, WrittenMessage
from opens2s_core.config import config_to_dict, parse_config

VERSION = 1
"""Raised when the same messages and writer give other dialogues."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptMessage:
    """A message of a dialogue, as in the schema MESSAGE."""

    role: Role
    text: str
    tone: str = ""
    spoken: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedDialogue:
    """The messages that are there already, of which the last one is the user's, and how many turns there will be.

    A dialogue with a tool is there as a whole: its ``turns`` are 0.
    """

    id: str
    kind: Kind
    topic: str
    language: str
    person: Person
    messages: tuple[ScriptMessage, ...]
    turns: int
    seed: int


def plan_dialogues(config: TextConfig, messages: Sequence[dict[str, Any]], writer: str) -> list[Shard]:
    """``messages`` are rows of schema FIRST_MESSAGE; ``writer`` is its name. Dialogues with tools are added."""
    plans = [*(_plan(config, row) for row in messages), *_with_tools(config)]
    planned = [config_to_dict(replace(plan, id=f"dialogue-{number:07d}")) for number, plan in enumerate(plans)]
    batches = [planned[start : start + config.shard_rows] for start in range(0, len(planned), config.shard_rows)]
    return plan_shards(batches, made_by={"version": VERSION, "writer": writer})


def _plan(config: TextConfig, row: dict[str, Any]) -> PlannedDialogue:
    rng = random.Random(f"{config.seed} {row['id']}")
    (turns,) = rng.choices(range(1, len(config.turns) + 1), config.turns)
    system = []
    if config.language == "en" and rng.random() < config.system_share:
        system.append(ScriptMessage(role="system", text=rng.choice(list(SYSTEM_PROMPTS)), spoken=False))
    return PlannedDialogue(
        id=row["id"],
        kind=row["kind"],
        topic=row["topic"],
        language=row["language"],
        person=Person(**{name: row[name] for name in LABELS}),
        messages=(*system, ScriptMessage(role="user", text=row["text"])),
        turns=turns,
        seed=rng.getrandbits(31),
    )


def _with_tools(config: TextConfig) -> Iterator[PlannedDialogue]:
    """As the chat template of Qwen3 writes calls and results; these are not spoken."""
    rng = random.Random(config.seed)
    for number, dialogue in enumerate(tool_dialogues(config.tools, config.seed)):
        yield PlannedDialogue(
            id=f"tool-{number}",
            kind="tool",
            topic=json.loads(dialogue.tool)["name"],
            language="en",
            person=Person(gender=rng.choice(config.genders), age=rng.choice(config.ages)),
            messages=(
                ScriptMessage(role="system", text=dialogue.system, spoken=False),
                ScriptMessage(role="user", text=dialogue.request),
                ScriptMessage(role="assistant", text=f"<tool_call>\n{dialogue.call}\n</tool_call>", spoken=False),
                ScriptMessage(role="user", text=f"<tool_response>\n{dialogue.result}\n</tool_response>", spoken=False),
                ScriptMessage(role="assistant", text=dialogue.answer, tone=dialogue.tone),
            ),
            turns=0,
            seed=number,
        )


def make_dialogues(inputs: str, *, writer: Callable[[], Writer]) -> ShardContent:
    """The rows (schema WRITTEN) of one planned shard. All dialogues of the shard are written turn by turn together."""
    planned = [parse_config(PlannedDialogue, dialogue) for dialogue in json.loads(inputs)]
    opened, rejects = writer(), Rejects()
    drafts = planned
    for turn in range(1, max(plan.turns for plan in planned) + 1):
        drafts = _answer(opened, drafts, turn, rejects)
        drafts = _continue(opened, drafts, turn, rejects)
    rows = [_row(draft, opened.name) for draft in drafts]
    return ShardContent(
        rows=pa.Table.from_pylist(rows, schema=WRITTEN),
        rejects=rejects.table(),
        report=count_rows((text_facts(row) for row in rows), rejects.rows),
    )


def _request(plan: PlannedDialogue) -> ReplyRequest:
    """The dialogue so far, for the writer."""
    return ReplyRequest(
        messages=tuple(
            WrittenMessage(role=message.role, text=message.text, person=plan.person if message.role == "user" else None)
            for message in plan.messages
            if message.role != "system"
        ),
        system=plan.messages[0].text if plan.messages[0].role == "system" else "",
        language=plan.language,
        seed=plan.seed,
    )


def _answer(writer: Writer, plans: Sequence[PlannedDialogue], turn: int, rejects: Rejects) -> list[PlannedDialogue]:
    """With the assistant's message of a turn, in the dialogues that have this turn."""
    answers = iter(writer.replies([_request(plan) for plan in plans if plan.turns >= turn]))
    answered: list[PlannedDialogue] = []
    for plan in plans:
        if plan.turns < turn:
            answered.append(plan)
        elif isinstance(answer := next(answers), RejectedRow):
            rejects.add(plan.id, "reply", answer)
        else:
            answered.append(_with(plan, ScriptMessage(role="assistant", text=answer.text, tone=answer.tone)))
    return answered


def _continue(writer: Writer, plans: Sequence[PlannedDialogue], turn: int, rejects: Rejects) -> list[PlannedDialogue]:
    """With the user's message of the next turn, in the dialogues that have one."""
    texts = iter(writer.follow_ups([_request(plan) for plan in plans if plan.turns > turn]))
    continued: list[PlannedDialogue] = []
    for plan in plans:
        if plan.turns <= turn:
            continued.append(plan)
        elif isinstance(text := next(texts), RejectedRow):
            rejects.add(plan.id, "follow-up", text)
        else:
            continued.append(_with(plan, ScriptMessage(role="user", text=text)))
    return continued


def _with(plan: PlannedDialogue, message: ScriptMessage) -> PlannedDialogue:
    return replace(plan, messages=(*plan.messages, message))


def _row(plan: PlannedDialogue, writer: str) -> dict[str, Any]:
    return {
        "id": plan.id,
        "kind": plan.kind,
        "topic": plan.topic,
        "language": plan.language,
        **{name: getattr(plan.person, name) for name in LABELS},
        "messages": [asdict(message) for message in plan.messages],
        "writer": writer,
    }
