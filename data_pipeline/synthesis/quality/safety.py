"""What must not be in a spoken text: refusals, thinking text, unsafe words, and what cannot be spoken.

Each function returns what it finds first, or an empty string. The word lists are small: they catch what a language
model writes by accident, and are no moderation of content.
"""

import re
import unicodedata

from data_pipeline.steps.filters import REFUSALS

_THINKING = re.compile(
    r"""
    </?\s*(?:think|thinking|thought|reasoning|analysis)\b[^>]*>
    | <\|[^|>]{0,40}\|>
    | ^\W*(?:okay|ok|alright|hmm|so)\b[,.\s]{1,3}(?:so\s)?the\ user\b
    | \bthe\ user(?:'s|’s)?\ (?:is|was|wants|needs|said|says|asks|asked|seems|feels|message|input|request)\b
    | ^\W*(?:嗯|好的|好)[，,\s]*用户
    | 用户(?:说|问|的问题|的情绪|想要|希望|表达)
    """,
    re.IGNORECASE | re.VERBOSE,
)

_UNSAFE = {
    "profanity": r"""
        (?:mother)?fuck(?:s|ed|er|ers|ing)? | (?:bull)?shit(?:s|ty)? | bitch(?:es|y)? | cunts? | assholes? | bastards?
        | dickheads? | whores? | sluts? | faggots? | niggers? | retard(?:s|ed)
        """,
    "self-harm": r"""
        suicid(?:e|es|al) | kill(?:ing|ed)?\s(?:my|your|him|her)self | kill(?:ing)?\sthemselves
        | self[-\s]harm(?:s|ed|ing)? | end(?:ing)?\s(?:my|your)\s(?:own\s)?life | wants?\sto\sdie | better\soff\sdead
        """,
    "violence": r"""
        kill(?:s|ed|ing)?\s(?:you|him|them|someone|somebody|people) | murder(?:s|ed|er|ers|ing)?
        | stabb(?:ed|ing) | rap(?:e|ed|es|ing|ist|ists) | tortur(?:e|es|ed|ing) | massacre(?:s|d)?
        | behead(?:s|ed|ing)?
        """,
}
_UNSAFE_CHINESE = {
    "profanity": "操你|草泥马|傻逼|他妈的|狗娘养|王八蛋|婊子",
    "self-harm": "自杀|自残|轻生|不想活了",
    "violence": "杀了你|杀死你|杀人|强奸|酷刑|砍死",
}
_UNSAFE_WORDS = [
    (kind, re.compile(rf"\b(?:{pattern})\b|{_UNSAFE_CHINESE[kind]}", re.IGNORECASE | re.VERBOSE))
    for kind, pattern in _UNSAFE.items()
]

_ADDRESS = re.compile(
    r"https?://\S+|\bwww\.\S+|\b[\w.-]+@[\w.-]+|\b[\w-]+\.(?:com|org|net|io|cn|edu|gov)\b", re.IGNORECASE
)
_LIST_ITEM = re.compile(r"^[ \t]*[-–—•·+][ \t]+\S+", re.MULTILINE)
_SPOKEN_SYMBOLS = frozenset("%&$€£¥°+'\u2019\u02bc")
_DASHES_AND_QUOTES = frozenset(("Pd", "Pi", "Pf"))
_PUNCTUATION = frozenset('.,!?;:"-()…、。，！？；：（）《》·「」『』')
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")


def find_refusal(text: str) -> str:
    """Words by which an assistant refuses a request or refers to itself as a model."""
    return _found(REFUSALS, text)


def find_thinking(text: str) -> str:
    """Tags and control tokens of a model, and the words by which it starts to think about a user."""
    return _found(_THINKING, text)


def find_unsafe(text: str) -> str:
    """``<kind>: <words>``; English words are matched whole."""
    for kind, pattern in _UNSAFE_WORDS:
        if found := _found(pattern, text):
            return f"{kind}: {found}"
    return ""


def find_unspeakable(text: str) -> str:
    """An address of the web or of mail, an item of a list, or a character that no voice speaks: emoji, Markdown,
    brackets, other symbols."""
    for pattern in (_ADDRESS, _LIST_ITEM):
        if found := _found(pattern, text):
            return found
    return next((character for character in text if not _is_speakable(character)), "")


def find_digits(text: str) -> str:
    """A number in digits. Voices read them differently, and a recogniser writes words."""
    return _found(_NUMBER, text)


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[0].strip() if match else ""


def _is_speakable(character: str) -> bool:
    category = unicodedata.category(character)
    return (
        category[0] in "LM"
        or category in _DASHES_AND_QUOTES
        or category == "Nd"
        or character.isspace()
        or character in _PUNCTUATION
        or character in _SPOKEN_SYMBOLS
    )
