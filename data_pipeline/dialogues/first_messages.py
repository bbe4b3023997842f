"""What users say first: written for each topic, emotion and kind of person, then selected."""

import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import fsspec
import pyarrow as pa

from data_pipeline.dataset import DatasetError, Shard, ShardContent, plan_shards
from data_pipeline.dialogues.config import Kind, TextConfig
from data_pipeline.dialogues.schema import FIRST_MESSAGE, LABELS
from data_pipeline.records import RejectedRow
from data_pipeline.report import RowFacts, count_rows
from data_pipeline.steps.rejects import Rejects
from data_pipeline.synthesis.protocols import Editor, Person, UserTurnRequest, Writer
from data_pipeline.synthesis.selection import Candidate, Cell, distinct, equal_quotas, select
from opens2s_core.config import config_to_dict, parse_config

VERSION = 1
"""Raised when the same configuration and writer give other messages."""
_A_REQUEST = 8
"""The most messages that are written together: more of one cell resemble each other."""
_REQUESTS, _INSTRUCTIONS = 16, 64
"""In a shard."""
INSTRUCTIONS = "instructions"
"""The topic of messages that are made of text instructions."""
STEP = "first message"


@dataclass(frozen=True, kw_only=True, slots=True)
class Instruction:
    """A text instruction that is to be spoken, of the line ``number`` of its file."""

    text: str
    language: str
    number: int


def plan_first_messages(config: TextConfig, writer: Writer) -> list[Shard]:
    """Requests for ``surplus`` times the wanted messages, and the instructions that are to be edited.

    Raises :class:`~data_pipeline.dataset.DatasetError` for instructions that cannot be read.
    """
    requests = list(_requests(config, _quotas(config, writer)))
    instructions = _read_instructions(config) if config.instructions else []
    batches: list[dict[str, list[Any]]] = [
        *({"requests": batch} for batch in _batches(list(map(config_to_dict, requests)), _REQUESTS)),
        *({"instructions": batch} for batch in _batches(list(map(config_to_dict, instructions)), _INSTRUCTIONS)),
    ]
    shards = plan_shards(batches, made_by=[VERSION, writer.name, config.language])
    counts = [sum(each.get("count", 1) for some in batch.values() for each in some) for batch in batches]
    return [replace(shard, rows=count) for shard, count in zip(shards, counts, strict=True)]


def people(config: TextConfig, writer: Writer) -> set[tuple[Person, str]]:
    """Who says the first messages, and in which language."""
    found = {(cell.person, cell.language) for cell in _quotas(config, writer)}
    return found | {(Person(), config.language)} if config.instructions else found


def _batches(items: list[Any], size: int) -> list[list[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _requests(config: TextConfig, quotas: dict[Cell, int]) -> Iterator[UserTurnRequest]:
    for number, (cell, quota) in enumerate(quotas.items()):
        wanted = math.ceil(quota * config.surplus)
        for part, start in enumerate(range(0, wanted, _A_REQUEST)):
            yield UserTurnRequest(
                topic=cell.topic,
                person=cell.person,
                count=min(_A_REQUEST, wanted - start),
                language=cell.language,
                seed=random.Random(f"{config.seed} {number} {part}").getrandbits(31),
            )


def _quotas(config: TextConfig, writer: Writer) -> dict[Cell, int]:
    """Of empathetic messages, and of general ones where they are not made of instructions."""
    split = partial(equal_quotas, languages=[config.language], ages=config.ages, genders=config.genders)
    quotas = split(config.empathetic, topics=writer.topics, emotions=config.emotions)
    if config.instructions:
        return quotas
    return quotas | split(config.general, topics=writer.general_topics, emotions=["neutral"])


def _read_instructions(config: TextConfig) -> list[Instruction]:
    """``surplus`` times as many as are wanted, of random ones."""
    with fsspec.open(config.instructions, "rt", encoding="utf-8") as file:
        lines = [(number, line) for number, line in enumerate(file, 1) if line.strip()]
    wanted = math.ceil(config.general * config.surplus)
    chosen = random.Random(config.seed).sample(lines, min(len(lines), wanted))
    return [_instruction(config, number, line) for number, line in chosen]


def _instruction(config: TextConfig, number: int, line: str) -> Instruction:
    try:
        row = {"language": config.language} | json.loads(line)
        values = {name: row[name] for name in ("text", "language")}
        return parse_config(Instruction, values | {"number": number})
    except (ValueError, LookupError, TypeError):
        raise DatasetError(
            f"{config.instructions}, line {number}: expected an object with the key text, got {line.strip():.80}"
        ) from None


def select_messages(
    config: TextConfig, writer: Writer, rows: Sequence[dict[str, Any]]
) -> tuple[list[dict[str, Any]], int]:
    """The rows (schema FIRST_MESSAGE) that are used: no near-duplicates, and equal numbers; and how many are missing
    to the wanted numbers."""
    of_text = {row["text"]: row for row in reversed(rows)}  # of equal texts the first
    candidates = distinct((Candidate(text=row["text"], cell=_cell(row)) for row in rows), config.duplicates)
    quotas = _quotas(config, writer)
    if config.instructions:
        quotas[Cell(language=config.language, topic=INSTRUCTIONS, person=Person())] = config.general
    selection = select(candidates, quotas)
    return [of_text[candidate.text] for candidate in selection.candidates], sum(selection.short.values())


def _cell(row: dict[str, Any]) -> Cell:
    person = Person(gender=row["gender"], age=row["age"], emotion=row["emotion"])
    return Cell(language=row["language"], topic=row["topic"], person=person)


def make_first_messages(inputs: str, *, writer: Callable[[], Writer], language: str) -> ShardContent:
    """The rows (schema FIRST_MESSAGE) of one planned shard."""
    planned, opened, rejects = json.loads(inputs), writer(), Rejects()
    requests = [parse_config(UserTurnRequest, request) for request in planned.get("requests", [])]
    instructions = [parse_config(Instruction, instruction) for instruction in planned.get("instructions", [])]
    rows = [*_written(requests, opened, rejects), *_edited(instructions, language, opened, rejects)]
    return ShardContent(
        rows=pa.Table.from_pylist(rows, schema=FIRST_MESSAGE),
        rejects=rejects.table(),
        report=count_rows((text_facts(row) for row in rows), rejects.rows),
    )


def _written(requests: Sequence[UserTurnRequest], writer: Writer, rejects: Rejects) -> Iterator[dict[str, Any]]:
    for request, written in zip(requests, writer.user_turns(requests) if requests else [], strict=True):
        kind: Kind = "general" if request.topic in writer.general_topics else "empathetic"
        if isinstance(written, RejectedRow):
            rejects.add(f"message-{request.seed}", STEP, written)
            continue
        for number, text in enumerate(written):
            yield _row(f"message-{request.seed}-{number}", kind, request, text, writer.name)


def _edited(
    instructions: Sequence[Instruction], language: str, writer: Writer, rejects: Rejects
) -> Iterator[dict[str, Any]]:
    """Instructions as they would be spoken in ``language``."""
    if not instructions:
        return
    editor = cast(Editor, writer)
    for source in sorted({instruction.language for instruction in instructions}):
        own = [instruction for instruction in instructions if instruction.language == source]
        texts = editor.rewrite_for_speech([instruction.text for instruction in own], language=source)
        if source != language:
            kept = [text for text in texts if not isinstance(text, RejectedRow)]
            translated = iter(editor.translate(kept, language))
            texts = [text if isinstance(text, RejectedRow) else next(translated) for text in texts]
        for instruction, text in zip(own, texts, strict=True):
            id = f"instruction-{instruction.number}"
            if isinstance(text, RejectedRow):
                rejects.add(id, STEP, text)
            else:
                request = UserTurnRequest(topic=INSTRUCTIONS, person=Person(), count=1, language=language)
                yield _row(id, "general", request, text, writer.name)


def _row(id: str, kind: Kind, request: UserTurnRequest, text: str, writer: str) -> dict[str, Any]:
    return {
        "id": id,
        "kind": kind,
        "topic": request.topic,
        "language": request.language,
        **{name: getattr(request.person, name) for name in LABELS},
        "text": text,
        "writer": writer,
    }


def text_facts(row: dict[str, Any]) -> RowFacts:
    """Of a row with the labels of a user."""
    labels = {name: row[name] for name in ("language", *LABELS)}
    return RowFacts(corpus="dialogues", split="train", **labels)
