"""ESD: the same sentences said in five emotions, English and Chinese, 16 kHz."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from data_pipeline.corpora.files import CorpusError, CorpusFiles, top_directory
from data_pipeline.corpora.reader import CorpusCard
from data_pipeline.corpora.rows import bad_row, with_unique_ids
from data_pipeline.records import AudioReference, Emotion, Reject, RejectedRow, Utterance

LABELS: dict[str, Emotion] = {
    "Angry": "angry",
    "Happy": "happy",
    "Neutral": "neutral",
    "Sad": "sad",
    "Surprise": "surprised",
}
_CHINESE_LABELS = {"生气": "Angry", "快乐": "Happy", "中立": "Neutral", "伤心": "Sad", "惊喜": "Surprise"}
_MALE = frozenset({4, 5, 6, 8, 10, 11, 12, 13, 14, 20})
_FIRST_ENGLISH = 11
_SPEAKER = re.compile(r"00(?:0[1-9]|1\d|20)")
_SPLITS = ("train", "evaluation", "test")


@dataclass(frozen=True, kw_only=True, slots=True)
class Esd:
    """Layout, below ``root`` or its directory ``ESD`` or ``Emotion Speech Dataset``::

        0011/0011.txt                               id, text and emotion, separated by tabs
        0011/Surprise/evaluation/0011_001401.wav    or without train, evaluation and test: the split is ``all`` then

    Speakers to 0010 speak Chinese, the others English. The directory gives the emotion; a clip with another one in the
    table is rejected. A clip without a line in the table has no text.
    """

    name: ClassVar[str] = "esd"
    card: ClassVar[CorpusCard] = CorpusCard(
        title="ESD",
        homepage="https://github.com/HLTSingapore/Emotional-Speech-Data",
        licence="For research only",
        consent="Twenty speakers, recorded for this corpus. Terms of consent: not stated.",
        languages=("en", "zh"),
    )
    languages: tuple[str, ...] = ("en", "zh")

    def parts(self, files: CorpusFiles) -> list[str]:
        """One part a speaker."""
        top = top_directory(files, "ESD", "Emotion Speech Dataset")
        names = [name for name in files.names(top.rstrip("/")) if _SPEAKER.fullmatch(name)]
        if not names:
            raise CorpusError(f"{files.root}: expected directories of ESD: the speakers 0001 to 0020")
        if unknown := set(self.languages) - set(self.card.languages):
            raise CorpusError(f"{self.name}: no language {', '.join(sorted(unknown))}; there: en, zh")
        return [f"{top}{name}" for name in names if _language(name) in self.languages]

    @with_unique_ids
    def read(self, files: CorpusFiles, part: str) -> Iterator[Utterance | Reject]:
        speaker = part.rpartition("/")[2]
        lines, rejects = _table(files, f"{part}/{speaker}.txt", _language(speaker))
        yield from rejects
        missing = dict(lines)
        for label, split, path in _clips(files, part):
            id = path.rpartition("/")[2].removesuffix(".wav")
            text, stated = lines.get(id, ("", ""))
            label = _label(label) or label
            missing.pop(id, None)
            if label not in LABELS:
                yield bad_row(id, f"unknown emotion: {label!r}, expected one of {', '.join(LABELS)}")
            elif stated and stated != label:
                yield bad_row(id, f"contradictory emotion: {stated!r} in the table, {label!r} by the directory")
            else:
                yield Utterance(
                    id=id,
                    corpus=self.name,
                    split=split,
                    language=_language(speaker),
                    audio=AudioReference(path=path),
                    text=text,
                    sample_rate=16_000,
                    speaker=speaker,
                    gender="male" if int(speaker) in _MALE else "female",
                    emotion=LABELS[label],
                    original_emotion=label,
                )
        for id in missing:
            yield bad_row(id, f"missing file: expected {id}.wav below {part}")


def _language(speaker: str) -> str:
    return "en" if int(speaker) >= _FIRST_ENGLISH else "zh"


def _clips(files: CorpusFiles, part: str) -> Iterator[tuple[str, str, str]]:
    """Emotion, split and path of every clip of a speaker."""
    for label in files.names(part):
        names = files.names(f"{part}/{label}")
        for name in names:
            if name.endswith(".wav") and not name.startswith("."):
                yield label, "all", f"{part}/{label}/{name}"
        for split in (name for name in _SPLITS if name in names):
            for name in files.names(f"{part}/{label}/{split}"):
                if name.endswith(".wav") and not name.startswith("."):
                    yield label, split, f"{part}/{label}/{split}/{name}"


def _table(files: CorpusFiles, path: str, language: str) -> tuple[dict[str, tuple[str, str]], list[Reject]]:
    """Id → text and emotion (empty where the table names none), and the lines that cannot be read."""
    lines: dict[str, tuple[str, str]] = {}
    rejects: list[Reject] = []
    if not files.exists(path):
        return lines, rejects
    for number, line in enumerate(_lines(files.read(path), language), 1):
        try:
            if line.strip():
                id, text, label = _fields(line)
                if id in lines:
                    raise RejectedRow(f"duplicate id: {id} is in an earlier line of {path}")
                lines[id] = (text, label)
        except RejectedRow as error:
            rejects.append(bad_row(f"{path}:{number}", error))
    return lines, rejects


def _lines(data: bytes, language: str) -> list[str]:
    """The tables are in UTF-16, UTF-8, or an encoding of their language."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace").splitlines()
    if data[1:2] == b"\0":  # the first character is a digit
        return data.decode("utf-16-le", errors="replace").splitlines()
    return [_line(line, language) for line in data.removeprefix(codecs.BOM_UTF8).splitlines()]


def _line(line: bytes, language: str) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("gb18030" if language == "zh" else "cp1252", errors="replace")


def _fields(line: str) -> tuple[str, str, str]:
    """Id, text and emotion of a line. Most are separated by tabs, a few by spaces."""
    if "\ufffd" in line:
        raise RejectedRow(f"bad encoding: {line!r}")
    fields = [field.strip() for field in line.strip().split("\t") if field.strip()]
    if len(fields) == 1:
        fields = fields[0].split(maxsplit=1)
    if not re.fullmatch(r"\d{4}_\d+", fields[0]):
        raise RejectedRow(f"bad row: {line.strip()!r}, expected an id, a text and an emotion separated by tabs")
    id, *rest = fields
    if len(rest) == 1:  # the emotion is missing, or stands behind the text
        text, _, last = rest[0].rpartition(" ")
        rest = [text.strip(), last] if _label(last) else [rest[0], ""]
    return (id, rest[0], _label(rest[-1])) if rest else (id, "", "")


def _label(text: str) -> str:
    """The label in English, also of one in Chinese or in other case; empty where ``text`` is none."""
    return _CHINESE_LABELS.get(text, text.capitalize() if text.capitalize() in LABELS else "")
