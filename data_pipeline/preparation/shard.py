"""One shard: from its planned rows to what is published."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from data_pipeline.corpora import CorpusFiles
from data_pipeline.dataset.writer import DatasetWriter, ShardContent
from data_pipeline.preparation.config import PrepareConfig
from data_pipeline.preparation.models import ModelOutputs, ModelStage
from data_pipeline.preparation.planning import Plan, read_planned
from data_pipeline.preparation.work import decode_entry
from data_pipeline.records import Reject
from data_pipeline.report import Report, RowFacts, make_report
from data_pipeline.schema import REJECT, SAMPLE
from data_pipeline.steps.clips import prepare_clips
from data_pipeline.steps.filters import check_made, check_read
from data_pipeline.steps.row import PreparedRow, run_step
from data_pipeline.steps.tokenise import Tokeniser


@dataclass(frozen=True, kw_only=True, slots=True)
class Preparation:
    """All that a task needs to know of the job. It holds no connection and no model, so it is cheap to send."""

    output: str  # URL of the data set
    root: str  # of the corpus
    config: PrepareConfig
    plan: Plan
    stages: tuple[ModelStage, ...]
    bundle: str  # whose text tokenizer and settings are used
    bundle_fingerprint: str
    model_outputs: str  # URL of the data set in which they are stored

    def load(self, shard: str) -> list[PreparedRow]:
        """The rows of a shard that are not rejected by the plan: their clips, and what models have made before."""
        files, config = CorpusFiles(self.root), self.config
        rows = []
        for position, entry in read_planned(self.output, shard).entries.items():
            row = PreparedRow(shard=shard, position=position, entry=decode_entry(entry))
            row = run_step("clips", partial(prepare_clips, files=files, config=config.clips), row)
            rows.append(run_step("filter", partial(check_read, config=config.filters), row))
        outputs = ModelOutputs(self.model_outputs)
        for stage in self.stages:
            rows = outputs.add_to(rows, stage)
        return rows

    def finish(self, shard: str, rows: Sequence[PreparedRow]) -> ShardContent:
        """What is published of a shard, given all its rows with what the models made."""
        tokeniser = _tokeniser(self)
        samples, facts = [], []
        rejects = read_planned(self.output, shard).rejects
        for row in sorted(rows, key=lambda row: row.position):
            checked = run_step("filter", partial(check_made, config=self.config.filters), row)
            made = tokeniser(checked)
            ...
        return ...


def publish(preparation: Preparation, shard: str, rows: Sequence[PreparedRow]) -> ShardContent: ...
