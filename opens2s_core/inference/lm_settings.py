"""Settings of a served language model, importable without torch."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class LMSettings:
    """Settings of a served language model: ``context`` positions per stream (limited by the model), ``prefill_tokens``
    per step in addition to the decoded ones, and ``fixed_width``, see
    :class:`~opens2s_core.inference.slot_lm.SlotLM`."""

    context: int = 4096
    prefill_tokens: int = 256
    fixed_width: bool = False

    def __post_init__(self) -> None:
        if self.context < 1 or self.prefill_tokens < 1:
            raise ValueError(f"context {self.context}, prefill_tokens {self.prefill_tokens}: expected at least 1")
