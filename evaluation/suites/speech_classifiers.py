"""Classifiers of emotions, or of tones of delivery, in speech."""

import importlib
import re
from collections.abc import Mapping
from typing import Protocol

import fsspec

from data_pipeline.synthesis.protocols import Speech
from data_pipeline.synthesis.quality.emotion import EmotionClassifier
from data_pipeline.synthesis.quality.prosody_features import prosody_features


class SpeechClassifier(Protocol):
    """From a clip to the probabilities of emotions or of tones. URO-Bench uses emotion2vec_plus_large."""

    @property
    def name(self) -> str:
        """With version or file, for the report."""
        ...

    def probabilities(self, speech: Speech) -> Mapping[str, float]:
        """By class; they add up to 1. The clip is not silent."""
        ...


class ProsodyClassifier:
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


def open_classifier(spec: str) -> SpeechClassifier:
    """The classifier of ``spec``: ``MODULE:FUNCTION``, a function without arguments that returns one, or the path or
    URL of a file as ``ray_jobs.benchmark voices --classifier`` writes it.

    Raises ``ValueError``, ``ImportError`` or ``OSError`` where there is none.
    """
    if match := re.fullmatch(r"([\w.]+):(\w+)", spec):
        module, function = match.groups()
        try:
            classifier = getattr(importlib.import_module(module), function)()
        except AttributeError as error:
            raise ValueError(f"classifier {spec!r}: {error}, expected MODULE:FUNCTION") from error
        if not callable(getattr(classifier, "probabilities", None)):
            raise ValueError(f"classifier {spec!r}: expected an object with name and probabilities, got {classifier!r}")
        return classifier
    return ProsodyClassifier(spec)
