"""Classifiers of the tone in which a reply is spoken."""

from collections.abc import Mapping
from typing import Protocol

import fsspec

from data_pipeline.synthesis.protocols import Speech
from data_pipeline.synthesis.quality.emotion import EmotionClassifier
from data_pipeline.synthesis.quality.prosody_features import prosody_features


class ToneClassifier(Protocol):
    """From a clip to the probabilities of tones, or of emotions."""

    @property
    def name(self) -> str:
        """With version or file, for the report."""
        ...

    def probabilities(self, speech: Speech) -> Mapping[str, float]:
        """By class; they add up to 1. The clip is not silent."""
        ...


class ProsodyToneClassifier:
    """A saved :class:`~data_pipeline.synthesis.quality.emotion.EmotionClassifier`, by prosody alone. The clip is taken
    relative to the mean of the speakers with which the classifier was trained."""

    def __init__(self, url: str) -> None:
        """Raises ``ValueError`` or ``OSError`` for a file that is no classifier."""
        self.name = f"prosody {url.rpartition('/')[2]}"
        with fsspec.open(url, "rb") as file:
            self._classifier = EmotionClassifier.load(file)

    def probabilities(self, speech: Speech) -> Mapping[str, float]:
        (found,) = self._classifier.probabilities(prosody_features(speech)[None], [""], {})
        return dict(zip(self._classifier.classes, found.tolist(), strict=True))
