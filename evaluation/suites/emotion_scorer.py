"""What measures an emotion in speech."""

from typing import Protocol

from data_pipeline.synthesis.protocols import Speech


class EmotionScorer(Protocol):
    """A classifier of emotions in speech. URO-Bench uses emotion2vec_plus_large."""

    @property
    def name(self) -> str:
        """With version or model, for the report."""
        ...

    def probability(self, speech: Speech, emotion: str) -> float:
        """The probability, 0 to 1, that ``speech`` has ``emotion``. Raises ``ValueError`` for an emotion that is not
        among the classes."""
        ...
