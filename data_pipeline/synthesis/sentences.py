"""Sentences to be read aloud: everyday ones made of frames, and what the closed domain's people say to each other."""

import itertools
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from data_pipeline.synthesis.everyday import EVERYDAY
from data_pipeline.synthesis.frames import FRAMES, SLOTS
from data_pipeline.synthesis.phrases import LEADS, OPENERS, TOPICS

_FRAMES_PER_EXCHANGE = 5
_ROUNDS = 200
"""Of all frames: some 30,000 sentences."""
_SPARED = 2
"""Words by which near stems may differ."""
_SLOT = re.compile(r"\{(\w+)\}")
_LONE_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou](?!niversity|niform|seful|uro))", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sentence:
    """``stem`` is the sentence without an opening phrase that many sentences share."""

    text: str
    stem: str


def write_sentences(count: int, seed: int) -> tuple[Sentence, ...]:
    """So many different sentences to learn from, as ``seed`` orders them; fewer are the first of more.

    None resembles one of :data:`~data_pipeline.synthesis.everyday.EVERYDAY` (:func:`near`). ``ValueError`` where there
    are too few.
    """
    blocked = {key for text in EVERYDAY for key in _keys(text)}
    kept: dict[str, Sentence] = {}
    for sentence in _candidates(seed):
        if len(kept) == count:
            break
        if blocked.isdisjoint(_keys(sentence.stem)):
            kept.setdefault(sentence.text, sentence)
    if len(kept) < count:
        raise ValueError(f"cannot write {count} sentences: only {len(kept)} were found")
    return tuple(kept.values())


def words_of(text: str) -> tuple[str, ...]:
    """What is said, without case and punctuation."""
    return tuple(re.findall(r"[a-z']+", text.lower()))


def near(stem: str, other: str) -> bool:
    """Whether the same words in the same order are left when at most two are taken from each."""
    return not _keys(stem).isdisjoint(_keys(other))


def _keys(stem: str) -> set[tuple[str, ...]]:
    """Every remainder of a stem when at most two of its words are taken."""
    words = words_of(stem)
    sizes = range(max(len(words) - _SPARED, 0), len(words) + 1)
    return {left for size in sizes for left in itertools.combinations(words, size)}


def _candidates(seed: int) -> Iterator[Sentence]:
    """Sentences in an order of ``seed``: many rounds of all frames, among them the exchanges of the closed domain.

    Every word of a slot comes before one of them comes again.
    """
    rng = random.Random(seed)
    bags = {slot: _cycle(words, random.Random(f"{seed} {slot}")) for slot, words in SLOTS.items()}
    exchanges = _domain_sentences()
    rng.shuffle(exchanges)
    rest = iter(exchanges)
    for _ in range(_ROUNDS):
        for number, frame in enumerate(rng.sample(FRAMES, len(FRAMES))):
            text = _fill(frame, bags)
            yield Sentence(text=text, stem=text)
            if number % _FRAMES_PER_EXCHANGE == 0 and (exchange := next(rest, None)):
                yield exchange


def _cycle(words: tuple[str, ...], rng: random.Random) -> Iterator[str]:
    while True:
        yield from rng.sample(words, len(words))


def _fill(frame: str, bags: dict[str, Iterator[str]]) -> str:
    used: set[str] = set()

    def word(match: re.Match[str]) -> str:
        chosen = next(word for word in bags[match[1]] if word not in used)
        used.add(chosen)
        return chosen

    text = _LONE_ARTICLE.sub(r"\1n ", _SLOT.sub(word, frame))
    return text[0].upper() + text[1:]


def _domain_sentences() -> list[Sentence]:
    """What users say with each opener and what listeners answer with each lead, 1440 in all."""
    spoken = [
        (opening, clause)
        for turns in TOPICS.values()
        for feeling, (told, answered) in turns.items()
        for opening, clause in (
            *((opener, told) for opener in OPENERS[feeling]),
            *((lead, answered) for lead in LEADS[feeling]),
        )
    ]
    return [Sentence(text=f"{opening} {clause}", stem=clause) for opening, clause in spoken]
