"""The emotion labels of CMU-MOSEI as a table, in CSV or JSON."""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from data_pipeline.corpora.files import CorpusError, CorpusFiles
from data_pipeline.records import Emotion, RejectedRow

LABELS: dict[str, Emotion] = {
    "happy": "happy",
    "sad": "sad",
    "anger": "angry",
    "surprise": "surprised",
    "disgust": "disgusted",
    "fear": "fearful",
}
"""The six emotions in the order of the corpus's vectors, where the sentiment stands before them."""
_VIDEO_COLUMNS = ("video_id", "video", "vid", "file")
_CLIP_COLUMNS = ("clip_id", "clip", "segment", "index")
_PLACES = ("", "Raw/")
_KEY = re.compile(r"(?P<video>.+?)(?:___(?P<clip>\d+)|\[(?P<index>\d+)\])")
_CLIP = re.compile(r"\d{1,9}")
_TOLERANCE = 0.05  # seconds between the times of a segment in the transcripts and in the labels


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentLabel:
    """``scores`` of the six emotions, 0 to 3; or why they cannot be used."""

    scores: tuple[float, ...] = ()
    split: str = ""
    fault: str = ""

    def emotion(self) -> str:
        """The one emotion with the highest score. Raises :class:`RejectedRow` where no score is above 0, or two are
        equally high."""
        if self.fault:
            raise RejectedRow(self.fault)
        highest = max(self.scores)
        if highest <= 0:
            raise RejectedRow("no emotion: all six scores are 0")
        names = [name for name, score in zip(LABELS, self.scores, strict=True) if score == highest]
        if len(names) > 1:
            raise RejectedRow(f"tied emotions: {' and '.join(names)} all have {highest:g}")
        return names[0]


@dataclass(frozen=True, slots=True)
class SegmentLabels:
    """Labels by video and clip, or by video and times in seconds, as the table has them."""

    by_clip: dict[tuple[str, int], SegmentLabel] = field(default_factory=dict)
    by_times: dict[str, list[tuple[float, float, SegmentLabel]]] = field(default_factory=dict)

    def videos(self) -> set[str]:
        return {video for video, _ in self.by_clip} | set(self.by_times)

    def take(self, video: str, clip: int, start: float, end: float) -> SegmentLabel | None:
        """The label of a segment, which is removed: what remains at the end belongs to no segment."""
        if label := self.by_clip.pop((video, clip), None):
            return label
        timed = self.by_times.get(video, [])
        for place, (first, last, label) in enumerate(timed):
            if abs(first - start) <= _TOLERANCE and abs(last - end) <= _TOLERANCE:
                del timed[place]
                return label
        return None

    def remaining(self, video: str) -> list[str]:
        """Ids of the labels of a video that no segment has taken."""
        clips = sorted(clip for name, clip in self.by_clip if name == video)
        times = [f"{video}_{first:g}-{last:g}" for first, last, _ in self.by_times.get(video, [])]
        return [f"{video}_{clip}" for clip in clips] + times


def read_labels(files: CorpusFiles, path: str) -> SegmentLabels:
    """The table at ``path``. Where it is empty: the one ``*abels*.csv`` or ``.json`` in the root or in ``Raw``.

    - CSV: a header, then a row a segment, with a column for the video (``video_id``, ``video``, ``vid`` or ``file``),
      for the clip (``clip_id``, ``clip``, ``segment`` or ``index``), for each of the six emotions, and, optionally,
      ``split``.
    - JSON: a list of objects with these keys.
    - JSON: ``{"<video>___<clip>": [7 numbers]}`` or ``{"<video>[<clip>]": …}``: the sentiment, then the six emotions.
    - JSON: ``{"<video>": {"<clip>": [7 numbers]}}``.
    - JSON: ``{"<video>": {"intervals": [[start, end]], "features": [[7 numbers]]}}``, as in ``CMU_MOSEI_Labels.csd``.

    Raises :class:`CorpusError` for any other layout.
    """
    path = path or _find(files)
    text = files.text(path)
    if path.endswith(".csv"):
        try:
            rows = list(csv.DictReader(io.StringIO(text, newline="")))
        except csv.Error as error:
            raise CorpusError(f"{files.root}/{path}: expected a table in CSV: {error}") from error
        return _from_rows(rows, f"{files.root}/{path}")
    try:
        table = json.loads(text)
    except ValueError as error:
        raise CorpusError(f"{files.root}/{path}: expected a table in CSV or JSON: {error}") from error
    if isinstance(table, list):
        return _from_rows(table, f"{files.root}/{path}")
    if not isinstance(table, dict):
        raise CorpusError(f"{files.root}/{path}: expected a JSON list or object, got {type(table).__name__}")
    try:
        return _from_mapping(table)
    except (TypeError, ValueError) as error:
        raise CorpusError(f"{files.root}/{path}: expected labels as lists of 7 numbers: {error}") from error


def _find(files: CorpusFiles) -> str:
    found = [path for place in _PLACES for end in ("csv", "json") for path in files.glob(f"{place}*abels*.{end}")]
    if len(found) != 1:
        raise CorpusError(
            f"{files.root}: expected one table of labels, *Labels*.csv or *Labels*.json, found {found or 'none'}; "
            "name it in the setting 'labels'"
        )
    return found[0]


def _from_rows(rows: Sequence[Mapping[str, Any]], path: str) -> SegmentLabels:
    labels = SegmentLabels()
    names = set(rows[0]) if rows and isinstance(rows[0], Mapping) else set()
    video_column = next((name for name in _VIDEO_COLUMNS if name in names), None)
    clip_column = next((name for name in _CLIP_COLUMNS if name in names), None)
    if video_column is None or clip_column is None or not names.issuperset(LABELS):
        expected = f"one of {_VIDEO_COLUMNS}, one of {_CLIP_COLUMNS}, and {tuple(LABELS)}"
        raise CorpusError(f"{path}: expected the columns {expected}; found {sorted(map(str, names))}")
    for number, row in enumerate(rows, 1):
        clip = str(row.get(clip_column))
        if not _CLIP.fullmatch(clip):
            raise CorpusError(f"{path}: row {number} has the clip {clip!r:.100}, expected a whole number")
        split = str(row.get("split") or "")
        _add(labels, str(row.get(video_column)), int(clip), [row.get(name) for name in LABELS], split)
    return labels


def _from_mapping(table: Mapping[str, Any]) -> SegmentLabels:
    labels = SegmentLabels()
    for key, value in table.items():
        if isinstance(value, list) and (match := _KEY.fullmatch(key)):
            _add(labels, match["video"], int(match["clip"] or match["index"]), value[1:])
        elif isinstance(value, dict) and {"intervals", "features"} <= set(value):
            times = zip(value["intervals"], value["features"], strict=True)
            labels.by_times[key] = [(float(first), float(last), _label(scores[1:])) for (first, last), scores in times]
        elif isinstance(value, dict) and all(_CLIP.fullmatch(clip) for clip in value):
            for clip, scores in value.items():
                _add(labels, key, int(clip), scores[1:])
        else:
            raise ValueError(
                f"{key!r} has {str(value)[:60]}, expected a key <video>___<clip> or <video>[<clip>] with 7 "
                "numbers, or a video with its clips, or with intervals and features"
            )
    return labels


def _add(labels: SegmentLabels, video: str, clip: int, scores: Sequence[Any], split: str = "") -> None:
    label = _label(scores, split)
    if (video, clip) in labels.by_clip:
        label = SegmentLabel(fault=f"duplicate label: {video} {clip} has more than one")
    labels.by_clip[(video, clip)] = label


def _label(scores: Sequence[Any], split: str = "") -> SegmentLabel:
    numbers = tuple(_numbers(scores))
    if len(numbers) != len(LABELS) or any(number != number for number in numbers):
        return SegmentLabel(fault=f"bad label: {list(scores)}, expected {len(LABELS)} numbers, one an emotion")
    return SegmentLabel(scores=numbers, split=split)


def _numbers(scores: Sequence[Any]) -> Iterator[float]:
    for score in scores:
        try:
            yield float(score)
        except (TypeError, ValueError):
            yield float("nan")
