"""GigaSpeech: English audiobooks, podcasts and YouTube, long recordings in Opus."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from data_pipeline.corpora.fields import number_field, required_text, text_field
from data_pipeline.corpora.files import CorpusFiles
from data_pipeline.corpora.long_form import Segment, check_subset, find_table, read_segments
from data_pipeline.corpora.reader import CorpusCard
from data_pipeline.records import Reject, RejectedRow, Utterance

_PUNCTUATION = {"COMMA": ",", "PERIOD": ".", "QUESTIONMARK": "?", "EXCLAMATIONPOINT": "!"}
_NO_SPEECH = ("SIL", "MUSIC", "NOISE", "OTHER")
_SUBSETS = ("XS", "S", "M", "L", "XL", "DEV", "TEST")
_TAG = re.compile(r"\s*<([A-Z]+)>")


@dataclass(frozen=True, kw_only=True, slots=True)
class GigaSpeech:
    """Layout, below ``root`` or its directory ``GigaSpeech``::

        GigaSpeech.json     {"audios": [{"aid", "path", "segments": [{"sid", "begin_time", "end_time", "text_tn",
                            "subsets": ["{M}"]}]}]}
        audio/podcast/P0000/POD0000000001.opus

    An utterance is a segment of a recording. Texts are upper case, and get the punctuation that tags stand for.
    """

    name: ClassVar[str] = "gigaspeech"
    card: ClassVar[CorpusCard] = CorpusCard(
        title="GigaSpeech",
        homepage="https://github.com/SpeechColab/GigaSpeech",
        licence="Terms of access of SpeechColab: non-commercial research and education. The copyright of the audio "
        "remains with its owners.",
        consent="Not stated. The audio was collected from audiobooks, podcasts and YouTube.",
        languages=("en",),
    )
    subset: str = "M"  # also with the braces that the table writes around it

    def __post_init__(self) -> None:
        check_subset(self.subset.strip("{}"), _SUBSETS)

    def parts(self, files: CorpusFiles) -> list[str]:
        """One part: the table is a single JSON value, which cannot be read from the middle."""
        return [find_table(files, "GigaSpeech")]

    def read(self, files: CorpusFiles, part: str) -> Iterator[Utterance | Reject]:
        return read_segments(files, part, f"{{{self.subset.strip('{}')}}}", self._utterance)

    def _utterance(self, segment: Segment) -> Utterance:
        rate = number_field(segment.recording, "sample_rate")
        speaker = text_field(segment.row, "speaker")
        return Utterance(
            id=segment.id,
            corpus=self.name,
            split=self.subset.strip("{}"),
            language="en",
            audio=segment.audio,
            text=_punctuated(required_text(segment.row, "text_tn", "text")),
            sample_rate=None if rate is None else int(rate),
            duration=segment.duration,
            speaker="" if speaker == "N/A" else speaker,
        )


def _punctuated(text: str) -> str:
    return _TAG.sub(_mark, text).strip()


def _mark(match: re.Match[str]) -> str:
    tag = match[1]
    if tag in _NO_SPEECH:
        raise RejectedRow(f"no speech: the text has <{tag}>")
    if tag not in _PUNCTUATION:
        raise RejectedRow(f"unknown tag: the text has <{tag}>, expected one of {', '.join(_PUNCTUATION)}")
    return _PUNCTUATION[tag]
