"""What a language model answered → checked texts that can be spoken.

Every function raises :class:`RejectedRow` for what cannot be used.
"""

import json
import re
import unicodedata
from typing import Any

from data_pipeline.records import RejectedRow

CHARACTERS_PER_WORD = 1.5
"""Chinese characters that count as a word."""
MIN_WORDS = 2

_TAG = r"(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|analysis|scratchpad|seed:think)"
_OPENED = re.compile(rf"<\s*{_TAG}\b[^<>]*>|◁think▷|\[THINK\]", re.IGNORECASE)
_CLOSED = re.compile(rf"<\s*/\s*{_TAG}\s*>|◁/think▷|\[/THINK\]", re.IGNORECASE)

_LIST_LINE = re.compile(r"^\s*(?:\d{1,3}\s*[.):、．]|[-*•])\s*(?=\S)")
_LABEL = re.compile(r"^(?:user|assistant|speaker|person|reply|response|answer|用户|助手|回复|回答)\s*:", re.IGNORECASE)
_MARKUP = re.compile(r"[{}\[\]()【】\\*_#@\ufe0f]|://|\bwww\.|&#?\w+;|^\s*(?:\d{1,3}[.)]|[-•])\s", re.MULTILINE)
_UNSPOKEN = frozenset({"So", "Sk", "Sm", "Cc", "Cf", "Cs", "Co", "Cn", "Me"})
"""Unicode categories: emoji and other symbols, mathematics, control characters."""
_QUOTES = {'"': '"', "“": "”", "「": "」", "'": "'", "‘": "’"}
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_TONE = re.compile(r"[a-z]+(?:(?:, | |-)[a-z]+){0,4}")


def without_thought(answer: str) -> str:
    """The answer after the thought of a model in thinking mode.

    A thought ends with a tag such as ``</think>``; some chat templates leave its opening tag out of the answer.
    Rejected as ``thinking`` where a thought does not end.
    """
    ends = [match.end() for match in _CLOSED.finditer(answer)]
    rest = answer[ends[-1] :] if ends else answer
    if opened := _OPENED.search(rest):
        raise RejectedRow(f"thinking: {opened[0]!r} is not closed, expected an answer after the thought")
    return rest.strip()


def parse_list(answer: str) -> list[str]:
    """The texts of a JSON list, or of a numbered or bulleted one, also within other text or a code fence. Of a list
    that breaks off, those that are whole. Rejected as ``bad answer`` where there are none."""
    starts = [match.start() for match in re.finditer(r"\[", answer)]
    for start in starts:
        if texts := _strings(answer, start + 1):
            return texts
    lines = answer.splitlines()
    if texts := [_LIST_LINE.sub("", line).strip() for line in lines if _LIST_LINE.match(line)]:
        return texts
    raise RejectedRow(f"bad answer: got {answer[:100]!r}, expected a JSON list of texts")


def _strings(text: str, position: int) -> list[str]:
    """The strings of a JSON list from behind its bracket to its end, or to what is not a string."""
    found: list[str] = []
    while True:
        position = _skip_space(text, position)
        try:
            value, position = json.JSONDecoder().raw_decode(text, position)
        except (ValueError, RecursionError):
            return found
        if not isinstance(value, str):
            return found
        found.append(value)
        position = _skip_space(text, position)
        if text[position : position + 1] != ",":
            return found
        position += 1


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def parse_object(answer: str, *keys: str) -> dict[str, Any]:
    """The first JSON object with ``keys``, also within other text or a code fence. Rejected as ``bad answer``."""
    for match in re.finditer(r"\{", answer):
        try:
            value, _ = json.JSONDecoder().raw_decode(answer, match.start())
        except (ValueError, RecursionError):
            continue
        if all(key in value for key in keys):
            return value
    raise RejectedRow(f"bad answer: got {answer[:100]!r}, expected a JSON object with {', '.join(keys)}")


def spoken_text(text: object, language: str, max_words: int) -> str:
    """``text`` on one line, without quotation marks around it.

    Rejected as ``bad answer`` where it is no text; as ``markup`` where something in it must be read rather than spoken:
    brackets (also stage directions), emoji, symbols, addresses, lists, the name of a speaker before it; as ``too
    short`` or ``too long``; as ``wrong language`` by its script.
    """
    if not isinstance(text, str):
        raise RejectedRow(f"bad answer: got {text!r:.100}, expected text")
    plain = text.strip()
    if len(plain) > 1 and _QUOTES.get(plain[0]) == plain[-1] and not set(plain[1:-1]) & {plain[0], plain[-1]}:
        plain = plain[1:-1].strip()
    # Full-width brackets and symbols become those of ASCII.
    seen = unicodedata.normalize("NFKC", plain)
    line = " ".join(seen.split())
    found = _MARKUP.search(seen) or _LABEL.match(seen)
    symbol = found[0] if found else next((char for char in line if unicodedata.category(char) in _UNSPOKEN), None)
    if symbol is not None:
        raise RejectedRow(f"markup: {symbol!r} in {line[:100]!r}, expected plain spoken text")
    words = count_words(line)
    if words < MIN_WORDS:
        raise RejectedRow(f"too short: {line[:100]!r}, expected at least {MIN_WORDS} words")
    if words > max_words:
        raise RejectedRow(f"too long: {words:g} words, expected at most {max_words}: {line[:100]!r}")
    _check_script(line, language)
    return " ".join(plain.split())


def count_words(text: str) -> float:
    """Words; of Chinese, characters by :data:`CHARACTERS_PER_WORD`."""
    characters = len(_HAN.findall(text))
    return len(_WORD.findall(_HAN.sub(" ", text))) + characters / CHARACTERS_PER_WORD


def _check_script(text: str, language: str) -> None:
    letters = [char for char in text if char.isalpha()]
    if language == "zh":
        share, script, least = sum(bool(_HAN.match(char)) for char in letters), "Chinese", 0.5
    else:
        share, script, least = sum(unicodedata.name(char, "").startswith("LATIN") for char in letters), "Latin", 0.95
    if not letters or share / len(letters) < least:
        raise RejectedRow(f"wrong language: {text[:100]!r}, expected {language!r} in {script} script")


def tone_name(answer: str) -> str:
    """A tone of delivery such as ``warm and calm``. Rejected as ``bad tone``."""
    tone = answer.strip().strip("\"'“”*`").casefold().removeprefix("tone:").strip(" .\"'*")
    if len(tone) > 60 or not _TONE.fullmatch(tone):
        raise RejectedRow(f"bad tone: got {answer[:100]!r}, expected one to five English words")
    return tone
