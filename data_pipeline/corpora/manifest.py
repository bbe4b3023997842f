"""Manifests of utterances in JSON Lines, for speech recognition and emotion recognition."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from data_pipeline.corpora.audio_strings import parse_audio
from data_pipeline.corpora.fields import required_text, text_field
from data_pipeline.corpora.files import CorpusError, CorpusFiles, Listing
from data_pipeline.corpora.reader import CorpusCard
from data_pipeline.corpora.rows import bad_row
from data_pipeline.corpora.tables import json_rows
from data_pipeline.records import EMOTIONS, Emotion, Reject, RejectedRow, Utterance

EMOTION_NAMES: dict[str, Emotion] = {
    "neutral": "neutral",
    "neu": "neutral",
    "happy": "happy",
    "happiness": "happy",
    "joy": "happy",
    "hap": "happy",
    "excited": "happy",
    "exc": "happy",
    "sad": "sad",
    "sadness": "sad",
    "angry": "angry",
    "anger": "angry",
    "ang": "angry",
    "surprised": "surprised",
    "surprise": "surprised",
    "sur": "surprised",
    "fearful": "fearful",
    "fear": "fearful",
    "fea": "fearful",
    "disgusted": "disgusted",
    "disgust": "disgusted",
    "dis": "disgusted",
    "contemptuous": "contemptuous",
    "contempt": "contemptuous",
    "frustrated": "frustrated",
    "frustration": "frustrated",
    "fru": "frustrated",
    "other": "other",
    "oth": "other",
}
"""What corpora call an emotion, and what it is called here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """Layout::

        train.jsonl     {"audio": "clips/a.wav", "text": "Hello.", "label": "happy"}
        clips/a.wav

    A row has ``text``, ``label`` or both. ``audio`` is a string of
    :func:`~data_pipeline.corpora.audio_strings.parse_audio`; paths are relative to ``root``, or absolute and below it.
    ``label`` is an emotion; some manifests call it ``emotion``. The name of the file is the split.
    """

    name: ClassVar[str] = "manifest"
    card: ClassVar[CorpusCard] = CorpusCard(
        title="Manifest",
        homepage="not stated",
        licence="not stated",
        consent="not stated",
        languages=("not stated",),
    )
    language: str = "en"  # of all rows, ISO 639-1

    def parts(self, files: CorpusFiles) -> list[str]:
        """One part a manifest."""
        found = [name for name in files.names() if name.endswith(".jsonl")]
        if not found:
            raise CorpusError(f"{files.root}: expected manifests *.jsonl")
        return found

    def read(self, files: CorpusFiles, part: str) -> Iterator[Utterance | Reject]:
        listing = Listing(files)
        split = part.removesuffix(".jsonl")
        for number, row in json_rows(files, part):
            row_id = f"{split}:{number}"
            try:
                if isinstance(row, RejectedRow):
                    raise row
                audio = parse_audio(files.relative(required_text(row, "audio", "audio")))
                listing.find(audio.path)
                text = text_field(row, "text")
                label = text_field(row, "label") or text_field(row, "emotion")
                if not text and not label:
                    raise RejectedRow("no text: neither text nor label, expected at least one")
                yield Utterance(
                    id=row_id,
                    corpus=self.name,
                    split=split,
                    language=self.language,
                    audio=audio,
                    text=text,
                    emotion=_emotion(label) if label else "",
                    original_emotion=label,
                )
            except RejectedRow as error:
                yield bad_row(row_id, error)


def _emotion(label: str) -> Emotion:
    emotion = EMOTION_NAMES.get(label.casefold())
    if emotion is None:
        raise RejectedRow(f"unknown emotion: {label!r:.100}, expected an emotion such as {', '.join(EMOTIONS)}")
    return emotion
