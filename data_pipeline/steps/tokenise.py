"""Turns → training samples."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from data_pipeline.steps.rejects import Unusable
from data_pipeline.steps.speech_units import UnitTurn
from opens2s_core.prompt import IGNORED, Audio, Message, PromptBuilder, Spoken


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenisedTurn:
    """A row of schema SAMPLE, and the sound it stands for."""

    sample: dict[str, Any]
    units: int
    audio_samples: int


def tokenise_turn(
    turn: UnitTurn, prompts: PromptBuilder, audio_positions: Callable[[int], int], *, max_text_tokens: int
) -> TokenisedTurn:
    """``audio_positions`` gives the LLM positions of a clip of so many samples. Raises :class:`Unusable`."""
    text_tokens = len(prompts.encode_text(turn.reply_text))
    if text_tokens > max_text_tokens:
        raise Unusable(f"reply text too long: {text_tokens} tokens, expected at most {max_text_tokens}")
    said = prompts.training_sample(
        [
            Message("user", (Audio(turn.user_audio),)),
            Message("assistant", (Spoken(turn.reply_text, turn.reply_units),)),
        ]
    )
    sample = {
        "id": turn.id,
        "input_ids": said.input_ids,
        "token_types": said.token_types,
        "labels": said.labels,
        "audios": said.audios,
        "units": [list(units) for units in said.units],
        "length": len(said.input_ids) - 1 + audio_positions(turn.user_samples),  # the clip fills its slot
        "text_labels": sum(label != IGNORED for label in said.labels),
        "unit_labels": sum(len(units) + 1 for units in said.units),  # each reply ends with the end unit
    }
    return TokenisedTurn(sample=sample, units=len(turn.reply_units), audio_samples=turn.audio_samples)
