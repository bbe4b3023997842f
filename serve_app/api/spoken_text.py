"""Text that is to be spoken: whether it holds anything, and its division into parts."""

import regex

MAX_PART_BYTES = 200
"""The longest part, in bytes of UTF-8: 200 Latin letters or 66 Chinese characters, each about 15 s of speech. That is
the length of the utterances that speech decoders are trained on; beyond it they lose the text or their context ends."""

_BLANK = regex.compile(r"[\s\p{Cc}\p{Default_Ignorable_Code_Point}]*")
_CLOSING = r"[\p{Pe}\p{Pf}\"']*"

_BORDERS = (
    # A full stop inside a number or a name has no space after it; full-width marks (of Chinese and Japanese) need none.
    regex.compile(rf"[.!?…]+{_CLOSING}(?=\s)|[\u3002\uff01\uff1f\uff61]+{_CLOSING}|[\n\r\u2028\u2029]"),
    regex.compile(rf"[,;:\u2013\u2014]{_CLOSING}(?=\s)|[\uff0c\uff1b\uff1a\u3001\uff64]{_CLOSING}"),
    regex.compile(r"\s"),
    regex.compile(r"\X"),
)
"""Ends of sentences, of clauses, of words and of characters, in the order of preference."""


def is_blank(text: str) -> bool:
    """Whether a text has only white space, control characters and others that are not shown."""
    return _BLANK.fullmatch(text) is not None


def split_text(text: str) -> tuple[str, ...]:
    """The parts in which ``text`` is read, each of at most ``MAX_PART_BYTES`` (but for a single character that is
    longer), none of them blank. Joined they are the text but for white space between them.

    A part ends where a sentence does, else a clause, else a word, else between characters. Short sentences stay in one
    part, since fewer parts have fewer seams.
    """
    parts: list[str] = []
    rest = text.strip()
    while rest:
        end = _end_of_part(rest)
        parts.append(rest[:end].rstrip())
        rest = rest[end:].lstrip()
    return tuple(part for part in parts if not is_blank(part))


def _end_of_part(text: str) -> int:
    """Where the first part of ``text`` ends."""
    limit = len(text[:MAX_PART_BYTES].encode()[:MAX_PART_BYTES].decode(errors="ignore"))
    if limit == len(text):
        return limit
    for border in _BORDERS:
        # The character after the limit is in view: it may be the space that makes a full stop the end of a sentence.
        ends = [match.end() for match in border.finditer(text, 0, limit + 1) if match.end() <= limit]
        if ends:
            return ends[-1]
    character = _BORDERS[-1].match(text)
    assert character is not None
    return character.end()
