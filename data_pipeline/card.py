"""The data card of a data set: its sources, contents, labels, rejected rows and limits."""

from collections import Counter
from collections.abc import Iterable, Mapping

from data_pipeline.corpora.reader import CorpusCard
from data_pipeline.quantities import audio_length, share
from data_pipeline.records import EMOTIONS
from data_pipeline.report import Report
from opens2s_core.audio import SAMPLE_RATE

_LIMITS = """\
## Use and limits

- The licence and the consent of each source apply to the rows made from it; all of them apply to the data set as a
  whole.
- Emotion, gender and age are labels of the corpora, mapped to one set of names. They are what annotators perceived or
  actors played, not what a person felt. Unknown labels are empty.
- Continuations, speech units and speaker vectors that no corpus supplies were made by models, and have their errors.
- The shares of languages, genders, ages and emotions are those counted here, not those of any population.
- The data are meant to train and study speech models. They are not meant to identify speakers, or to judge people by
  their voices.

## Citation

Cite every source as its homepage asks for, and name this data set by its title and fingerprint."""


def render_card(title: str, report: Report, cards: Mapping[str, CorpusCard], *, recipe: str, fingerprint: str) -> str:
    """The card as Markdown. The same arguments give the same text.

    ``cards`` are those of the corpora that were read, by name. Raises ``ValueError`` where one in ``report`` has none.
    """
    if missing := sorted({split.corpus for split in report.splits} - set(cards)):
        raise ValueError(f"no card for corpus {', '.join(missing)}: expected one for each corpus of the report")
    languages = sorted({split.language for split in report.splits})
    sections = [
        f"# {_escaped(title)}",
        f"{report.rows_out:,} rows with {audio_length(report.audio_seconds)} of speech"
        + (f" in {_listed(languages)}" if languages else "")
        + ", prepared for training end-to-end speech-to-speech models.",
        "## Recipe",
        f"- Recipe: {_code(recipe)}\n- Fingerprint: {_code(fingerprint)}",
        "## Sources",
        *(_source(name, cards[name], report) for name in sorted(cards)),
        *_contents(report),
        *_labels(report, languages),
        "## Rejected rows",
        *_rejects(report),
        _LIMITS,
    ]
    return "\n\n".join(sections) + "\n"


def _source(name: str, card: CorpusCard, report: Report) -> str:
    splits = [split for split in report.splits if split.corpus == name]
    seconds = sum(split.audio_samples for split in splits) / SAMPLE_RATE
    return "\n".join(
        [
            f"### {_escaped(card.title)}\n",
            f"- Homepage: {_link(card.homepage)}",
            f"- Licence: {_escaped(card.licence)}",
            f"- Consent: {_escaped(card.consent)}",
            f"- Languages: {_listed(card.languages)}",
            f"- Used here: {sum(split.rows for split in splits):,} rows, {audio_length(seconds)}",
        ]
    )


def _contents(report: Report) -> list[str]:
    rows = [
        (split.corpus, split.language, split.split, f"{split.rows:,}", audio_length(split.audio_samples / SAMPLE_RATE))
        for split in report.splits
    ]
    sections = ["## Contents", _table(("Corpus", "Language", "Split", "Rows", "Audio"), rows, numbers=2)]
    if report.samples:
        totals = [
            ("Training samples", f"{report.samples:,}"),
            ("LLM positions", f"{report.positions:,}"),
            ("Text labels", f"{report.text_labels:,}"),
            ("Unit labels", f"{report.unit_labels:,}"),
        ]
        sections.append(_table(("In all", "Count"), totals, numbers=1))
    return sections


def _labels(report: Report, languages: list[str]) -> list[str]:
    if not any(count.emotion or count.gender or count.age for count in report.labels):
        return []
    counts: Counter[tuple[str, str, str]] = Counter()
    for count in report.labels:
        for kind, label in (("Emotion", count.emotion), ("Gender", count.gender), ("Age", count.age)):
            counts[kind, label, count.language] += count.rows
    known = {
        "Emotion": (*EMOTIONS, ""),
        "Gender": ("female", "male", ""),
        "Age": ("child", "young", "adult", "elderly", ""),
    }
    rows = [
        (kind, label or "unknown", *(f"{counts[kind, label, language]:,}" for language in languages))
        for kind, labels in known.items()
        for label in labels
        if any(counts[kind, label, language] for language in languages)
    ]
    return ["## Labels", _table(("Label", "Value", *languages), rows, numbers=len(languages))]


def _rejects(report: Report) -> list[str]:
    rejected = sum(report.rejected.values())
    if not rejected:
        return [f"None of {report.rows_in:,} rows was rejected."]
    rows = [(kind, f"{count:,}", share(count, report.rows_in)) for kind, count in report.most_rejected()]
    return [
        f"{rejected:,} of {report.rows_in:,} rows ({share(rejected, report.rows_in)}) were rejected, "
        "each with its reason.",
        _table(("Step and reason", "Rows", "Share"), rows, numbers=2),
    ]


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, numbers: int) -> str:
    """The last ``numbers`` columns are aligned to the right."""
    rules = ["---"] * (len(header) - numbers) + ["---:"] * numbers
    lines = [header, *rows]
    cells = [[_escaped(cell) for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in (cells[0], rules, *cells[1:]))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(_escaped, names))


def _link(address: str) -> str:
    return f"<{address}>" if address.startswith(("https://", "http://")) else _escaped(address) or "none"


def _code(text: str) -> str:
    return f"`{' '.join(text.split()).replace('`', '')}`"


def _escaped(text: str) -> str:
    """One line without markup, whatever is in it."""
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for mark in "\\`*_[]|#~":
        line = line.replace(mark, f"\\{mark}")
    return line
