from collections.abc import Sequence
from pathlib import Path

from data_pipeline.preparation.models import ActorStage, ModelActor, ModelOutputs, PoolConfig
from data_pipeline.preparation.work import from_table, to_table
from data_pipeline.records import AudioReference, Reject, RejectedRow, Unavailable, Utterance
from data_pipeline.steps.row import PreparedRow


class Shouting:
    """Continues texts in capitals, and counts its rows."""

    rows = 0

    def __call__(self, rows: Sequence[PreparedRow]) -> list[dict[str, str] | RejectedRow]:
        Shouting.rows += len(rows)
        return [self._continue(row) for row in rows]

    def _continue(self, row: PreparedRow) -> dict[str, str] | RejectedRow:
        if row.entry.id == "refused":
            return RejectedRow("no text: expected some")
        if row.entry.id == "later":
            return Unavailable("no answer: timed out")
        return {"continuation": row.entry.id.upper()}


STAGE = ActorStage(name="shout", field="continuation", build=Shouting, pool=PoolConfig(), fingerprint="f" * 64)


def row(name: str, position: int, shard: str = "00000-of-00002") -> PreparedRow:
    entry = Utterance(id=name, corpus="c", split="s", language="en", audio=AudioReference(path="a.flac"))
    return PreparedRow(shard=shard, position=position, entry=entry)


def run(actor: ModelActor, rows: Sequence[PreparedRow]) -> list[PreparedRow]:
    return from_table(actor(to_table(rows)))


def test_what_a_model_made_is_not_made_again(tmp_path: Path) -> None:
    outputs = ModelOutputs(str(tmp_path))
    rows = [row("a", 0), row("b", 3), row("c", 0, "00001-of-00002")]
    made = run(ModelActor(STAGE, outputs), rows)
    assert [each.continuation for each in made] == ["A", "B", "C"]
    assert outputs.add_to(rows[:2], STAGE) == made[:2]
    assert outputs.add_to(rows[2:], STAGE) == made[2:]
    before = Shouting.rows
    assert run(ModelActor(STAGE, outputs), made) == made
    assert Shouting.rows == before


def test_a_row_that_a_model_rejects_stays_rejected(tmp_path: Path) -> None:
    outputs = ModelOutputs(str(tmp_path))
    (made,) = run(ModelActor(STAGE, outputs), [row("refused", 5)])
    assert made.reject == Reject(id="refused", step="shout", reason="no text: expected some")
    assert outputs.add_to([row("refused", 5)], STAGE) == [made]


def test_a_row_without_an_answer_is_tried_again_by_the_next_run(tmp_path: Path) -> None:
    outputs = ModelOutputs(str(tmp_path))
    (made,) = run(ModelActor(STAGE, outputs), [row("later", 5)])
    assert made.reject is not None
    assert outputs.add_to([row("later", 5)], STAGE) == [row("later", 5)]


def test_rejected_rows_pass_a_model_as_they_are(tmp_path: Path) -> None:
    rejected = row("a", 0).rejected("filter", RejectedRow("too short: 0.1 s"))
    before = Shouting.rows
    assert run(ModelActor(STAGE, ModelOutputs(str(tmp_path))), [rejected]) == [rejected]
    assert Shouting.rows == before


def test_another_model_makes_its_own(tmp_path: Path) -> None:
    outputs = ModelOutputs(str(tmp_path))
    run(ModelActor(STAGE, outputs), [row("a", 0)])
    other = ActorStage(name="shout", field="continuation", build=Shouting, pool=PoolConfig(), fingerprint="0" * 64)
    assert outputs.add_to([row("a", 0)], other) == [row("a", 0)]
