"""Sentences to be read aloud: everyday ones made of frames, and what the closed domain's people say to each other."""

import hashlib
import itertools
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from data_pipeline.synthesis.frames import FRAMES, SLOTS
from data_pipeline.synthesis.phrases import LEADS, OPENERS, TOPICS

_HELD_OUT_OF_TEN = 1
"""Stems in ten that no training ever sees, whatever the seed."""
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    train: tuple[Sentence, ...]
    held_out: tuple[Sentence, ...]


def write_sentences(train: int, held_out: int, seed: int) -> Material:
    """So many different sentences, as ``seed`` orders them; fewer are the first of more.

    Which stem is held out follows from its words alone, so that no corpus trains on what another holds out. Beyond
    that no training sentence resembles a held-out one of this material (:func:`near`), and held-out stems differ.
    ``ValueError`` where there are too few.
    """
    held: dict[str, Sentence] = {}
    for sentence in _candidates(seed):
        if len(held) == held_out:
            break
        if is_held_out(sentence.stem):
            held.setdefault(sentence.stem, sentence)
    blocked = {key for stem in held for key in _keys(stem)}
    kept: dict[str, Sentence] = {}
    for sentence in _candidates(seed):
        if len(kept) == train:
            break
        if not is_held_out(sentence.stem) and blocked.isdisjoint(_keys(sentence.stem)):
            kept.setdefault(sentence.text, sentence)
    if len(held) < held_out or len(kept) < train:
        raise ValueError(
            f"cannot write {train} sentences and hold out {held_out}: only {len(kept)} and {len(held)} were found"
        )
    return Material(train=tuple(kept.values()), held_out=tuple(held.values()))


def words_of(text: str) -> tuple[str, ...]:
    """What is said, without case and punctuation."""
    return tuple(re.findall(r"[a-z']+", text.lower()))


def is_held_out(stem: str) -> bool:
    return hashlib.sha256(" ".join(words_of(stem)).encode()).digest()[0] % 10 < _HELD_OUT_OF_TEN


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
