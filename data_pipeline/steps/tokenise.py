"""Turns → training samples."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from data_pipeline.steps.rejects import Unusable
from data_pipeline.steps.speech_units import UnitTurn
from opens2s_core.prompt import IGNORED, Audio, Content, Message, PromptBuilder, Spoken, Text


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenisedTurn:
    """Rows of schema SAMPLE, and the samples at 16 kHz of the two clips that they are made of."""

    samples: list[dict[str, Any]]
    clip_samples: tuple[int, int]


def tokenise_turn(
    turn: UnitTurn,
    prompts: PromptBuilder,
    audio_positions: Callable[[int], int],
    *,
    max_text_tokens: int,
    written_questions: bool = False,
) -> TokenisedTurn:
    """One sample that answers the user's voice and, with ``written_questions``, one that answers the user's words
    (paper section 3.2: trained on speech alone, the speech decoder fails on text).

    ``audio_positions`` gives the LLM positions of a clip of so many samples. Raises :class:`Unusable`.
    """
    text_tokens = len(prompts.encode_text(turn.reply_text))
    if text_tokens > max_text_tokens:
        raise Unusable(f"reply text too long: {text_tokens} tokens, expected at most {max_text_tokens}")
    clip = audio_positions(turn.user_samples) - 1  # the clip fills its slot
    samples = [_sample(turn.id, turn, Audio(turn.user_audio), clip, prompts)]
    if written_questions:
        samples.append(_sample(f"{turn.id}-written", turn, Text(turn.user_text), 0, prompts))
    return TokenisedTurn(samples=samples, clip_samples=(turn.user_samples, turn.reply_samples))


def _sample(name: str, turn: UnitTurn, question: Content, extra: int, prompts: PromptBuilder) -> dict[str, Any]:
    reply = Spoken(turn.reply_text, turn.reply_units)
    said = prompts.training_sample([Message("user", (question,)), Message("assistant", (reply,))])
    return {
        "id": name,
        "input_ids": said.input_ids,
        "token_types": said.token_types,
        "labels": said.labels,
        "audios": said.audios,
        "units": [list(units) for units in said.units],
        "length": len(said.input_ids) + extra,
        "text_labels": sum(label != IGNORED for label in said.labels),
        "unit_labels": sum(len(units) + 1 for units in said.units),  # each reply ends with the end unit
    }
