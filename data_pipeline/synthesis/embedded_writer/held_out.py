"""What of the grammar is kept out of training, so that a model can be tested on it."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b

from data_pipeline.synthesis.embedded_writer.general import unknown_turns
from data_pipeline.synthesis.embedded_writer.grammar import Turn, all_turns
from data_pipeline.synthesis.embedded_writer.scene import Scene
from data_pipeline.synthesis.embedded_writer.topics import TOPICS

_TEMPLATES = 3
"""The fewest templates of a scene of which one is held out."""

HELD_OUT_VOICES = (
    "flite:awb",
    "flite:rms",
    "espeak:en-gb-x-rp+rob",
    "espeak:en-us+victor",
    "espeak:en+steph3",
    "espeak:en-us+belinda",
)
"""Embedded voices that no training uses."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOut:
    """Of each scene with three templates or more one, and of the combinations of values of a scene's fields, and of the
    turns that are not of the grammar, the share ``share``. What is held out depends on ``seed`` alone.

    Training takes turns with neither a template nor a combination that is held out; tests take those with both.
    """

    seed: int = 0
    share: float = 0.2

    def template(self, turn: Turn) -> bool:
        return turn.scene.texts[turn.phrasing] in _held_out_templates(self.seed)

    def combination(self, turn: Turn) -> bool:
        return bool(turn.fields) and self._is_chosen(f"{turn.scene.texts[0]} {turn.fields}")

    def is_for_training(self, turn: Turn) -> bool:
        return not self.template(turn) and not self.combination(turn)

    def is_for_tests(self, turn: Turn) -> bool:
        """Without fields there is no combination: the template decides."""
        return self.template(turn) and (self.combination(turn) or not turn.fields)

    def turns_for_tests(self, rng: random.Random, wanted: Callable[[Turn], bool]) -> Iterator[Turn]:
        """The ``wanted`` turns for tests in random order, topics in turn: of each as many as of the others, as far as
        they go."""
        by_topic: dict[str, list[Turn]] = {}
        for turn in all_turns():
            if self.is_for_tests(turn) and wanted(turn):
                by_topic.setdefault(turn.topic.name, []).append(turn)
        shuffled = [rng.sample(turns, len(turns)) for turns in by_topic.values()]
        return (turns[i] for i in range(max(map(len, shuffled))) for turns in shuffled if i < len(turns))

    def unknown_turns(self) -> tuple[str, ...]:
        """The turns for tests that are not of the grammar."""
        return tuple(text for text in unknown_turns() if self._is_chosen(text))

    def reply_template(self, scene: Scene, emotion: str) -> bool:
        """Whether a scene's reply to an emotion is of those by which classifiers of replies are tested."""
        return self._is_chosen(f"{scene.texts[0]} {emotion}")

    def _is_chosen(self, key: str) -> bool:
        return _rank(self.seed, key) < self.share * 2**64


@cache
def _held_out_templates(seed: int) -> frozenset[str]:
    """A template of several scenes is held out of all of them."""
    scenes = (scene for topic in TOPICS for scene in topic.scenes if len(scene.texts) >= _TEMPLATES)
    return frozenset(min(scene.texts, key=lambda text: _rank(seed, text)) for scene in scenes)


def _rank(seed: int, key: str) -> int:
    return int.from_bytes(blake2b(f"{seed}:{key}".encode(), digest_size=8).digest(), "big")
