"""IEMOCAP: acted dialogues in English with emotion labels, 16 kHz."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from data_pipeline.corpora.files import CorpusError, CorpusFiles, check_splits, top_directory
from data_pipeline.corpora.reader import CorpusCard
from data_pipeline.corpora.rows import bad_row, with_unique_ids
from data_pipeline.records import AudioReference, Emotion, Gender, Reject, Utterance

LABELS: dict[str, Emotion] = {
    "ang": "angry",
    "hap": "happy",
    "exc": "happy",  # excited: commonly merged with happy
    "sad": "sad",
    "neu": "neutral",
    "fru": "frustrated",
    "fea": "fearful",
    "sur": "surprised",
    "dis": "disgusted",
    "oth": "other",
    "xxx": "",  # the annotators disagree
}
_SESSIONS = ("Session1", "Session2", "Session3", "Session4", "Session5")
_GENDERS: dict[str, Gender] = {"F": "female", "M": "male"}
_EVALUATION = re.compile(r"\[\s*(\d+\.?\d*)\s*-\s*(\d+\.?\d*)\s*\]\s+(\S+)\s+(\S+)(?:\s+\[.*\])?\s*")
_TRANSCRIPT = re.compile(r"(\S+)\s+\[[^\]]*\]:?\s*(.*)")
_MARK = re.compile(r"\[[^\]]*\]")  # [LAUGHTER], [BREATHING], [GARBAGE] and others: no words
_ENCODINGS = ("utf-8-sig", "cp1252", "latin-1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Iemocap:
    """Layout, below ``root`` or its directory ``IEMOCAP_full_release``::

        Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav
        Session1/dialog/EmoEvaluation/Ses01F_impro01.txt      [6.29 - 8.23]  Ses01F_impro01_F000  neu  [2.5, 2.5, 2.5]
        Session1/dialog/transcriptions/Ses01F_impro01.txt     Ses01F_impro01_F000 [006.29-008.23]: Excuse me.

    A session is a split: each has two speakers of its own, so that a session makes a fold. Speaker and gender are those
    of the utterance (``_F000``, ``_M000``), not of the dialogue (``Ses01F``). Marks in brackets, such as
    ``[LAUGHTER]``, are no part of a text. Without a transcript, and where it has marks alone, the text is empty.
    """

    name: ClassVar[str] = "iemocap"
    card: ClassVar[CorpusCard] = CorpusCard(
        title="IEMOCAP",
        homepage="https://sail.usc.edu/iemocap/",
        licence="Data release form of the University of Southern California, to be signed by each user",
        consent="Ten actors, recorded for this corpus. Terms of consent: not stated.",
        languages=("en",),
    )
    splits: tuple[str, ...] = _SESSIONS

    def parts(self, files: CorpusFiles) -> list[str]:
        """One part a dialogue."""
        top = top_directory(files, "IEMOCAP_full_release")
        there = [name for name in files.names(top.rstrip("/")) if _dialogs(files, f"{top}{name}")]
        check_splits(files, self.splits, there, _SESSIONS)
        found = [f"{top}{split}/{dialog}" for split in self.splits for dialog in _dialogs(files, f"{top}{split}")]
        if not found:
            raise CorpusError(
                f"{files.root}: expected directories of IEMOCAP, one of {', '.join(self.splits)}, "
                "with dialog/EmoEvaluation and sentences/wav"
            )
        return found

    @with_unique_ids
    def read(self, files: CorpusFiles, part: str) -> Iterator[Utterance | Reject]:
        session, _, dialog = part.rpartition("/")
        wavs = f"{session}/sentences/wav/{dialog}"
        unlabelled = {name.removesuffix(".wav") for name in files.names(wavs) if _is_clip(name)}
        there = frozenset(unlabelled)
        texts = _texts(files, f"{session}/dialog/transcriptions/{dialog}.txt")
        for number, line in _evaluations(files, f"{session}/dialog/EmoEvaluation/{dialog}.txt"):
            match = _EVALUATION.fullmatch(line)
            if match is None:
                expected = "[start - end] id code [valence, activation, dominance]"
                yield bad_row(f"{dialog}:{number}", f"bad row: {line!r}, expected {expected}")
                continue
            start, end, id, code = float(match[1]), float(match[2]), match[3], match[4]
            unlabelled.discard(id)
            gender = _GENDERS.get(id.rpartition("_")[2][:1])
            if gender is None:
                yield bad_row(id, f"bad id: {id!r}, expected one that ends with _F or _M and a number")
            elif code not in LABELS:
                yield bad_row(id, f"unknown emotion: {code!r}, expected one of {', '.join(LABELS)}")
            elif id not in there:
                yield bad_row(id, f"missing file: {wavs}/{id}.wav")
            elif not start < end < math.inf:
                yield bad_row(id, f"bad times: from {start} s to {end} s, expected the end after the start")
            else:
                yield Utterance(
                    id=id,
                    corpus=self.name,
                    split=session.rpartition("/")[2],
                    language="en",
                    audio=AudioReference(path=f"{wavs}/{id}.wav"),
                    text=texts.get(id, ""),
                    sample_rate=16_000,
                    duration=round(end - start, 4),
                    speaker=f"{id[:5]}{id.rpartition('_')[2][0]}",
                    gender=gender,
                    emotion=LABELS[code],
                    original_emotion=code,
                )
        for id in sorted(unlabelled):
            yield bad_row(id, f"no label: {wavs}/{id}.wav has none in dialog/EmoEvaluation/{dialog}.txt")


def _is_clip(name: str) -> bool:
    return name.endswith(".wav") and not name.startswith(".")  # the release has "._" files of macOS


def _dialogs(files: CorpusFiles, session: str) -> list[str]:
    labelled = {name.removesuffix(".txt") for name in files.names(f"{session}/dialog/EmoEvaluation")}
    recorded = set(files.names(f"{session}/sentences/wav"))
    return sorted(name for name in labelled | recorded if name.startswith("Ses"))


def _evaluations(files: CorpusFiles, path: str) -> list[tuple[int, str]]:
    """The lines that sum up an utterance; the votes of single annotators and the header start otherwise."""
    if not files.exists(path):
        return []
    lines = enumerate(files.text(path, _ENCODINGS).splitlines(), 1)
    return [(number, line.strip()) for number, line in lines if line.startswith("[")]


def _texts(files: CorpusFiles, path: str) -> dict[str, str]:
    if not files.exists(path):
        return {}
    matches = (_TRANSCRIPT.fullmatch(line.strip()) for line in files.text(path, _ENCODINGS).splitlines())
    return {match[1]: " ".join(_MARK.sub(" ", match[2]).split()) for match in matches if match}
