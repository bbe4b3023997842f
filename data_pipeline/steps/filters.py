"""Filters of rows by their text, labels and the length of their clips."""

import re
from dataclasses import dataclass

from data_pipeline.records import EMOTIONS, RejectedRow, Utterance
from data_pipeline.steps.row import PreparedRow
from opens2s_core.audio import SAMPLE_RATE

SILENCE = 1e-3
"""Peak below which a waveform in [-1, 1] holds no speech (-60 dB)."""

REFUSALS = re.compile(
    r"""
    \bas\ an?\ (?:\w+\ )?(?:ai|artificial\ intelligence|language\ model|large\ language\ model)\b
    | \bi(?:['’]m|\ am)\ (?:just\ |only\ )?an?\ (?:\w+\ )?(?:ai|language\ model|large\ language\ model)\b
    | ^\W*(?:i(?:['’]m|\ am)\ )?(?:very\ |so\ )?sorry,?\ but\ (?:as\ |i\b|this\b|that\b|the\b|your\b|it\b|there\b)
    | ^\W*i\ (?:can(?:no|['’])t|am\ unable\ to|am\ not\ able\ to)\ (?:assist|help|provide|continue|fulfill|comply)
    | ^\W*i\ apologi[sz]e,?\ but\b
    | 作为(?:一个|一款|一名)?\s*(?:人工智能|AI|语言模型|大语言模型|大型语言模型)
    | 我(?:只是|是)(?:一个|一款|一名)?\s*(?:人工智能|AI|语言模型|大语言模型|大型语言模型)
    | ^\W*(?:很|非常|十分)?(?:抱歉|对不起|不好意思)[，,\s]*(?:但|可是|不过|我(?:不能|无法|没办法|没有办法|不可以))
    | ^\W*我(?:不能|无法|没办法)(?:帮助|协助|提供|继续|满足|完成)
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Answers in which an assistant refuses a request or refers to itself, in English and Chinese."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FilterConfig:
    """Which rows are kept. Lengths are of an utterance's text, or of each reply of a conversation.

    ``emotions`` are the labels that an utterance may have, None for any label or none. Seconds per character are those
    of the prepared clip of an utterance that has text.
    """

    min_characters: int = 1
    max_characters: int = 2000
    min_seconds_per_character: float = 0.0
    max_seconds_per_character: float = 2.0
    emotions: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.min_characters <= self.max_characters:
            raise ValueError(
                f"expected 0 <= min_characters <= max_characters, got {self.min_characters} and {self.max_characters}"
            )
        if not 0 <= self.min_seconds_per_character <= self.max_seconds_per_character:
            raise ValueError(
                "expected 0 <= min_seconds_per_character <= max_seconds_per_character, got "
                f"{self.min_seconds_per_character:g} and {self.max_seconds_per_character:g}"
            )
        if unknown := sorted(set(self.emotions or ()) - set(EMOTIONS)):
            raise ValueError(f"unknown emotions {unknown}: expected some of {', '.join(EMOTIONS)}")


def filter_row(row: PreparedRow, config: FilterConfig) -> PreparedRow:
    """The row itself, once its clips are prepared. Raises :class:`RejectedRow`: ``text too short``, ``text too long``,
    ``spoken too fast``, ``spoken too slowly`` or ``unknown emotion``."""
    entry = row.entry
    if isinstance(entry, Utterance):
        _check_text(entry.text, config)
        if entry.text.strip():
            _check_pace(row.clip_samples[0] / SAMPLE_RATE / len(entry.text.strip()), config)
        if config.emotions is not None and entry.emotion not in config.emotions:
            label = f"{entry.emotion!r}, in the corpus {entry.original_emotion!r}"
            raise RejectedRow(f"unknown emotion: {label}: expected one of {', '.join(config.emotions)}")
        return row
    for message in entry.messages:
        if message.role == "assistant":
            _check_text("".join(content.text for content in message.content), config)
    return row


def filter_continuation(row: PreparedRow) -> PreparedRow:
    """The row itself, with a continuation. Raises :class:`RejectedRow` (``refusal``) for one in which the language
    model refuses to continue or refers to itself."""
    assert row.continuation is not None, f"{row.entry.id}: expected a continuation"
    if found := REFUSALS.search(row.continuation):
        raise RejectedRow(f"refusal: the continuation has {found[0].strip()!r}")
    return row


def _check_text(text: str, config: FilterConfig) -> None:
    count = len(text.strip())
    if count < config.min_characters:
        raise RejectedRow(f"text too short: {count} characters, expected at least {config.min_characters}")
    if count > config.max_characters:
        raise RejectedRow(f"text too long: {count} characters, expected at most {config.max_characters}")


def _check_pace(seconds: float, config: FilterConfig) -> None:
    if seconds < config.min_seconds_per_character:
        bound = config.min_seconds_per_character
        raise RejectedRow(f"spoken too fast: {seconds:.3f} s a character, expected at least {bound:g}")
    if seconds > config.max_seconds_per_character:
        bound = config.max_seconds_per_character
        raise RejectedRow(f"spoken too slowly: {seconds:.3f} s a character, expected at most {bound:g}")
