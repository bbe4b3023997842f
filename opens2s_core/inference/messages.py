"""Messages between the stages of a reply. Every message is plain data: numpy arrays, strings and numbers.

thinker → ``TextDelta``*, ``HiddenStates``*, ``Finish``
speech decoder → ``Units``*
token2wav → ``AudioChunk``*
"""

import math
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from opens2s_core.prompt import Message

FinishReason = Literal["stop", "length"]
SpeechFinish = Literal["stop", "length", "loop"]
"""Why speech ended: at an end unit, at the limit of units, or because it repeated itself."""

SampleRate = Literal[16000, 24000, 48000]
"""Rates in Hz that audio is resampled to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """Sampling parameters. ``temperature`` 0 is greedy; ``seed``, at least 0, makes sampling repeatable.

    They apply in this order. ``repetition_penalty`` > 0 (1: none) makes every token that the reply already contains
    less likely: positive logits are divided by it, negative ones multiplied. ``presence_penalty`` in [-2, 2] is
    subtracted once from each token that the reply contains, ``frequency_penalty`` in [-2, 2] once per occurrence.
    ``logit_bias`` holds pairs of a token id and the number added to its logit, in [-100, 100]; each id once. Then the
    logits are divided by the temperature, the ``top_k`` likeliest tokens are kept (None: all), and of those the
    smallest set that holds ``top_p`` in (0, 1] of the probability.

    ``max_tokens`` (at least 1) includes the end token. ``ValueError`` for values out of range.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int | None = None
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    max_tokens: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, got {self.max_tokens}")
        if not (0 <= self.temperature < math.inf and 0 < self.top_p <= 1):
            raise ValueError(
                f"temperature must be at least 0 and top_p in (0, 1], got {self.temperature} and {self.top_p}"
            )
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {self.top_k}")
        if not 0 < self.repetition_penalty < math.inf:
            raise ValueError(f"repetition_penalty must be above 0, got {self.repetition_penalty}")
        for name, penalty in (("presence", self.presence_penalty), ("frequency", self.frequency_penalty)):
            if not -2 <= penalty <= 2:
                raise ValueError(f"{name}_penalty must be in [-2, 2], got {penalty}")
        for token, bias in self.logit_bias:
            if not (token >= 0 and -100 <= bias <= 100):
                raise ValueError(f"logit_bias must have ids of at least 0 and be in [-100, 100], got {token}: {bias}")
        ids = [token for token, _ in self.logit_bias]
        if len(set(ids)) < len(ids):
            raise ValueError(f"logit_bias must have each id once, got {max(ids, key=ids.count)} twice or more")
        check_seed(self.seed)

    def check_vocabulary(self, size: int) -> None:
        """``ValueError`` where ``logit_bias`` has an id outside a vocabulary of ``size`` tokens."""
        if outside := [token for token, _ in self.logit_bias if token >= size]:
            raise ValueError(f"logit_bias for token {outside[0]}: expected ids in [0, {size}), the vocabulary")


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputFormat:
    """The format of a reply's audio: ``rate`` in Hz (None: that of token2wav), float32 in [-1, 1] or int16."""

    rate: SampleRate | None = None
    samples: Literal["float32", "int16"] = "float32"

    def __post_init__(self) -> None:
        for value, kind in ((self.rate, (None, *get_args(SampleRate))), (self.samples, ("float32", "int16"))):
            if value not in kind:
                raise ValueError(f"audio format {value!r}: expected one of {list(kind)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplyRequest:
    """The request for one reply: the conversation so far (its last message is the user's or a tool's) and the settings.

    Every stage is opened with it; only the thinker needs ``messages``. ``reply_text`` fixes the text of the reply: no
    text token is sampled. ``tools`` are the functions that a written reply may call, see
    :meth:`PromptBuilder.prompt`. The text ends before the first of the ``stop`` strings. Units are sampled at
    temperature 1, as by the published server: greedy units often end in a loop. ``seed`` is that of the audio.
    ``speaker``, float32 (speaker_dim,), is the vector of a named voice; None is the model's own voice. ``ValueError``
    for a vector of another rank or not finite, an empty stop string, an empty ``reply_text`` and a negative seed.
    """

    messages: tuple[Message, ...]
    speak: bool = True
    reply_text: str | None = None
    tools: tuple[str, ...] = ()
    text: Sampling = field(default_factory=Sampling)
    units: Sampling = field(default_factory=lambda: Sampling(temperature=1.0, max_tokens=2048))
    stop: tuple[str, ...] = ()
    audio: OutputFormat = field(default_factory=OutputFormat)
    seed: int = 0
    speaker: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if "" in self.stop:
            raise ValueError(f"stop {self.stop}: expected strings that are not empty")
        if self.reply_text == "":
            raise ValueError("reply text is empty: expected some or None")
        if self.speaker is None:
            return
        if len(self.speaker.shape) != 1:
            raise ValueError(f"speaker vector of shape {self.speaker.shape}: expected one dimension")
        if not np.isfinite(self.speaker).all():
            raise ValueError(
                f"speaker vector holds {self.speaker[~np.isfinite(self.speaker)][0]}: expected finite numbers"
            )


@dataclass(frozen=True, slots=True)
class TextDelta:
    """New text of the reply, whole characters only."""

    text: str


@dataclass(frozen=True, slots=True)
class HiddenStates:
    """A group of at most M LLM hidden states, float32 (m, d_llm); ``final`` marks the reply's last group."""

    values: NDArray[np.float32]
    final: bool


@dataclass(frozen=True, slots=True)
class Units:
    """New speech units, int64 (n,) in [0, codebook size); n may be 0 in the ``final`` message, which has the reason
    why speech ended in ``finish``."""

    ids: NDArray[np.int64]
    final: bool
    finish: SpeechFinish | None = None


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """New waveform samples (n,) in the requested format; n may be 0 in the ``final`` chunk, which has the ``finish`` of
    its units."""

    samples: NDArray[Any]
    final: bool
    finish: SpeechFinish | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """The text of the reply is complete (its audio may still follow)."""

    reason: FinishReason
    prompt_tokens: int
    completion_tokens: int


StageMessage = TextDelta | HiddenStates | Units | AudioChunk | Finish


def check_seed(seed: int) -> None:
    """``ValueError`` for a negative seed."""
    if seed < 0:
        raise ValueError(f"seed must be at least 0, got {seed}")
