"""The dialogues as text: replies to the first messages, and what follows."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from data_pipeline.dataset import Shard, ShardContent, plan_shards
from data_pipeline.dialogues.config import Kind, TextConfig
from data_pipeline.dialogues.schema import WRITTEN
from data_pipeline.records import Reject, RejectedRow
from data_pipeline.report import RowFacts, count_rows
from data_pipeline.steps.rejects import Rejects
from data_pipeline.synthesis.protocols import Person, ReplyRequest, Writer, WrittenMessage
from opens2s_core.config import config_to_dict, parse_config

VERSION = 1
"""Raised when the same messages and writer give other dialogues."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedDialogue:
    """A first message, and what kind of dialogue follows it."""

    id: str
    kind: Kind
    topic: str
    language: str
    person: Person
    text: str
    system: str
    turns: int
    seed: int


def plan_dialogues(
    config: TextConfig, messages: Sequence[dict[str, Any]], system_lines: Sequence[str], writer: str
) -> list[Shard]:
    """``messages`` are rows of schema FIRST_MESSAGE; ``writer`` is its name."""
    planned = [config_to_dict(_plan(config, number, row, system_lines)) for number, row in enumerate(messages)]
    batches = [planned[start : start + config.shard_rows] for start in range(0, len(planned), config.shard_rows)]
    return plan_shards(batches, made_by={"version": VERSION, "writer": writer})


def _plan(config: TextConfig, number: int, row: dict[str, Any], system_lines: Sequence[str]) -> PlannedDialogue:
    rng = random.Random(f"{config.seed} {row['id']}")
    (turns,) = rng.choices(range(1, len(config.turns) + 1), config.turns)
    return PlannedDialogue(
        id=f"dialogue-{number:07d}",
        kind=row["kind"],
        topic=row["topic"],
        language=row["language"],
        person=Person(gender=row["gender"], age=row["age"], emotion=row["emotion"]),
        text=row["text"],
        system=rng.choice(system_lines) if system_lines and rng.random() < config.system_share else "",
        turns=turns,
        seed=rng.getrandbits(31),
    )


def make_dialogues(inputs: str, *, writer: Callable[[], Writer]) -> ShardContent:
    """The rows (schema WRITTEN) of one planned shard. All dialogues of the shard are written turn by turn together."""
    planned = [parse_config(PlannedDialogue, dialogue) for dialogue in json.loads(inputs)]
    opened, rejects = writer(), Rejects()
    drafts = [_Draft(plan=plan, messages=(_users(plan, plan.text),)) for plan in planned]
    for turn in range(1, max(plan.turns for plan in planned) + 1):
        drafts = _answer(opened, drafts, turn, rejects)
        drafts = _continue(opened, drafts, turn, rejects)
    rows = [_row(draft, opened.name) for draft in drafts]
    return ShardContent(
        rows=pa.Table.from_pylist(rows, schema=WRITTEN),
        rejects=rejects.table(),
        report=count_rows((_facts(row) for row in rows), rejects.rows),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Draft:
    plan: PlannedDialogue
    messages: tuple[WrittenMessage, ...]
    tones: tuple[str, ...] = ()  # of the replies

    @property
    def request(self) -> ReplyRequest:
        plan = self.plan
        return ReplyRequest(messages=self.messages, system=plan.system, language=plan.language, seed=plan.seed)


def _users(plan: PlannedDialogue, text: str) -> WrittenMessage:
    return WrittenMessage(role="user", text=text, person=plan.person)


def _answer(writer: Writer, drafts: Sequence[_Draft], turn: int, rejects: Rejects) -> list[_Draft]:
    """The assistant's message of a turn, in the dialogues that have this turn."""
    open_drafts = [draft for draft in drafts if draft.plan.turns >= turn]
    answers = iter(writer.replies([draft.request for draft in open_drafts]))
    answered: list[_Draft] = []
    for draft in drafts:
        if draft.plan.turns < turn:
            answered.append(draft)
        elif isinstance(answer := next(answers), RejectedRow):
            rejects.rows.append(Reject(id=draft.plan.id, step="reply", reason=str(answer)))
        else:
            message = WrittenMessage(role="assistant", text=answer.text)
            answered.append(replace(draft, messages=(*draft.messages, message), tones=(*draft.tones, answer.tone)))
    return answered


def _continue(writer: Writer, drafts: Sequence[_Draft], turn: int, rejects: Rejects) -> list[_Draft]:
    """The user's message of the next turn, in the dialogues that have one."""
    longer = [draft for draft in drafts if draft.plan.turns > turn]
    texts = iter(writer.follow_ups([draft.request for draft in longer]))
    continued: list[_Draft] = []
    for draft in drafts:
        if draft.plan.turns <= turn:
            continued.append(draft)
        elif isinstance(text := next(texts), RejectedRow):
            rejects.rows.append(Reject(id=draft.plan.id, step="follow-up", reason=str(text)))
        else:
            continued.append(replace(draft, messages=(*draft.messages, _users(draft.plan, text))))
    return continued


def _row(draft: _Draft, writer: str) -> dict[str, Any]:
    plan, tones = draft.plan, iter(draft.tones)
    system = [{"role": "system", "text": plan.system, "tone": "", "spoken": False}] if plan.system else []
    return {
        "id": plan.id,
        "kind": plan.kind,
        "topic": plan.topic,
        "language": plan.language,
        "emotion": plan.person.emotion,
        "gender": plan.person.gender,
        "age": plan.person.age,
        "messages": [
            *system,
            *(
                {
                    "role": message.role,
                    "text": message.text,
                    "tone": next(tones) if message.role == "assistant" else "",
                    "spoken": True,
                }
                for message in draft.messages
            ),
        ],
        "writer": writer,
    }


def _facts(row: dict[str, Any]) -> RowFacts:
    labels = {name: row[name] for name in ("language", "emotion", "gender", "age")}
    return RowFacts(corpus="dialogues", split="train", **labels)
