"""Adds the tokens of OpenS2S to tokenizers."""

from collections.abc import Iterable

from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from opens2s_core.checkpoint.errors import CheckpointError


def add_tokens(tokenizer: PreTrainedTokenizerFast, tokens: Iterable[str], *, special: bool) -> None:
    """Append those of ``tokens`` that the tokenizer lacks."""
    tokenizer.add_tokens([AddedToken(t, special=special, normalized=False) for t in tokens], special_tokens=special)


def add_unit_tokens(tokenizer: PreTrainedTokenizerFast, count: int) -> bool:
    """Add units 0 … ``count`` - 1; False if exactly these exist already, with consecutive ids.

    Raises :class:`CheckpointError` for other unit tokens, ``ValueError`` for a count below one.
    """
    if count < 1:
        raise ValueError(f"expected one unit or more, got {count}")
    wanted = [f"<|audio_{unit}|>" for unit in range(count)]
    present = {t: token_id for t, token_id in tokenizer.added_tokens_encoder.items() if t.startswith("<|audio_")}
    if not present:
        add_tokens(tokenizer, wanted, special=True)
        return True
    first = present.get(wanted[0], -1)
    if present != {token: first + unit for unit, token in enumerate(wanted)}:
        raise CheckpointError(
            f"{tokenizer.name_or_path}: expected no unit tokens, or {count} consecutive ones from {wanted[0]} on, "
            f"got {len(present)} from {min(present, key=present.__getitem__)} on"
        )
    return False
