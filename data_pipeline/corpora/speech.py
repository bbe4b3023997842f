"""Sentences that the embedded voices speak, as ``ray_jobs.build_speech`` publishes them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

from data_pipeline.corpora.fields import required_text, text_field
from data_pipeline.corpora.files import CorpusError, CorpusFiles, Listing
from data_pipeline.corpora.reader import CorpusCard
from data_pipeline.corpora.rows import bad_row, with_unique_ids
from data_pipeline.corpora.tables import json_rows
from data_pipeline.records import EMOTIONS, AudioReference, Emotion, Reject, RejectedRow, Utterance
from data_pipeline.synthesis.speakers.embedded import EMBEDDED_VOICES
from opens2s_core.training.voice.corpus import MANIFEST


@dataclass(frozen=True, kw_only=True, slots=True)
class Speech:
    """Layout::

        manifest.jsonl      {"id", "file", "text", "voice", "emotion", "split", "samples", "rate"}
        audio/utterance-000000.flac

    Rows of other splits are neither entries nor rejected rows. Gender and age are those of the embedded voice.
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
                emotion, speaker = text_field(row, "emotion"), text_field(row, "voice")
                if emotion not in EMOTIONS:
                    raise RejectedRow(f"unknown emotion: {emotion!r:.100}, expected one of {', '.join(EMOTIONS)}")
                voice = EMBEDDED_VOICES.get(speaker)
                yield Utterance(
                    id=row_id,
                    corpus=self.name,
                    split=split,
                    language="en",
                    audio=AudioReference(path=path),
                    text=required_text(row, "text", "text"),
                    speaker=speaker,
                    gender=voice.gender if voice else "",
                    age=voice.age if voice else "",
                    emotion=cast(Emotion, emotion),
                    original_emotion=emotion,
                )
            except RejectedRow as error:
                yield bad_row(row_id, error)
