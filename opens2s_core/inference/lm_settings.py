"""How a language model is served; apart from the model, so that a process that loads none can read it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class LMSettings:
    """How a language model is served: ``context`` positions for each stream (at most as many as the model has), so many
    tokens of prompts besides those that decode in a step, and whether widths are fixed, see
    :class:`~opens2s_core.inference.slot_lm.SlotLM`."""

    context: int = 4096
    prefill_tokens: int = 256
    fixed_width: bool = False

    def __post_init__(self) -> None:
        if self.context < 1 or self.prefill_tokens < 1:
            raise ValueError(f"context {self.context}, prefill_tokens {self.prefill_tokens}: expected at least 1")
