"""English: articles, capitals, contractions, and the user's words from the assistant's point of view."""

import re
from collections.abc import Mapping

_LONE_ARTICLE = re.compile(r"\b(a) (?=[aeiou](?!ne\b|ni[cfv]|se|uro))", re.IGNORECASE)
_SENTENCE_START = re.compile(r"(?:^|(?<=[.?] ))[a-z]")
# "you are" precedes "are not": "you're not" is more usual than "you aren't".
_CONTRACTIONS: Mapping[str, str] = {
    "cannot": "can't",
    "will not": "won't",
    "I am": "I'm",
    "you are": "you're",
    "we are": "we're",
    "it is": "it's",
    "That is": "That's",
    "what is": "what's",
    "let us": "let's",
    **{f"{word} not": f"{word}n't" for word in "do does did is are was were has have had would could should".split()},  # noqa: SIM905
}
_LONG = re.compile(
    rf"\b({'|'.join(long for word in _CONTRACTIONS for long in (word, word[0].upper() + word[1:]))})"
    "(?= [a-zA-Z])"
)
_SHORT: Mapping[str, str] = {short.lower(): long.lower() for long, short in _CONTRACTIONS.items()}
_REFLECTED: Mapping[str, str] = {
    "I": "you",
    "me": "you",
    "we": "you",
    "us": "you",
    "my": "your",
    "our": "your",
    "ours": "yours",
    "myself": "yourself",
}
_FIRST_PERSON = re.compile(rf"\b({'|'.join(_REFLECTED)})\b")


def sentence(text: str) -> str:
    """With capitals where sentences begin, and *an* where it belongs."""
    text = _LONE_ARTICLE.sub(r"\1n ", text)
    return _SENTENCE_START.sub(lambda match: match[0].upper(), text)


def contracted(text: str) -> str:
    """As people speak: *I'm* for *I am*. :func:`normalised` undoes it."""

    def short(match: re.Match[str]) -> str:
        written = _CONTRACTIONS.get(match[0]) or _CONTRACTIONS[match[0][0].lower() + match[0][1:]]
        return match[0][0] + written[1:]

    return _LONG.sub(short, text)


def reflected(text: str) -> str:
    """What a user says of itself, from the assistant's point of view: *your sister* for *my sister*."""
    return _FIRST_PERSON.sub(lambda match: _REFLECTED[match[0]], text)


def words(text: str) -> list[str]:
    """In lower case, without punctuation and contractions."""
    found = re.findall(r"[a-z']+", text.lower())
    return [part for word in found for part in _SHORT.get(word, word).split()]


def normalised(text: str) -> str:
    return " ".join(words(text))
