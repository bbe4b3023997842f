"""The report of a data set as one HTML file, with plots and samples that can be played."""

import base64
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from data_pipeline.html_page import page_environment
from data_pipeline.quantities import audio_length, compact, share
from data_pipeline.records import Age, Emotion, Gender, Reject
from data_pipeline.report import Report, reject_kind
from opens2s_core.audio import SAMPLE_RATE

EXAMPLES = 10
"""How many samples can be played."""
_REJECT_EXAMPLES = 3
_LABEL_LANGUAGES = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A prepared row to listen to. ``clips`` are FLAC, in reading order; empty labels are unknown ones."""

    id: str
    corpus: str
    language: str
    text: str
    clips: tuple[bytes, ...]
    reply: str = ""  # the text that is trained as the answer
    emotion: Emotion = ""
    gender: Gender = ""
    age: Age = ""

    @property
    def labels(self) -> list[str]:
        return [label for label in (self.corpus, self.language, self.emotion, self.gender, self.age) if label]

    @property
    def clip_urls(self) -> list[str]:
        return [f"data:audio/flac;base64,{base64.b64encode(clip).decode()}" for clip in self.clips]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plot:
    title: str
    note: str
    drawing: Markup


@dataclass(frozen=True, kw_only=True, slots=True)
class _RejectKind:
    kind: str
    rows: int
    examples: list[Reject]


def render_html(title: str, report: Report, examples: Sequence[Example], rejects: Iterable[Reject]) -> str:
    """The page. It needs no other file and no network, runs no script, and shows text of rows as text.

    The first :data:`EXAMPLES` of ``examples`` can be played. Of ``rejects`` the first three of each kind are shown; all
    can be passed, they are not kept in memory.
    """
    environment = page_environment("data_pipeline")
    environment.filters.update(compact=compact, audio_length=audio_length)
    return environment.get_template("report.html").render(
        title=title,
        report=report,
        rejected=sum(report.rejected.values()),
        share=share,
        sample_rate=SAMPLE_RATE,
        plots=_plots(report),
        reject_kinds=_reject_kinds(report, rejects),
        examples=examples[:EXAMPLES],
    )


def _reject_kinds(report: Report, rejects: Iterable[Reject]) -> list[_RejectKind]:
    examples: dict[str, list[Reject]] = {kind: [] for kind in report.rejected}
    for reject in rejects:
        shown = examples.setdefault(reject_kind(reject), [])
        if len(shown) < _REJECT_EXAMPLES:
            shown.append(reject)
    return [_RejectKind(kind=kind, rows=rows, examples=examples[kind]) for kind, rows in report.most_rejected()]


def _plots(report: Report) -> list[_Plot]:
    from data_pipeline.report_plots import plot_bars, plot_durations, plot_labels  # matplotlib takes a second

    plots: list[_Plot] = []

    def add(title: str, drawing: str, note: str = "") -> None:
        plots.append(_Plot(title=title, note=note, drawing=Markup(drawing)))

    if any(report.durations):
        add("Clip durations", plot_durations("durations", "Histogram of clip durations", report.durations))
    for name, title in (("corpus", "Hours per corpus"), ("language", "Hours per language")):
        audio: Counter[str] = Counter()
        for split in report.splits:
            audio[getattr(split, name)] += split.audio_samples
        if audio:
            bars = [(label, samples, audio_length(samples / SAMPLE_RATE)) for label, samples in audio.most_common()]
            add(title, plot_bars(name, title, bars))
    if report.rejected:
        bars = [(kind, rows, f"{rows:,}") for kind, rows in report.most_rejected()]
        add("Rejected rows by reason", plot_bars("rejects", "Rejected rows by reason", bars))
    labelled = [count for count in report.labels if count.emotion or count.gender or count.age]
    languages = [(language, list(counts)) for language, counts in groupby(labelled, lambda count: count.language)]
    languages.sort(key=lambda item: -sum(count.rows for count in item[1]))
    for number, (language, counts) in enumerate(languages[:_LABEL_LANGUAGES]):
        rows = sum(count.rows for count in report.labels if count.language == language)
        unlabelled = rows - sum(count.rows for count in counts)
        add(
            f"Emotion by gender and age: {language}",
            plot_labels(f"labels-{number}", "Rows by emotion, gender and age", counts),
            f"{unlabelled:,} rows without any of these labels are not shown." if unlabelled else "",
        )
    return plots
