"""The training stages of the paper (arXiv 2507.05177, section 3 and appendix A): what is trained, with which losses."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from opens2s_core.config import ConfigError
from opens2s_core.models.lora import LoraSettings
from opens2s_core.training.batch import ReplyLayout
from opens2s_core.training.distillation import DistillationConfig

Part = Literal["audio_encoder", "adapter", "llm", "projection", "speech_decoder", "ctc_head", "emotion_head"]
"""A part of the model that is trained or frozen as a whole. ``projection`` maps the LLM's hidden states to the speech
decoder, with its norm; the heads exist in training alone."""
Loss = Literal["text", "units", "ctc", "emotion", "distillation"]
"""``text``: cross entropy of the LLM's labels. ``units``: cross entropy of speech units. ``ctc``: transcripts from the
audio encoder's frames. ``emotion``: cross entropy of the speaker's emotion. ``distillation``: the LLM that hears
against a teacher that reads the transcript, at the positions of the loss on text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageConfig:
    """``rates``: the trained parts, of :data:`Part`, with their multiples of the scheduled learning rate; others are
    frozen. ``losses``: the weight of each loss, of :data:`Loss`.

    With ``lora`` the LLM is trained by LoRA in place of its own weights. ``emotion_from`` is what the emotion head
    reads. With ``text_of="written"`` samples with clips do not count in the loss on text. The teacher of
    ``distillation`` is the LLM itself, without LoRA, or with ``external_teacher`` another one.
    """

    name: str
    rates: Mapping[str, float]
    losses: Mapping[str, float]
    lora: LoraSettings | None = None
    distillation: DistillationConfig | None = None
    external_teacher: bool = False
    reply_layout: ReplyLayout = "interleaved"
    emotion_from: Literal["audio_encoder", "adapter"] = "adapter"
    text_of: Literal["all", "written"] = "all"

    def __post_init__(self) -> None:
        for what, given, known in (("rates", self.rates, Part), ("losses", self.losses, Loss)):
            if unknown := sorted(set(given) - set(get_args(known))):
                raise ConfigError(f"{self.name}: {what} of {unknown}: expected some of {', '.join(get_args(known))}")
            if not given or min(given.values()) <= 0:
                raise ConfigError(f"{self.name}: {what}: expected numbers above 0, got {dict(given)}")
        self._expect("llm" in self.rates or self.lora is None, "LoRA needs a rate of the part llm")
        self._expect(("distillation" in self.losses) == (self.distillation is not None), "distillation needs its loss")
        self._expect(self.distillation is not None or not self.external_teacher, "a teacher needs distillation")
        own_teacher = self.distillation is not None and not self.external_teacher
        self._expect(
            not own_teacher or "llm" not in self.rates or self.lora is not None,
            "the LLM that is its own teacher has to be frozen, or trained by LoRA",
        )
        for head, loss in (("ctc_head", "ctc"), ("emotion_head", "emotion")):
            self._expect((head in self.rates) == (loss in self.losses), f"{head} is trained by the loss {loss} alone")
        self._expect(self.reply_layout == "interleaved" or set(self.losses) == {"units"}, "a prefix needs units alone")

    def _expect(self, holds: bool, problem: str) -> None:
        if not holds:
            raise ConfigError(f"{self.name}: {problem}, got rates {dict(self.rates)} and losses {dict(self.losses)}")

    @property
    def learns_from_clips(self) -> bool:
        """Whether the replies to clips are learned as text: with transcripts as replies, transcription."""
        return self.text_of == "all" and bool(self.losses.keys() & {"text", "distillation"})

    @property
    def uses_llm(self) -> bool:
        return self.reply_layout == "interleaved" and bool(self.losses.keys() & {"text", "units", "distillation"})

    @property
    def uses_adapter(self) -> bool:
        return self.uses_llm or ("emotion" in self.losses and self.emotion_from == "adapter")

    @property
    def uses_audio(self) -> bool:
        return self.uses_llm or bool(self.losses.keys() & {"ctc", "emotion"})


STAGE0 = StageConfig(
    name="stage0",
    rates=MappingProxyType({"audio_encoder": 1.0, "llm": 1.0, "ctc_head": 1.0, "emotion_head": 1.0}),
    losses=MappingProxyType({"text": 1.0, "ctc": 1.0, "emotion": 1.0}),
    emotion_from="audio_encoder",
    text_of="written",
)
"""Where no published parts are at hand: the LLM on text, the audio encoder on transcripts and emotions."""
STAGE1A = StageConfig(name="stage1a", rates=MappingProxyType({"adapter": 1.0}), losses=MappingProxyType({"text": 1.0}))
"""Semantic alignment: the adapter, by the LLM's continuations of transcripts."""
STAGE1B = StageConfig(name="stage1b", rates=MappingProxyType({"adapter": 1.0}), losses=MappingProxyType({"text": 1.0}))
"""Emotion alignment: the adapter, by the LLM's continuations in the emotion of the speaker."""
STAGE2A = StageConfig(
    name="stage2a",
    rates=MappingProxyType({"speech_decoder": 1.0}),
    losses=MappingProxyType({"units": 1.0}),
    reply_layout="prefix",
)
"""Speech pretraining: the speech decoder reads a text as word embeddings, and learns its units."""
STAGE2B = StageConfig(
    name="stage2b",
    rates=MappingProxyType({"projection": 1.0, "speech_decoder": 1.0}),
    losses=MappingProxyType({"units": 1.0}),
)
"""Streaming pretraining: units interleaved with the hidden states of the frozen LLM."""
STAGE3 = StageConfig(
    name="stage3",
    rates=MappingProxyType({"adapter": 1.0, "llm": 1.0, "projection": 1.0, "speech_decoder": 1.0}),
    losses=MappingProxyType({"text": 1.0, "units": 1.0}),
)
"""Empathetic instruction tuning: all but the audio encoder."""
JOINT = StageConfig(
    name="joint",
    rates=MappingProxyType(
        {"audio_encoder": 1.0, "adapter": 1.0, "llm": 1.0, "projection": 1.0, "speech_decoder": 1.0}
    ),
    losses=MappingProxyType({"text": 1.0, "units": 1.0}),
)
"""All parts at once, for a small model from nothing."""
