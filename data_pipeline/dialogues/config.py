"""What a corpus of dialogues is to hold, and who writes, speaks and measures it."""

from dataclasses import dataclass, field
from typing import Literal

from data_pipeline.dialogues.utterances import Voice
from data_pipeline.records import Age, Emotion, Gender
from data_pipeline.synthesis.quality.measures import QualityBounds
from data_pipeline.synthesis.selection import DuplicateConfig

Kind = Literal["empathetic", "general", "tool"]
"""``empathetic``: it matters who speaks and how. ``general``: everyday questions. ``tool``: the assistant calls a tool
and answers from its result."""

LANGUAGES = ("en", "zh")
"""ISO 639-1. Those whose texts are written, spoken and measured."""
SIX_EMOTIONS: tuple[Emotion, ...] = ("neutral", "happy", "sad", "angry", "fearful", "surprised")


@dataclass(frozen=True, kw_only=True, slots=True)
class TextConfig:
    """Which dialogues are written.

    ``empathetic``, ``general`` and ``tools`` are numbers of dialogues. Empathetic ones are wanted in equal numbers for
    each topic, emotion, age and gender; ``surplus`` times as many first messages are written, of which near-duplicates
    are dropped. General ones are of the writer's everyday questions, or of ``instructions``: a JSON Lines file (path or
    URL) with the keys ``text`` and, where it is not ``language``, ``language``, which a language model edits. ``turns``
    are the shares of dialogues of one, two, … turns, ``system_share`` those with a system prompt that names a tone or a
    role.
    """

    empathetic: int
    general: int = 0
    tools: int = 0
    instructions: str = ""
    language: str = "en"
    emotions: tuple[Emotion, ...] = SIX_EMOTIONS
    ages: tuple[Age, ...] = ("child", "young", "adult", "elderly")
    genders: tuple[Gender, ...] = ("female", "male")
    surplus: float = 1.3
    duplicates: DuplicateConfig = field(default_factory=DuplicateConfig)
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
        if self.language not in LANGUAGES:
            raise ValueError(f"language: expected one of {', '.join(LANGUAGES)}, got {self.language!r}")
        if self.tools and self.language != "en":
            raise ValueError(f"tools: these dialogues are English, expected 0 in {self.language!r}, got {self.tools}")
        if self.instructions and not self.general:
            raise ValueError(f"instructions: {self.instructions} is for general dialogues, expected general >= 1")
        if not self.turns or min(self.turns) < 0 or sum(self.turns) <= 0:
            raise ValueError(f"turns: expected shares of dialogues of one and more turns, got {self.turns}")
        if self.surplus < 1 or not 0 <= self.system_share <= 1 or self.shard_rows < 1:
            raise ValueError(
                f"expected surplus >= 1, system_share from 0 to 1 and shard_rows >= 1, got {self.surplus}, "
                f"{self.system_share} and {self.shard_rows}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class VoicesConfig:
    """Speakers as for :func:`~data_pipeline.synthesis.speakers.registry.open_speaker`.

    ``seeds`` is the path or URL of a table of seed clips, from which the voices and emotions of users are cloned;
    without one, users have the embedded voices. Each task speaks ``concurrency`` texts at once: more than one is for
    servers, since the embedded programs take turns within a process.
    """

    user_speaker: str = "embedded"
    reply_speaker: str = "embedded"
    reply_voice: Voice = field(default_factory=lambda: Voice(name="piper:joe"))
    seeds: str = ""
    concurrency: int = 1

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise ValueError(f"concurrency: expected at least 1, got {self.concurrency}")


@dataclass(frozen=True, kw_only=True, slots=True)
class QualityConfig:
    """``recogniser`` as for :func:`~data_pipeline.synthesis.recognisers.opening.open_recogniser`.

    ``similarity`` is that of cloned voices to their seed clips. ``emotions`` is the path or URL of a classifier of
    users' emotions, as ``ray_jobs.benchmark voices`` writes it, or ``embedded``: that of the embedded voices. Models
    measure ``share`` of the clips, chosen by ``seed``; all else is measured of all clips.
    """

    recogniser: str = ""
    dnsmos: bool = True
    similarity: bool = False
    emotions: str = ""
    share: float = 1.0
    seed: int = 0
    bounds: QualityBounds = field(default_factory=QualityBounds)

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share: expected 0 to 1, got {self.share}")


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildConfig:
    """``writer`` is ``embedded`` or ``openai:URL#MODEL``. ``model`` is a bundle whose speech tokenizer makes the units
    of replies; without one, data preparation makes them. A build fails where more than ``max_reject_share`` of the
    dialogues are rejected."""

    texts: TextConfig
    writer: str = "embedded"
    voices: VoicesConfig = field(default_factory=VoicesConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
    model: str = ""
    max_reject_share: float = 0.2

    def __post_init__(self) -> None:
        if self.texts.instructions and self.writer == "embedded":
            raise ValueError("instructions: expected a language model as writer, which edits them, got 'embedded'")
