"""WenetSpeech: Mandarin podcasts and YouTube, long recordings in Opus, 16 kHz."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from data_pipeline.corpora.fields import required_number, required_text
from data_pipeline.corpora.files import CorpusFiles
from data_pipeline.corpora.long_form import Segment, check_subset, find_table, read_segments
from data_pipeline.corpora.reader import CorpusCard
from data_pipeline.records import Reject, RejectedRow, Utterance

_SUBSETS = ("S", "M", "L", "W", "DEV", "TEST_NET", "TEST_MEETING")


@dataclass(frozen=True, kw_only=True, slots=True)
class WenetSpeech:
    """Layout, below ``root`` or its directory ``WenetSpeech``::

        WenetSpeech.json    {"audios": [{"aid", "path", "segments": [{"sid", "confidence", "begin_time", "end_time",
                            "text", "subsets": ["M"]}]}]}
        audio/train/youtube/B00000/Y0000000000.opus

    An utterance is a segment of a recording. ``min_confidence`` is the least agreement of text and audio, 0 to 1.
    """

    name: ClassVar[str] = "wenetspeech"
    card: ClassVar[CorpusCard] = CorpusCard(
        title="WenetSpeech",
        homepage="https://wenet.org.cn/WenetSpeech",
        licence="CC BY 4.0, for non-commercial purposes. The copyright of the audio remains with its owners.",
        consent="Not stated. The audio was collected from YouTube and podcasts.",
        languages=("zh",),
    )
    subset: str = "M"
    min_confidence: float = 0.95  # that text and audio agree, 0 to 1

    def __post_init__(self) -> None:
        check_subset(self.subset, _SUBSETS)

    def parts(self, files: CorpusFiles) -> list[str]:
        """One part: the table is a single JSON value, which cannot be read from the middle."""
        return [find_table(files, "WenetSpeech")]

    def read(self, files: CorpusFiles, part: str) -> Iterator[Utterance | Reject]:
        return read_segments(files, part, self.subset, self._utterance)

    def _utterance(self, segment: Segment) -> Utterance:
        confidence = required_number(segment.row, "confidence", "confidence")
        if confidence < self.min_confidence:
            raise RejectedRow(f"low confidence: {confidence}, expected at least {self.min_confidence}")
        return Utterance(
            id=segment.id,
            corpus=self.name,
            split=self.subset,
            language="zh",
            audio=segment.audio,
            text=required_text(segment.row, "text", "text"),
            sample_rate=16_000,
            duration=segment.duration,
        )
