"""What a corpus of dialogues is to hold."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from data_pipeline.records import Age, Emotion

Kind = Literal["empathetic", "general", "tool"]
"""``empathetic``: it matters who speaks and how. ``general``: everyday questions. ``tool``: the assistant calls a tool
and answers from its result."""

SIX_EMOTIONS: tuple[Emotion, ...] = ("neutral", "happy", "sad", "angry", "fearful", "surprised")


@dataclass(frozen=True, kw_only=True, slots=True)
class TextConfig:
    """Which dialogues are written.

    ``empathetic``, ``general`` and ``tools`` are numbers of dialogues. First messages are wanted in equal numbers for
    each topic and emotion, of users of the given shares by age; ``surplus`` times as many are written, of which near
    duplicates are dropped. ``turns`` are the shares of dialogues of one, two, … turns, ``system_share`` those with a
    system line that names a tone or a role.
    """

    empathetic: int
    general: int = 0
    tools: int = 0
    language: str = "en"
    emotions: tuple[Emotion, ...] = SIX_EMOTIONS
    ages: Mapping[Age, float] = field(
        default_factory=lambda: MappingProxyType({"child": 0.1, "young": 0.3, "adult": 0.45, "elderly": 0.15})
    )
    surplus: float = 1.3
    turns: tuple[float, ...] = (0.6, 0.2, 0.12, 0.08)
    system_share: float = 0.1
    seed: int = 0
    shard_rows: int = 64

    def __post_init__(self) -> None:
        if min(self.empathetic, self.general, self.tools) < 0 or self.empathetic + self.general + self.tools < 1:
            raise ValueError(
                f"expected numbers of dialogues, at least 1 together, got empathetic={self.empathetic}, "
                f"general={self.general}, tools={self.tools}"
            )
        if not self.turns or min(self.turns) < 0 or sum(self.turns) <= 0:
            raise ValueError(f"turns: expected shares of dialogues of one and more turns, got {self.turns}")
        if self.surplus < 1 or not 0 <= self.system_share <= 1 or self.shard_rows < 1:
            raise ValueError(
                f"expected surplus >= 1, system_share from 0 to 1 and shard_rows >= 1, got {self.surplus}, "
                f"{self.system_share} and {self.shard_rows}"
            )
