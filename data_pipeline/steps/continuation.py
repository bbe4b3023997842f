"""Continuations of utterances by a language model: the replies that the alignment stages are trained on."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from data_pipeline.records import EMOTIONS, RejectedRow, Utterance
from data_pipeline.steps.row import PreparedRow

MAX_NEW_TOKENS = 1024
"""Tokens of a continuation at most."""

ContinuationKind = Literal["semantic", "emotional"]
"""``semantic`` continues the transcript, for alignment on speech recognition; ``emotional`` continues it in the
speaker's emotion, for alignment on emotion recognition."""

_THOUGHT = re.compile(r"\s*<think>.*?</think>", re.DOTALL)


class TextGenerator(Protocol):
    """A language model with greedy decoding and without thinking."""

    def generate(self, prompts: Sequence[str]) -> list[str | RejectedRow]:
        """The answer to each prompt, or the reason why there is none."""
        ...


class Continuations:
    """A model step that makes the ``continuation`` of utterances."""

    def __init__(self, generator: TextGenerator, kind: ContinuationKind) -> None:
        self._generator = generator
        self._kind = kind

    def __call__(self, rows: Sequence[PreparedRow]) -> list[Mapping[str, Any] | RejectedRow]:
        """Rejected are rows of ``no text``, of ``unknown emotion`` where it matters, with an ``empty continuation``,
        and those that the generator rejects."""
        prompts = [continuation_prompt(row, self._kind) for row in rows]
        answers = iter(self._generator.generate([prompt for prompt in prompts if isinstance(prompt, str)]))
        return [prompt if isinstance(prompt, RejectedRow) else continuation_output(next(answers)) for prompt in prompts]


def continuation_prompt(row: PreparedRow, kind: ContinuationKind) -> str | RejectedRow:
    """What the language model is asked for an utterance, or why it cannot be continued."""
    entry = row.entry
    assert isinstance(entry, Utterance), f"{entry.id}: expected an utterance, conversations have their replies"
    if not entry.text.strip():
        return RejectedRow("no text: expected a transcript")
    if kind == "semantic":
        return semantic_prompt(entry.text)
    if not entry.emotion:
        return RejectedRow(
            f"unknown emotion: in the corpus {entry.original_emotion!r}, expected one of {', '.join(EMOTIONS)}"
        )
    return emotional_prompt(entry.text, entry.emotion)


def semantic_prompt(text: str) -> str:
    return f"Continue the following sentence in a coherent style: {text}"


def emotional_prompt(text: str, emotion: str) -> str:
    return f"Continue the following sentence that reflects a '{emotion}' emotion tone in a coherent style: {text}"


def continuation_output(answer: str | RejectedRow) -> Mapping[str, Any] | RejectedRow:
    """What a model step returns for the answer of a language model."""
    if isinstance(answer, RejectedRow):
        return answer
    text = _THOUGHT.sub("", answer, count=1).strip()  # some servers return an empty thought
    if not text or text.startswith("<think>"):
        return RejectedRow(f"empty continuation: got {answer[:80]!r}, expected text")
    return {"continuation": text}
