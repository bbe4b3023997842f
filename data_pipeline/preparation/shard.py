"""One shard: from its planned rows to its published files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from data_pipeline.corpora import CorpusFiles
from data_pipeline.dataset.writer import DatasetWriter, ShardContent
from data_pipeline.preparation.bundle import load_text_settings
from data_pipeline.preparation.config import PrepareConfig
from data_pipeline.preparation.models import ModelOutputs, ModelStage
from data_pipeline.preparation.planning import SELECT, Plan, read_planned
from data_pipeline.preparation.work import decode_entry
from data_pipeline.records import Reject, RejectedRow
from data_pipeline.report import Report, RowFacts, SampleFacts, count_rows
from data_pipeline.schema import REJECT, SAMPLE
from data_pipeline.steps.filters import filter_continuation, filter_row
from data_pipeline.steps.prepare import prepare_clips
from data_pipeline.steps.row import PreparedRow, labelled_speaker, run_step
from data_pipeline.steps.tokenise import tokenise

_ENOUGH_ROWS = 100
"""A smaller shard may have many rejected rows by chance."""


class TooManyRejects(RuntimeError):
    """More rows are rejected than the job allows: the cause is rather a fault of the job."""

    def __reduce__(self) -> tuple[type["TooManyRejects"], tuple[object, ...]]:
        return TooManyRejects, self.args


def check_rejects(name: str, report: Report, share: float) -> None:
    """Raise :class:`TooManyRejects` where more than ``share`` of the rows are rejected, not counting those that the
    selection leaves out."""
    selected_out = sum(rows for kind, rows in report.rejected.items() if kind.startswith(f"{SELECT}: "))
    rows = report.rows_in - selected_out
    rejected = rows - report.rows_out
    if rejected <= share * rows:
        return
    kinds = [(kind, count) for kind, count in report.most_rejected() if not kind.startswith(f"{SELECT}: ")]
    reasons = ", ".join(f"{count} x {kind}" for kind, count in kinds[:3])
    raise TooManyRejects(
        f"{name}: {rejected} of {rows} rows cannot be used, expected at most {share:.0%}: {reasons}. "
        "Fix the cause and start again, or raise max_reject_share"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Preparation:
    """What the tasks of a job read. It holds no connection and no model, so it is cheap to send."""

    output: str  # URL of the data set
    root: str  # of the corpus
    config: PrepareConfig
    plan: Plan
    stages: tuple[ModelStage, ...]
    bundle: str  # directory or URL whose text tokenizer and settings are used
    bundle_fingerprint: str

    def load(self, shard: str) -> list[PreparedRow]:
        """The rows of a shard that the plan does not reject: their clips, and what models have made for them before."""
        clips = partial(prepare_clips, files=CorpusFiles(self.root), config=self.config.clips)
        check = partial(filter_row, config=self.config.filters)
        rows = []
        for position, entry in read_planned(self.output, shard).entries.items():
            row = PreparedRow(shard=shard, position=position, entry=decode_entry(entry))
            rows.append(run_step("filter", check, run_step("clips", clips, row)))
        outputs = ModelOutputs(self.output)
        for stage in self.stages:
            rows = outputs.add_to(rows, stage)
        return rows

    def publish(self, shard: str, rows: Sequence[PreparedRow]) -> int:
        """Tokenise and publish a shard, given all its rows after the models; returns how many of them are rejected.

        Raises :class:`TooManyRejects` for a shard of which more rows are rejected than the job allows.
        """
        planned = read_planned(self.output, shard).rejects
        content = self._content(rows, planned)
        rejected = content.rejects.num_rows - len(planned)
        if len(rows) >= _ENOUGH_ROWS:
            check_rejects(f"shard {shard}", content.report, self.config.max_reject_share)
        DatasetWriter(self.output).publish(shard, self.plan.fingerprint, content)
        return rejected

    def _content(self, rows: Sequence[PreparedRow], planned: Mapping[int, Reject]) -> ShardContent:
        """``planned`` are the rows that the plan rejects, by position."""
        text = load_text_settings(self.bundle, self.bundle_fingerprint)
        rejects = dict(planned)
        samples: list[dict[str, Any]] = []
        facts: list[RowFacts] = []
        # Blocks come in any order, and equal inputs have to give equal files.
        for row in sorted(rows, key=lambda row: row.position):
            if row.continuation is not None:
                row = run_step("filter", filter_continuation, row)
            if row.reject is None:
                try:
                    made = tokenise(row, text.prompts, text.audio_positions, self.config.tokenise)
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
    speaker = labelled_speaker(entry)
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
        emotion=speaker.emotion,
        gender=speaker.gender,
        age=speaker.age,
    )


def _reject_row(reject: Reject) -> dict[str, str]:
    return {"id": reject.id, "step": reject.step, "reason": reject.reason}
