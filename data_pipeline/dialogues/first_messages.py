"""What users say first: written for each topic, emotion and kind of person, then selected."""

import itertools
import json
import math
import random
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from data_pipeline.dataset import Shard, ShardContent, plan_shards
from data_pipeline.dialogues.config import TextConfig
from data_pipeline.dialogues.schema import FIRST_MESSAGE
from data_pipeline.records import Reject, RejectedRow
from data_pipeline.report import RowFacts, count_rows
from data_pipeline.steps.rejects import Rejects
from data_pipeline.synthesis.protocols import Person, UserTurnRequest, Writer
from opens2s_core.config import config_to_dict, parse_config

VERSION = 1
"""Raised when the same configuration and writer give other messages."""
_A_REQUEST = 8
"""Messages that are written together: more of one cell resemble each other."""
_REQUESTS = 16
"""In a shard."""


def plan_first_messages(config: TextConfig, topics: tuple[str, ...], writer: str) -> list[Shard]:
    """Requests for ``surplus`` times the wanted messages; ``writer`` is its name."""
    requests = [config_to_dict(request) for request in _requests(config, topics)]
    batches = [requests[start : start + _REQUESTS] for start in range(0, len(requests), _REQUESTS)]
    return plan_shards(batches, made_by={"version": VERSION, "writer": writer})


def _requests(config: TextConfig, topics: tuple[str, ...]) -> Iterator[UserTurnRequest]:
    """Equal numbers for each topic and emotion; genders alternate, ages have their shares."""
    cells = list(itertools.product(topics, config.emotions))
    rng = random.Random(config.seed)
    rng.shuffle(cells)
    wanted = math.ceil(config.empathetic * config.surplus)
    ages = list(config.ages)
    for number in range(math.ceil(wanted / _A_REQUEST)):
        topic, emotion = cells[number % len(cells)]
        (age,) = rng.choices(ages, list(config.ages.values()))
        yield UserTurnRequest(
            topic=topic,
            person=Person(gender=rng.choice(("female", "male")), age=age, emotion=emotion),
            count=_A_REQUEST,
            language=config.language,
            seed=config.seed * 1_000_003 + number,
        )


def make_first_messages(inputs: str, *, writer: Callable[[], Writer]) -> ShardContent:
    """The rows (schema FIRST_MESSAGE) of one planned shard."""
    requests = [parse_config(UserTurnRequest, request) for request in json.loads(inputs)]
    opened, rejects = writer(), Rejects()
    rows: list[dict[str, Any]] = []
    for request, written in zip(requests, opened.user_turns(requests), strict=True):
        if isinstance(written, RejectedRow):
            rejects.rows.append(Reject(id=_id(request, 0), step="first message", reason=str(written)))
            continue
        rows += [_row(request, number, text, opened.name) for number, text in enumerate(written)]
    return ShardContent(
        rows=pa.Table.from_pylist(rows, schema=FIRST_MESSAGE),
        rejects=rejects.table(),
        report=count_rows((_facts(row) for row in rows), rejects.rows),
    )


def _row(request: UserTurnRequest, number: int, text: str, writer: str) -> dict[str, Any]:
    person = request.person
    return {
        "id": _id(request, number),
        "kind": "empathetic",
        "topic": request.topic,
        "language": request.language,
        "emotion": person.emotion,
        "gender": person.gender,
        "age": person.age,
        "text": text,
        "writer": writer,
    }


def _id(request: UserTurnRequest, number: int) -> str:
    return f"message-{request.seed}-{number}"


def _facts(row: dict[str, Any]) -> RowFacts:
    labels = {name: row[name] for name in ("language", "emotion", "gender", "age")}
    return RowFacts(corpus="dialogues", split="train", **labels)
