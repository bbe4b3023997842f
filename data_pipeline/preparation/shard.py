"""One shard: from its planned rows to what is published."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import pyarrow as pa

from data_pipeline.corpora import CorpusFiles
from data_pipeline.dataset.writer import DatasetWriter, ShardContent
from data_pipeline.preparation.bundle import load_tokeniser
from data_pipeline.preparation.config import PrepareConfig
from data_pipeline.preparation.models import ModelOutputs, ModelStage
from data_pipeline.preparation.planning import Plan, read_planned
from data_pipeline.preparation.work import decode_entry
from data_pipeline.records import Conversation, Reject, RejectedRow, Utterance
from data_pipeline.report import RowFacts, SampleFacts, count_rows
from data_pipeline.schema import REJECT, SAMPLE
from data_pipeline.steps.filters import filter_continuation, filter_row
from data_pipeline.steps.prepare import prepare_clips
from data_pipeline.steps.row import PreparedRow, run_step


@dataclass(frozen=True, kw_only=True, slots=True)
class Preparation:
    """All that a task needs to know of the job. It holds no connection and no model, so it is cheap to send."""

    output: str  # URL of the data set
    root: str  # of the corpus
    config: PrepareConfig
    plan: Plan
    stages: tuple[ModelStage, ...]
    bundle: str  # directory or URL whose text tokenizer and settings are used
    bundle_fingerprint: str
    model_outputs: str  # URL of the data set in which they are stored

    def load(self, shard: str) -> list[PreparedRow]:
        """The rows of a shard that the plan does not reject: their clips, and what models have made for them before."""
        clips = partial(prepare_clips, files=CorpusFiles(self.root), config=self.config.clips)
        check = partial(filter_row, config=self.config.filters)
        rows = []
        for position, entry in read_planned(self.output, shard).entries.items():
            row = PreparedRow(shard=shard, position=position, entry=decode_entry(entry))
            rows.append(run_step("filter", check, run_step("clips", clips, row)))
        outputs = ModelOutputs(self.model_outputs)
        for stage in self.stages:
            rows = outputs.add_to(rows, stage)
        return rows

    def publish(self, shard: str, rows: Sequence[PreparedRow]) -> int:
        """Tokenise and publish a shard, given all its rows after the models; returns how many rows are rejected."""
        content = self._content(shard, rows)
        DatasetWriter(self.output).publish(shard, self.plan.fingerprint, content)
        return content.rejects.num_rows

    def _content(self, shard: str, rows: Sequence[PreparedRow]) -> ShardContent:
        tokenise = load_tokeniser(self.bundle, self.bundle_fingerprint, self.config.tokenise)
        rejects = read_planned(self.output, shard).rejects
        samples: list[dict[str, Any]] = []
        facts: list[RowFacts] = []
        # Blocks come in any order, and equal inputs have to give equal files.
        for row in sorted(rows, key=lambda row: row.position):
            if row.continuation is not None:
                row = run_step("filter", filter_continuation, row)
            if row.reject is None:
                try:
                    made = tokenise(row)
                except RejectedRow as error:
                    row = row.rejected("tokenise", error)
                else:
                    samples += made
                    facts.append(_facts(row, made))
            if row.reject is not None:
                rejects[row.position] = row.reject
        ordered = [rejects[position] for position in sorted(rejects)]
        return ShardContent(
            rows=pa.Table.from_pylist(samples, schema=SAMPLE),
            rejects=pa.Table.from_pylist([_reject_row(reject) for reject in ordered], schema=REJECT),
            report=count_rows(facts, ordered),
        )


def _facts(row: PreparedRow, samples: Sequence[dict[str, Any]]) -> RowFacts:
    entry = row.entry
    labels = _speaker_labels(entry)
    return RowFacts(
        corpus=entry.corpus,
        split=entry.split,
        language=entry.language,
        clip_samples=row.clip_samples,
        samples=tuple(
            SampleFacts(
                length=sample["length"],
                text_labels=sample["text_labels"],
                unit_labels=sample["unit_labels"],
                units=sum(map(len, sample["units"])),
                spoken_tokens=sum(sample["token_types"]),
            )
            for sample in samples
        ),
        **labels,
    )


def _speaker_labels(entry: Utterance | Conversation) -> dict[str, Any]: ...


def _reject_row(reject: Reject) -> dict[str, str]:
    return {"id": reject.id, "step": reject.step, "reason": reject.reason}
