"""Spoken sentences of this project, as ``ray_jobs.build_speech`` publishes them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from data_pipeline.corpora.fields import required_text, text_field
from data_pipeline.corpora.files import CorpusError, CorpusFiles, Listing
from data_pipeline.corpora.reader import CorpusCard
from data_pipeline.corpora.rows import bad_row, with_unique_ids
from data_pipeline.corpora.tables import json_rows
from data_pipeline.records import AudioReference, Emotion, Gender, Reject, RejectedRow, Utterance
from opens2s_core.training.voice.corpus import MANIFEST

_EMOTIONS: dict[str, Emotion] = {
    "neutral": "neutral",
    "happy": "happy",
    "sad": "sad",
    "angry": "angry",
    "afraid": "fearful",
    "surprised": "surprised",
}
_GENDERS: dict[str, Gender] = {"f": "female", "m": "male"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Speech:
    """Layout::

        manifest.jsonl      {"id", "file", "text", "voice", "feeling", "split", "samples", "rate"}
        audio/utterance-000000.flac

    Rows of other splits are neither entries nor rejected rows.
    """

    name: ClassVar[str] = "speech"
    card: ClassVar[CorpusCard] = CorpusCard(
        title="Spoken sentences",
        homepage="not stated",
        licence="not stated",
        consent="No person was recorded: a program made the sentences, and synthesizers speak them. "
        "Consent of the speakers whose voices they have: not stated.",
        languages=("en",),
    )
    split: Literal["train", "held_out"] = "train"

    def parts(self, files: CorpusFiles) -> list[str]:
        if MANIFEST not in files.names():
            raise CorpusError(f"{files.root}: expected {MANIFEST}")
        return [MANIFEST]

    @with_unique_ids
    def read(self, files: CorpusFiles, part: str) -> Iterator[Utterance | Reject]:
        listing = Listing(files)
        for number, row in json_rows(files, part):
            row_id = f"{part}:{number}"
            try:
                if isinstance(row, RejectedRow):
                    raise row
                row_id = required_text(row, "id", "id")
                split = required_text(row, "split", "split")
                if split != self.split:
                    continue
                path = files.relative(required_text(row, "file", "file"))
                listing.find(path)
                feeling, voice = text_field(row, "feeling"), text_field(row, "voice")
                if feeling not in _EMOTIONS:
                    raise RejectedRow(f"unknown emotion: {feeling!r:.100}, expected one of {', '.join(_EMOTIONS)}")
                yield Utterance(
                    id=row_id,
                    corpus=self.name,
                    split=split,
                    language="en",
                    audio=AudioReference(path=path),
                    text=required_text(row, "text", "text"),
                    speaker=voice,
                    gender=_gender_of(voice),
                    emotion=_EMOTIONS[feeling],
                    original_emotion=feeling,
                )
            except RejectedRow as error:
                yield bad_row(row_id, error)


def _gender_of(voice: str) -> Gender:
    """Of a voice such as ``en-us+f3``. Variants with the name of a person do not say it."""
    match = re.fullmatch(r"[^+]+\+([fm])\d+", voice)
    return _GENDERS[match[1]] if match else ""
