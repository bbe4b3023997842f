"""Counts of the rows of a job. The reports of shards add up to the report of the data set.

Every count is a whole number: sums do not depend on their order, and JSON keeps them exactly.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from data_pipeline.quantities import audio_length
from data_pipeline.records import Age, Emotion, Gender, Reject
from opens2s_core.audio import SAMPLE_RATE
from opens2s_core.config import ConfigError, config_to_dict, parse_config

DURATION_BINS = 31
"""Bin k counts the clips of at least k and less than k + 1 seconds, the last one all of 30 seconds and more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleFacts:
    """The lengths of one training sample, as in schema SAMPLE."""

    length: int  # LLM positions
    text_labels: int = 0
    unit_labels: int = 0
    units: int = 0  # of its spoken replies, without end units
    spoken_tokens: int = 0  # hidden states that the speech decoder reads: each text token, and the marks around a text


@dataclass(frozen=True, kw_only=True, slots=True)
class RowFacts:
    """What a report counts of one row that was not rejected. Empty labels are unknown ones."""

    corpus: str
    split: str
    language: str
    emotion: Emotion = ""
    gender: Gender = ""
    age: Age = ""
    clip_samples: tuple[int, ...] = ()  # of each clip, at 16 kHz
    samples: tuple[SampleFacts, ...] = ()  # made of the row


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitCount:
    """Rows and audio (samples at 16 kHz) of one language in one split of a corpus."""

    corpus: str
    language: str
    split: str
    rows: int
    audio_samples: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelCount:
    """Rows of one language with the same labels."""

    language: str
    emotion: Emotion
    gender: Gender
    age: Age
    rows: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """``rejected`` counts rows by ``step: kind``. ``splits`` and ``labels`` are sorted, each combination appears once.
    ``durations`` is the histogram of clips, see :data:`DURATION_BINS`. The rest is added up over all samples, see
    :class:`SampleFacts`."""

    rows_in: int = 0
    rows_out: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    splits: tuple[SplitCount, ...] = ()
    labels: tuple[LabelCount, ...] = ()
    durations: tuple[int, ...] = (0,) * DURATION_BINS
    samples: int = 0
    positions: int = 0
    text_labels: int = 0
    unit_labels: int = 0
    units: int = 0
    spoken_tokens: int = 0

    def __post_init__(self) -> None:
        if len(self.durations) != DURATION_BINS:
            raise ConfigError(f"Report.durations: expected {DURATION_BINS} bins, got {len(self.durations)}")

    @property
    def audio_seconds(self) -> float:
        return sum(split.audio_samples for split in self.splits) / SAMPLE_RATE

    @property
    def units_per_token(self) -> float | None:
        """On average over all spoken replies; None where nothing is spoken."""
        return self.units / self.spoken_tokens if self.units and self.spoken_tokens else None

    def most_rejected(self) -> list[tuple[str, int]]:
        """Kinds of rejected rows with their counts, the most frequent first."""
        return sorted(self.rejected.items(), key=lambda item: (-item[1], item[0]))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return config_to_dict(self) | {"rejected": dict(self.rejected)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Report":
        """The report of which :meth:`to_dict` made ``values``. Raises :class:`~opens2s_core.config.ConfigError`."""
        rejected = values.get("rejected")
        if not isinstance(rejected, dict) or not all(type(rows) is int for rows in rejected.values()):
            raise ConfigError(f"Report.rejected: expected counts of rows by step and kind, got {rejected!r}")
        plain = parse_config(cls, {name: value for name, value in values.items() if name != "rejected"})
        return replace(plain, rejected=rejected)


def count_rows(rows: Iterable[RowFacts], rejects: Iterable[Reject] = ()) -> Report:
    """The report of rows that were prepared, and of those that were rejected."""
    split_rows: Counter[tuple[str, ...]] = Counter()
    audio: Counter[tuple[str, ...]] = Counter()
    labels: Counter[tuple[Any, ...]] = Counter()
    durations: Counter[int] = Counter()
    totals: Counter[str] = Counter()
    for row in rows:
        split = (row.corpus, row.language, row.split)
        split_rows[split] += 1
        audio[split] += sum(row.clip_samples)
        labels[row.language, row.emotion, row.gender, row.age] += 1
        durations.update(min(samples // SAMPLE_RATE, DURATION_BINS - 1) for samples in row.clip_samples)
        totals["samples"] += len(row.samples)
        for sample in row.samples:
            totals["positions"] += sample.length
            for name in ("text_labels", "unit_labels", "units", "spoken_tokens"):
                totals[name] += getattr(sample, name)
    rejected = Counter(reject_kind(reject) for reject in rejects)
    return Report(
        rows_in=split_rows.total() + rejected.total(),
        rows_out=split_rows.total(),
        rejected=dict(sorted(rejected.items())),
        splits=_split_counts(split_rows, audio),
        labels=_label_counts(labels),
        durations=tuple(durations[second] for second in range(DURATION_BINS)),
        **totals,
    )


def reject_kind(reject: Reject) -> str:
    """``step: kind``, where the kind is the part of the reason before its first colon."""
    return f"{reject.step}: {reject.reason.partition(':')[0]}"


def merge_reports(reports: Iterable[Report]) -> Report:
    """The report of all rows together: the order of ``reports`` does not matter, and parts can be merged first."""
    rejected: Counter[str] = Counter()
    split_rows: Counter[tuple[str, ...]] = Counter()
    audio: Counter[tuple[str, ...]] = Counter()
    labels: Counter[tuple[Any, ...]] = Counter()
    durations = [0] * DURATION_BINS
    totals: Counter[str] = Counter()
    for report in reports:
        rejected.update(report.rejected)
        for split in report.splits:
            split_rows[split.corpus, split.language, split.split] += split.rows
            audio[split.corpus, split.language, split.split] += split.audio_samples
        for label in report.labels:
            labels[label.language, label.emotion, label.gender, label.age] += label.rows
        durations = [sum(pair) for pair in zip(durations, report.durations, strict=True)]
        totals.update({name: getattr(report, name) for name in _TOTALS})
    return Report(
        rejected=dict(sorted(rejected.items())),
        splits=_split_counts(split_rows, audio),
        labels=_label_counts(labels),
        durations=tuple(durations),
        **totals,
    )


_TOTALS = ("rows_in", "rows_out", "samples", "positions", "text_labels", "unit_labels", "units", "spoken_tokens")


def _split_counts(rows: Mapping[tuple[str, ...], int], audio: Mapping[tuple[str, ...], int]) -> tuple[SplitCount, ...]:
    return tuple(
        SplitCount(corpus=corpus, language=language, split=split, rows=rows[key], audio_samples=audio[key])
        for key in sorted(rows)
        for corpus, language, split in [key]
    )


def _label_counts(rows: Mapping[tuple[Any, ...], int]) -> tuple[LabelCount, ...]:
    return tuple(
        LabelCount(language=language, emotion=emotion, gender=gender, age=age, rows=rows[key])
        for key in sorted(rows)
        for language, emotion, gender, age in [key]
    )


def render_report(report: Report) -> str:
    """A few lines for the terminal."""
    lines = [
        ("rows", f"{report.rows_in:,} in, {report.rows_out:,} prepared, {sum(report.rejected.values()):,} rejected"),
        *(("", f"{rows:,} x {kind}") for kind, rows in report.most_rejected()),
        ("audio", audio_length(report.audio_seconds)),
    ]
    by_corpus: Counter[tuple[str, str]] = Counter()
    for split in report.splits:
        by_corpus[split.corpus, split.language] += split.audio_samples
    if len(by_corpus) > 1:
        lines += [
            ("", f"{audio_length(samples / SAMPLE_RATE)} {corpus} ({language})")
            for (corpus, language), samples in by_corpus.items()
        ]
    if report.samples:
        lines.append(("samples", f"{report.samples:,} of {report.positions:,} positions in all"))
        lines.append(("labels", f"{report.text_labels:,} of text, {report.unit_labels:,} of units"))
    if report.units_per_token:
        lines.append(("speech", f"{report.units:,} units, {report.units_per_token:.2f} for each token"))
    return "\n".join(f"{name:8} {value}" for name, value in lines)
