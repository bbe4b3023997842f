"""The emotion labels of prepared data; ``docs/corpora.md`` has the mapping of each corpus's labels to them."""

from typing import Literal, get_args

Emotion = Literal[
    "neutral",
    "happy",
    "sad",
    "angry",
    "surprised",
    "fearful",
    "disgusted",
    "contemptuous",
    "frustrated",
    "other",
    "",
]
"""A label; an empty one is unknown."""

EMOTIONS: tuple[str, ...] = tuple(label for label in get_args(Emotion) if label)
