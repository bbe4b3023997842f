"""Writers: what is said in a dialogue. One that knows a closed domain stands in where no LLM is at hand."""

import itertools
import random
from dataclasses import dataclass
from typing import Protocol

from data_pipeline.synthesis.phrases import LEADS, OPENERS, TOPICS
from data_pipeline.synthesis.voices import FEELINGS, Feeling


@dataclass(frozen=True, kw_only=True, slots=True)
class Exchange:
    """What a user says, in which feeling, and what an empathetic listener answers."""

    topic: str
    feeling: Feeling
    user_text: str
    reply_text: str


class Writer(Protocol):
    """Writes exchanges. The same count and seed give the same exchanges."""

    def write(self, count: int, seed: int) -> list[Exchange]: ...


class ClosedDomainWriter:
    """Every topic in every feeling with every opener: 720 exchanges, no two sentences or replies alike.

    The reply follows from the words alone, so that a listener who understood them can give it.
    """

    def write(self, count: int, seed: int) -> list[Exchange]:
        """The first ``count`` of all exchanges as ``seed`` orders them. ValueError when there are too few."""
        exchanges = _all_exchanges()
        if not 0 <= count <= len(exchanges):
            raise ValueError(f"cannot write {count} exchanges: expected between 0 and {len(exchanges)}")
        random.Random(seed).shuffle(exchanges)
        return exchanges[:count]


def _all_exchanges() -> list[Exchange]:
    return [
        Exchange(
            topic=topic,
            feeling=feeling,
            user_text=f"{opener} {turns[feeling][0]}",
            reply_text=f"{lead} {turns[feeling][1]}",
        )
        for (topic, turns), feeling in itertools.product(TOPICS.items(), FEELINGS)
        for opener, lead in zip(OPENERS[feeling], LEADS[feeling], strict=True)
    ]
