"""A language model that ray.data.llm runs, as a stage of the pipeline.

ray.data.llm keeps the columns of a row in one struct and converts them between its stages, which would change the
types of WORK. So a row passes it as bytes, beside its prompt.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import pyarrow as pa
import ray.data
from ray.data.llm import ProcessorConfig, build_processor

from data_pipeline.preparation.models import ModelOutputs, ModelStage, PoolConfig, store_outputs
from data_pipeline.preparation.work import from_table, to_table
from data_pipeline.records import RejectedRow
from data_pipeline.steps.continuation import ContinuationKind, continuation_output, continuation_prompt
from data_pipeline.steps.row import PreparedRow

_ROW, _PROMPT, _ANSWER = "work_row", "work_prompt", "work_answer"
_ERROR = "__inference_error__"
"""Column of ray.data.llm: why a row has no answer, or empty. Its stages leave rows with an error unchanged."""
_NOT_ASKED = "no answer is needed"

_PACKED = pa.schema([pa.field(_ROW, pa.large_binary(), nullable=False), pa.field(_PROMPT, pa.string())])


class ChatEngine(Protocol):
    """What ray.data.llm runs to answer prompts."""

    def processor(self, pool: PoolConfig) -> ProcessorConfig: ...

    def request(self, prompt: str) -> dict[str, Any]:
        """The columns that the processor reads."""
        ...

    def answer(self, columns: Mapping[str, Any]) -> str:
        """The answer in the columns that the processor returns."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessorStage(ModelStage):
    """Continuations by a processor of ray.data.llm."""

    kind: ContinuationKind
    engine: ChatEngine

    def run(self, data: ray.data.Dataset, outputs: ModelOutputs) -> ray.data.Dataset:
        processor = build_processor(
            self.engine.processor(self.pool),
            preprocess=partial(make_request, engine=self.engine),
            postprocess=partial(take_answer, engine=self.engine),
        )
        data = data.map_batches(partial(serialise_rows, stage=self), batch_size=None, batch_format="pyarrow")
        # A block leaves the processor as a whole, and what is not stored yet is lost with the job.
        data = processor(data.repartition(target_num_rows_per_block=self.pool.batch_rows))
        return data.map_batches(
            partial(store_answers, stage=self, outputs=outputs), batch_size=None, batch_format="pyarrow"
        )


def serialise_rows(table: pa.Table, *, stage: ProcessorStage) -> pa.Table:
    """A table of schema WORK → its rows as bytes, and the prompts of those that need an answer."""
    prompts = [_prompt(row, stage) for row in from_table(table)]
    rows = [_to_bytes(table.slice(index, 1)) for index in range(table.num_rows)]
    return pa.Table.from_pydict({_ROW: rows, _PROMPT: prompts}, schema=_PACKED)


def make_request(row: dict[str, Any], *, engine: ChatEngine) -> dict[str, Any]:
    """The columns that are added to a packed row for the processor."""
    if row[_PROMPT] is None:
        return {_ERROR: _NOT_ASKED}
    return {_ERROR: "", **engine.request(row[_PROMPT])}


def take_answer(row: dict[str, Any], *, engine: ChatEngine) -> dict[str, Any]:
    """What is kept of an answered row. Rows with an error do not come here, and keep all columns."""
    return {_ROW: row[_ROW], _ERROR: "", _ANSWER: engine.answer(row)}


def store_answers(table: pa.Table, *, stage: ProcessorStage, outputs: ModelOutputs) -> pa.Table:
    """What the processor returns → a table of schema WORK; answers are stored."""
    there = [name for name in (_ROW, _ANSWER, _ERROR) if name in table.column_names]
    found = table.select(there).to_pylist()
    rows = [row for packed in found for row in from_table(pa.ipc.open_stream(packed[_ROW]).read_all())]
    made = {
        index: _output(row, stage, found[index].get(_ANSWER), found[index][_ERROR])
        for index, row in enumerate(rows)
        if stage.needs(row)
    }
    return to_table(store_outputs(rows, made, stage, outputs))


def _prompt(row: PreparedRow, stage: ProcessorStage) -> str | None:
    """None where no answer is needed, or the row has no prompt: then :func:`_output` rejects it."""
    prompt = continuation_prompt(row, stage.kind) if stage.needs(row) else None
    return prompt if isinstance(prompt, str) else None


def _output(row: PreparedRow, stage: ProcessorStage, answer: str | None, error: str) -> Mapping[str, Any] | RejectedRow:
    prompt = continuation_prompt(row, stage.kind)
    if isinstance(prompt, RejectedRow):
        return prompt
    return continuation_output(RejectedRow(f"no answer: {error[:200]}") if answer is None else answer)


def _to_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue().to_pybytes()
