from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import ray.data

from data_pipeline.preparation.llm import ProcessorStage, make_request, serialise_rows, store_answers, take_answer
from data_pipeline.preparation.models import ModelOutputs, PoolConfig
from data_pipeline.preparation.work import from_table, to_table
from data_pipeline.records import AudioReference, Reject, RejectedRow, Utterance
from data_pipeline.steps.row import PreparedRow
from tests.data_pipeline.preparation.http_engine import HttpEngine
from tests.data_pipeline.preparation.model_server import model_server

PROMPT = "Continue the following sentence in a coherent style: "


def stage(url: str = "http://127.0.0.1:9/v1", batch_rows: int = 2) -> ProcessorStage:
    return ProcessorStage(
        name="continuation",
        field="continuation",
        pool=PoolConfig(batch_rows=batch_rows),
        fingerprint="f" * 64,
        kind="semantic",
        engine=HttpEngine(url),
    )


def row(text: str, position: int, shard: str = "00000-of-00002", **fields: Any) -> PreparedRow:
    entry = Utterance(id=f"{shard}-{position}", corpus="c", split="s", language="en", text=text,
                      audio=AudioReference(path="a.flac"))  # fmt: skip
    clips = (bytes([position, 0, 255, 0]), b"\0")
    return PreparedRow(shard=shard, position=position, entry=entry, clips=clips, clip_samples=(1, 2), **fields)


REJECTED = row("It is late.", 3).rejected("filter", RejectedRow("too short: 0.1 s"))
ANSWERED = row("It is early.", 4, continuation="And cold.")
ROWS = [
    row("It rained.", 0),
    row(" ", 1),
    row("It snowed.", 2, units=((1, 2), ()), speakers=((0.5,),)),
    REJECTED,
    ANSWERED,
    row("It thawed.", 0, "00001-of-00002"),
]
MADE = [
    replace(ROWS[0], continuation="and then rained."),
    ROWS[1].rejected("continuation", RejectedRow("no text: expected a transcript")),
    replace(ROWS[2], continuation="and then snowed."),
    REJECTED,
    ANSWERED,
    replace(ROWS[5], continuation="and then thawed."),
]


def returned(rows: Sequence[PreparedRow], *columns: dict[str, Any]) -> pa.Table:
    """What the processor returns for ``rows``."""
    packed = serialise_rows(to_table(rows), stage=stage()).to_pylist()
    return pa.Table.from_pylist(
        [{"work_row": row["work_row"], **new} for row, new in zip(packed, columns, strict=True)]
    )


def test_rows_that_need_no_answer_are_marked_and_the_others_are_asked() -> None:
    packed = serialise_rows(to_table(ROWS), stage=stage()).to_pylist()
    requests = [make_request(row, engine=HttpEngine("")) for row in packed]
    assert [bool(request["__inference_error__"]) for request in requests] == [False, True, False, True, True, False]
    messages = [request["payload"]["messages"] for request in requests if "payload" in request]
    assert messages == [[{"role": "user", "content": f"{PROMPT}It {what}."}] for what in ("rained", "snowed", "thawed")]


def test_an_answer_is_kept_with_its_row() -> None:
    columns = {"http_response": {"choices": [{"message": {"content": "Yes."}}]}, "work_row": b"row", "other": 1}
    kept = take_answer(columns, engine=HttpEngine(""))
    assert kept == {"work_row": b"row", "work_answer": "Yes.", "__inference_error__": ""}


def test_a_row_that_the_model_cannot_answer_is_rejected_and_stored(tmp_path: Path) -> None:
    outputs = ModelOutputs(str(tmp_path))
    table = returned(ROWS[:1], {"__inference_error__": f"ValueError: {'too long ' * 100}"})
    (made,) = from_table(store_answers(table, stage=stage(), outputs=outputs))
    assert made.reject is not None
    assert made.reject.reason.startswith("no answer: ValueError: too long too long")
    assert len(made.reject.reason) < 250
    assert outputs.add_to(ROWS[:1], stage()) == [made]


def test_an_empty_answer_is_rejected(tmp_path: Path) -> None:
    table = returned(ROWS[:1], {"__inference_error__": "", "work_answer": "<think>\n</think>\n"})
    (made,) = from_table(store_answers(table, stage=stage(), outputs=ModelOutputs(str(tmp_path))))
    assert made.reject == Reject(
        id=made.entry.id,
        step="continuation",
        reason=r"empty continuation: got '<think>\n</think>\n', expected text",
    )


@pytest.mark.ray
@pytest.mark.parametrize("batch_rows", [2, 32])
def test_rows_pass_the_processor_of_ray_and_are_answered_once(ray_local: str, tmp_path: Path, batch_rows: int) -> None:
    outputs = ModelOutputs(str(tmp_path))

    def run(rows: Sequence[PreparedRow]) -> list[PreparedRow]:
        data = ray.data.from_arrow(to_table(rows))
        blocks = stage(server.url, batch_rows).run(data, outputs).iter_batches(batch_size=None, batch_format="pyarrow")
        made = [row for block in blocks for row in from_table(block)]
        return sorted(made, key=lambda row: (row.shard, row.position))

    with model_server() as server:
        assert run(ROWS) == MADE
        assert sorted(server.prompts) == [f"{PROMPT}It {what}." for what in ("rained", "snowed", "thawed")]
        assert [*outputs.add_to(ROWS[:5], stage()), *outputs.add_to(ROWS[5:], stage())] == MADE
        assert run(MADE) == MADE
        assert len(server.prompts) == 3
