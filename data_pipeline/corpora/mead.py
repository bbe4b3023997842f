"""MEAD: sentences that actors say in eight emotions and three intensities, English, without transcripts."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from data_pipeline.corpora.files import CorpusError, CorpusFiles, top_directory
from data_pipeline.corpora.reader import CorpusCard
from data_pipeline.corpora.rows import bad_row
from data_pipeline.records import AudioReference, Emotion, Gender, Reject, Utterance

LABELS: dict[str, Emotion] = {
    "angry": "angry",
    "contempt": "contemptuous",
    "disgusted": "disgusted",
    "fear": "fearful",
    "happy": "happy",
    "neutral": "neutral",
    "sad": "sad",
    "surprised": "surprised",
}
_GENDERS: dict[str, Gender] = {"W": "female", "M": "male"}
_SPEAKER = re.compile(r"[MW]\d+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Mead:
    """Layout, below ``root`` or its directory ``MEAD``::

        M003/audio/angry/level_1/001.m4a        stereo, 44.1 or 48 kHz

    Speakers are ``M003`` (male) or ``W009`` (female). The corpus has no texts and no splits: the text is empty, the
    split ``all``.
    """

    name: ClassVar[str] = "mead"
    card: ClassVar[CorpusCard] = CorpusCard(
        title="MEAD",
        homepage="https://wywu.github.io/projects/MEAD/MEAD.html",
        licence="not stated",
        consent="Actors, recorded for this corpus. Terms of consent: not stated.",
        languages=("en",),
    )

    def parts(self, files: CorpusFiles) -> list[str]:
        """One part a speaker."""
        top = top_directory(files, "MEAD")
        found = [
            f"{top}{name}"
            for name in files.names(top.rstrip("/"))
            if _SPEAKER.fullmatch(name) and files.names(f"{top}{name}/audio")
        ]
        if not found:
            raise CorpusError(f"{files.root}: expected directories of MEAD: M003/audio/angry/level_1")
        return found

    def read(self, files: CorpusFiles, part: str) -> Iterator[Utterance | Reject]:
        speaker = part.rpartition("/")[2]
        for label in files.names(f"{part}/audio"):
            for level in files.names(f"{part}/audio/{label}"):
                directory = f"{part}/audio/{label}/{level}"
                for name in files.names(directory):
                    if not name.endswith(".m4a") or name.startswith("."):
                        continue
                    id = f"{speaker}_{label}_{level}_{name.removesuffix('.m4a')}"
                    if label not in LABELS:
                        yield bad_row(id, f"unknown emotion: {label!r}, expected one of {', '.join(LABELS)}")
                        continue
                    yield Utterance(
                        id=id,
                        corpus=self.name,
                        split="all",
                        language="en",
                        audio=AudioReference(path=f"{directory}/{name}"),
                        speaker=speaker,
                        gender=_GENDERS[speaker[0]],
                        emotion=LABELS[label],
                        original_emotion=label,
                    )
