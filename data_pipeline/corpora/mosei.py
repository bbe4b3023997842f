"""CMU-MOSEI: opinions spoken in English videos, with the intensities of six emotions, as segments of long files."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from data_pipeline.corpora.files import CorpusError, CorpusFiles
from data_pipeline.corpora.mosei_labels import LABELS, SegmentLabels, read_labels
from data_pipeline.corpora.reader import CorpusCard
from data_pipeline.corpora.rows import bad_row
from data_pipeline.records import AudioReference, Reject, RejectedRow, Utterance

_AUDIO = "Raw/Audio/Full/WAV_16000"
_TEXT = "Raw/Transcript/Segmented/Combined"
_ENCODINGS = ("utf-8-sig", "cp1252", "latin-1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Mosei:
    """Layout::

        Raw/Audio/Full/WAV_16000/-3g5yACwYnA.wav
        Raw/Transcript/Segmented/Combined/-3g5yACwYnA.txt     -3g5yACwYnA___0___82.753___100.555___Key is part of …
        labels.csv                                            video_id, clip_id, sentiment, happy, sad, …

    ``labels`` is the path of the table of labels; :func:`~data_pipeline.corpora.mosei_labels.read_labels` says which
    layouts it may have, and where it is found without this setting. A segment has the emotion with the highest score;
    where no score is above 0, or several are equally high, it is rejected. A start before 0 means 0. The split is that
    of the table, or ``all``.
    """

    name: ClassVar[str] = "mosei"
    card: ClassVar[CorpusCard] = CorpusCard(
        title="CMU-MOSEI",
        homepage="http://multicomp.cs.cmu.edu/resources/cmu-mosei-dataset/",
        licence="not stated",
        consent="Speakers who published videos on YouTube. Consent to this use: not stated.",
        languages=("en",),
    )
    labels: str = ""

    def parts(self, files: CorpusFiles) -> list[str]:
        """One part for all videos whose names begin with the same character."""
        videos = _stems(files, _TEXT, ".txt")
        if not videos:
            raise CorpusError(f"{files.root}: expected transcripts of CMU-MOSEI: {_TEXT}/<video>.txt")
        labels = read_labels(files, self.labels)
        return sorted({video[0] for video in videos | _stems(files, _AUDIO, ".wav") | labels.videos() if video})

    def read(self, files: CorpusFiles, part: str) -> Iterator[Utterance | Reject]:
        labels = read_labels(files, self.labels)
        recorded = {video for video in _stems(files, _AUDIO, ".wav") if video.startswith(part)}
        written = {video for video in _stems(files, _TEXT, ".txt") if video.startswith(part)}
        for video in sorted(recorded | written | {video for video in labels.videos() if video.startswith(part)}):
            if video in written:
                yield from self._segments(files, video, labels, video in recorded)
            elif video in recorded:
                yield bad_row(video, f"no transcript: expected {_TEXT}/{video}.txt")
            for id in labels.remaining(video):
                yield bad_row(id, f"missing segment: the label has none in {_TEXT}/{video}.txt")

    def _segments(
        self, files: CorpusFiles, video: str, labels: SegmentLabels, recorded: bool
    ) -> Iterator[Utterance | Reject]:
        path = f"{_AUDIO}/{video}.wav"
        clips: set[int] = set()
        for number, line in enumerate(files.text(f"{_TEXT}/{video}.txt", _ENCODINGS).split("\n"), 1):
            if not line.strip():
                continue
            id = f"{video}:{number}"
            try:
                clip, start, end, text = _fields(line.strip(), video)
                id = f"{video}_{clip}"
                if clip in clips:
                    raise RejectedRow(f"duplicate id: {id} is in an earlier line of {_TEXT}/{video}.txt")
                clips.add(clip)
                label = labels.take(video, clip, start, end)
                if not recorded:
                    raise RejectedRow(f"missing file: {path}")
                first = max(start, 0.0)
                if end <= first:
                    raise RejectedRow(f"bad times: from {start} s to {end} s, expected the end after the start")
                if label is None:
                    raise RejectedRow(f"no label: the table has none for {video} {clip}")
                emotion = label.emotion()
            except RejectedRow as error:
                yield bad_row(id, error)
                continue
            yield Utterance(
                id=id,
                corpus=self.name,
                split=label.split or "all",
                language="en",
                audio=AudioReference(path=path, start=first, length=round(end - first, 6)),
                text=text,
                sample_rate=16_000,
                duration=round(end - first, 6),
                speaker=video,
                emotion=LABELS[emotion],
                original_emotion=emotion,
            )


def _stems(files: CorpusFiles, directory: str, extension: str) -> set[str]:
    names = (name for name in files.names(directory) if name.endswith(extension) and not name.startswith("."))
    return {name.removesuffix(extension) for name in names}


def _fields(line: str, video: str) -> tuple[int, float, float, str]:
    """Clip, start, end and text. Names of videos, and texts, may themselves hold underscores."""
    fields = line.removeprefix(f"{video}___").split("___", 3)
    try:
        if not line.startswith(f"{video}___") or len(fields) < 3 or not re.fullmatch(r"\d{1,9}", fields[0]):
            raise ValueError(line)
        start, end = float(fields[1]), float(fields[2])
        if not (math.isfinite(start) and math.isfinite(end)):
            raise ValueError(line)
    except ValueError:
        expected = f"{video}___clip___start___end___text"
        raise RejectedRow(f"bad row: {line[:80]!r}, expected {expected}") from None
    return int(fields[0]), start, end, fields[3].strip() if len(fields) > 3 else ""
