"""What suites ask judges: prompts, the published sampling, and the values that come back."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import fsspec

from evaluation.scores import Judgement, Question

SAMPLES = 3
TEMPERATURE = 0.5
TOP_P = 0.95
"""How VoiceBench and URO-Bench ask gpt-4o-mini."""

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class JudgePrompt:
    """A message to a judge with placeholders such as ``{response}``."""

    template: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.template.encode()).hexdigest()

    def fill(self, fields: Mapping[str, str]) -> str:
        """Every placeholder that ``fields`` has is replaced, other text in braces is kept. What is put in is not
        searched for placeholders."""
        return _PLACEHOLDER.sub(lambda match: fields.get(match[1], match[0]), self.template)


def open_prompt(path: str | None, default: str, responses: Sequence[str]) -> JudgePrompt:
    """The prompt in the UTF-8 file ``path``, verbatim, or ``default`` for None.

    Raises ``ValueError`` where the file has none of the placeholders ``responses``.
    """
    if path is None:
        return JudgePrompt(default)
    with fsspec.open(path, "rt", encoding="utf-8", newline="") as file:
        template = file.read()
    if not any(f"{{{name}}}" in template for name in responses):
        raise ValueError(f"{path}: expected a prompt with {' or '.join(f'{{{name}}}' for name in responses)}")
    return JudgePrompt(template)


def sampled_question(item: str, prompt: str, scale: Literal["1-5", "yes-no"]) -> Question:
    """One question about an item, asked as the published scripts do."""
    return Question(
        id=f"{item}/{scale}",
        item=item,
        messages=({"role": "user", "content": prompt},),
        scale=scale,
        samples=SAMPLES,
        temperature=TEMPERATURE,
        top_p=TOP_P,
    )


def values_of(judgements: Sequence[Judgement]) -> list[float]:
    return [judgement.value for judgement in judgements if judgement.value is not None]


def reasons_of(judgements: Sequence[Judgement]) -> str:
    """The judges' different answers, for people."""
    return "\n".join(dict.fromkeys(judgement.text.strip() for judgement in judgements if judgement.text.strip()))
