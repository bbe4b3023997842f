"""What all models have in common: how they are asked, and how a reply is put together."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from evaluation.items import Answer, Item, Reply
from opens2s_core.audio import Waveform, encode_audio
from serve_app.ui.timed_reply import SILENCE


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """How replies are generated: text greedily, at most ``max_tokens`` of it; audio, where a reply is ``spoken``, with
    ``seed``. ``voice`` is the endpoint's name of a voice.

    ``actors`` are processes with a model each, for models in process; ``concurrency`` is the number of requests to an
    endpoint at once. With more than one, the times of replies are those under load.
    """

    spoken: bool
    max_tokens: int = 1024
    seed: int = 0
    voice: str = "default"
    actors: int = 1
    concurrency: int = 1

    def __post_init__(self) -> None:
        if min(self.max_tokens, self.actors, self.concurrency) < 1 or self.seed < 0:
            raise ValueError(
                "expected max_tokens, actors and concurrency >= 1 and seed >= 0, got "
                f"{self.max_tokens}, {self.actors}, {self.concurrency} and {self.seed}"
            )


class Model(Protocol):
    """A model that answers items."""

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What identifies the model, JSON values: the same model has the same fingerprint wherever it runs."""
        ...

    def answers(self, items: Sequence[Item]) -> Iterator[Answer]:
        """The answer to each item when it is finished, in any order. An item that fails has an answer with an
        ``error``; what would fail for all items is raised."""
        ...


class IncomingReply:
    """A reply while it is generated. Its times count from the creation of this object; ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._started = clock, clock()
        self._text: list[str] = []
        self._audio: list[Waveform] = []
        self._rate = 0
        self._first_text: float | None = None
        self._first_audio: float | None = None

    @property
    def text(self) -> str:
        return "".join(self._text)

    def add_text(self, text: str) -> None:
        if text and self._first_text is None:
            self._first_text = self._elapsed()
        self._text.append(text)

    def add_audio(self, samples: Waveform, rate: int) -> None:
        """Samples (n,) in [-1, 1] at ``rate`` Hz. ``ValueError`` for another rate than before."""
        if self._rate not in (0, rate):
            raise ValueError(f"audio at {rate} Hz: expected {self._rate} Hz, as before in the same reply")
        self._rate = rate
        loud = np.flatnonzero(np.abs(samples) > SILENCE)
        if self._first_audio is None and len(loud):
            self._first_audio = self._elapsed() + float(loud[0]) / rate
        self._audio.append(samples)

    def complete(self) -> Reply:
        """The reply, which ends now."""
        seconds = self._elapsed()
        samples = np.concatenate(self._audio) if self._audio else np.zeros(0, np.float32)
        return Reply(
            text=self.text,
            audio=encode_audio(samples, self._rate) if len(samples) else b"",
            audio_seconds=len(samples) / self._rate if self._rate else 0.0,
            first_text=self._first_text,
            first_audio=self._first_audio,
            seconds=seconds,
        )

    def _elapsed(self) -> float:
        return self._clock() - self._started
