"""What a job did, added up from its shards."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """``rejected`` counts rows by ``step: kind``; ``audio_seconds`` is the audio in the rows that came out.

    ``units`` are those of the spoken replies, ``spoken_tokens`` the hidden states that the speech decoder reads for
    them: one for each text token and for the two marks around the text.
    """

    rows_in: int = 0
    rows_out: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    audio_seconds: float = 0.0
    units: int = 0
    spoken_tokens: int = 0

    @property
    def units_per_token(self) -> float | None:
        """On average over all replies; None where nothing is spoken, or a former version has not counted the tokens."""
        return self.units / self.spoken_tokens if self.units and self.spoken_tokens else None

    def to_dict(self) -> dict[str, object]:
        return dataclasses.asdict(self)


def count_rejects(rejects: Iterable[Mapping[str, str]]) -> dict[str, int]:
    """Rows of schema REJECT, counted by step and the part of the reason before its first colon."""
    counts = Counter(f"{reject['step']}: {reject['reason'].partition(':')[0]}" for reject in rejects)
    return dict(sorted(counts.items()))


def merge_reports(reports: Iterable[Report]) -> Report:
    listed = list(reports)
    rejected: Counter[str] = Counter()
    for report in listed:
        rejected.update(report.rejected)
    return Report(
        rows_in=sum(report.rows_in for report in listed),
        rows_out=sum(report.rows_out for report in listed),
        rejected=dict(sorted(rejected.items())),
        audio_seconds=round(sum(report.audio_seconds for report in listed), 3),
        units=sum(report.units for report in listed),
        spoken_tokens=sum(report.spoken_tokens for report in listed),
    )


def render_report(report: Report) -> str:
    """A few lines for the terminal."""
    lines = [
        f"rows in       {report.rows_in}",
        f"rows out      {report.rows_out}",
        f"rows rejected {sum(report.rejected.values())}",
        *(f"  {count} x {reason}" for reason, count in report.rejected.items()),
        f"audio         {report.audio_seconds / 3600:.3f} h",
    ]
    if report.units:
        lines.append(f"speech units  {report.units}")
    if report.units_per_token:
        lines.append(f"units a token {report.units_per_token:.2f}")
    return "\n".join(lines)
