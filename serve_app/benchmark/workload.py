"""What is asked: spoken questions of a directory of dialogues, or noise where there is none."""

import base64
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from opens2s_core.audio import SAMPLE_RATE, encode_audio
from opens2s_core.benchmark.engine_models import SIZES, noise
from opens2s_core.benchmark.speech_length import read_questions
from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.storage import fetch_directory
from opens2s_core.training.from_scratch import create_bundle
from opens2s_core.voices import SLT
from serve_app.benchmark.clients import Body

_NOISE_SECONDS = 3.0
_NOISE_TOKENS = 4
"""Tokens of text, for which an untrained model makes speech of its own length."""
_CONFIG = "config.json"
_DITHER = 2.0**-15


class Workload:
    """Requests of which no two are alike, so that nothing of a reply is known from an earlier one."""

    def __init__(self, model: str, questions: Sequence[NDArray[np.float32]] = ()) -> None:
        """``questions`` are waveforms (n,) at 16 kHz."""
        self._model = model
        self._questions = questions
        self._numbers = itertools.count()

    @classmethod
    def load(cls, model: str, dialogues: Path | None) -> "Workload":
        """Questions of a directory with ``examples.tsv``. Raises ``ValueError`` for one without."""
        return cls(model, read_questions(dialogues) if dialogues else ())

    def take(self, count: int) -> list[Body]:
        """The next requests: with temperature 0, and as long as the model replies where there are questions."""
        return [self._next(next(self._numbers)) for _ in range(count)]

    def audio(self, count: int, seconds: float) -> list[Body]:
        """Requests with noise of so many seconds."""
        return [self._body(noise(number, seconds), number, None) for number in range(count)]

    def _next(self, number: int) -> Body:
        if not self._questions:
            return self._body(noise(number, _NOISE_SECONDS), number, _NOISE_TOKENS)
        question = self._questions[number % len(self._questions)]
        dither = np.random.default_rng(number).uniform(-_DITHER, _DITHER, len(question)).astype(np.float32)
        return self._body(question + dither, number, None)

    def _body(self, waveform: NDArray[np.float32], seed: int, max_tokens: int | None) -> Body:
        wav = encode_audio(waveform, SAMPLE_RATE, container="wav")
        audio = {"type": "input_audio", "input_audio": {"data": base64.b64encode(wav).decode(), "format": "wav"}}
        request = {
            "model": self._model,
            "messages": [{"role": "user", "content": [audio]}],
            "modalities": ["text", "audio"],
            "audio": {"voice": "default", "format": "pcm16"},
            "temperature": 0,
            "seed": seed,
            "stream": True,
        }
        return json.dumps(request if max_tokens is None else request | {"max_completion_tokens": max_tokens}).encode()


def greedy_bundle(bundle: str, directory: Path) -> str:
    """The same bundle at ``directory``, which asks for the likeliest speech units: replies of all checkouts are equally
    long, those without sampled units too."""
    source = fetch_directory(bundle).resolve()
    (directory / OPENS2S).mkdir(parents=True)
    for path in (*source.iterdir(), *(source / OPENS2S).iterdir()):
        link = directory / path.relative_to(source)
        if path.name not in (OPENS2S, _CONFIG):
            link.symlink_to(path)
    config = json.loads((source / OPENS2S / _CONFIG).read_text())
    (directory / OPENS2S / _CONFIG).write_text(json.dumps(config | {"units_temperature": 0.0}))
    return str(directory)


def untrained_bundle(directory: Path) -> str:
    """A new bundle as large as the demo's, with the voice of this package: it costs as much, and says nothing."""
    create_bundle(SIZES["tiny"].models, ["What would you do now?"], SLT, directory)
    return str(directory)
