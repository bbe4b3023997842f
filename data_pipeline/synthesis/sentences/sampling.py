"""Sentences to train voices on: everyday ones from templates, and messages of the embedded writer's dialogues."""

import itertools
import random
import re
from collections.abc import Iterator, Sequence
from typing import TypeVar

from data_pipeline.records import RejectedRow
from data_pipeline.synthesis.embedded_writer import EmbeddedWriter
from data_pipeline.synthesis.embedded_writer.english import sentence
from data_pipeline.synthesis.embedded_writer.scene import AGES, EMOTIONS
from data_pipeline.synthesis.protocols import Person, ReplyRequest, UserTurnRequest, WrittenMessage
from data_pipeline.synthesis.sentences.fields import FIELDS
from data_pipeline.synthesis.sentences.held_out import HELD_OUT_SENTENCES
from data_pipeline.synthesis.sentences.templates import TEMPLATES

_ROUNDS = 60
"""Of all templates: about 20,000 sentences with the messages."""
_LENGTHS = range(4, 19)
"""Words of a sentence."""
_IGNORED = 2
"""Words by which two near sentences may differ."""
_FIELD = re.compile(r"\{(\w+)\}")
_Result = TypeVar("_Result")


def write_sentences(count: int, seed: int) -> tuple[str, ...]:
    """``count`` different sentences in an order that ``seed`` determines; fewer are the first of more.

    Templates have names, numbers, dates and places; messages have the words of conversations. They alternate until
    there are enough, without messages that were there before or are long: 4,000 of both have more different phoneme
    trigrams (4,075) than 4,000 of templates (3,501) or messages (3,545) alone. No part of a sentence is near one of
    :data:`~data_pipeline.synthesis.sentences.held_out.HELD_OUT_SENTENCES`. Raises ``ValueError`` where there are too
    few.
    """
    held_out = {key for text in HELD_OUT_SENTENCES for key in _keys(words_of(text))}
    written: dict[str, None] = {}
    for text in itertools.chain.from_iterable(zip(_from_templates(seed), _messages(seed), strict=False)):
        if len(written) == count:
            break
        if len(words_of(text)) in _LENGTHS and not any(held_out & _keys(part) for part in _parts(text)):
            written.setdefault(text)
    if len(written) < count:
        raise ValueError(f"cannot write {count} sentences: only {len(written)} were found")
    return tuple(written)


def words_of(text: str) -> tuple[str, ...]:
    """In lower case, without punctuation."""
    return tuple(re.findall(r"[a-z']+", text.lower()))


def near(text: str, other: str) -> bool:
    """Whether both become the same when at most two words are removed from each."""
    return bool(_keys(words_of(text)) & _keys(words_of(other)))


def _keys(words: tuple[str, ...]) -> set[tuple[str, ...]]:
    """What remains of ``words`` without at most two of them."""
    sizes = range(max(len(words) - _IGNORED, 0), len(words) + 1)
    return {key for size in sizes for key in itertools.combinations(words, size)}


def _parts(text: str) -> Iterator[tuple[str, ...]]:
    """The words of each sentence in ``text``, from each of its words on: an opening phrase may precede anything."""
    for each in re.split(r"(?<=[.?!]) ", text):
        words = words_of(each)
        for start in range(len(words)):
            yield words[start:]


def _from_templates(seed: int) -> Iterator[str]:
    """Many rounds of all templates. Each value of a field is used before one of them is used again."""
    rng = random.Random(seed)
    values = {name: _cycle(values, random.Random(f"{seed} {name}")) for name, values in FIELDS.items()}
    for _ in range(_ROUNDS):
        for template in rng.sample(TEMPLATES, len(TEMPLATES)):
            yield _filled(template, values)


def _cycle(values: tuple[str, ...], rng: random.Random) -> Iterator[str]:
    while True:
        yield from rng.sample(values, len(values))


def _filled(template: str, values: dict[str, Iterator[str]]) -> str:
    used: set[str] = set()

    def value(match: re.Match[str]) -> str:
        chosen = next(value for value in values[match[1]] if value not in used)
        used.add(chosen)
        return chosen

    return sentence(_FIELD.sub(value, template))


def _messages(seed: int) -> Iterator[str]:
    """The messages of dialogues of two turns, on each topic in turn."""
    writer = EmbeddedWriter()
    for number, topic in enumerate(itertools.cycle((*writer.topics, *writer.general_topics))):
        rng = random.Random(f"{seed} {number}")
        person = Person(age=rng.choice(AGES), emotion=rng.choice(EMOTIONS))
        request = UserTurnRequest(topic=topic, person=person, count=1, seed=rng.getrandbits(31))
        for text in _only(writer.user_turns([request])):
            first = WrittenMessage(role="user", text=text, person=person)
            reply = WrittenMessage(role="assistant", text=_reply(writer, (first,), request.seed))
            follow_up = _only(writer.follow_ups([ReplyRequest(messages=(first, reply), seed=request.seed)]))
            second = WrittenMessage(role="user", text=follow_up, person=person)
            yield from (text, reply.text, follow_up, _reply(writer, (first, reply, second), request.seed))


def _reply(writer: EmbeddedWriter, messages: tuple[WrittenMessage, ...], seed: int) -> str:
    return _only(writer.replies([ReplyRequest(messages=messages, seed=seed)])).text


def _only(results: Sequence[_Result | RejectedRow]) -> _Result:
    [result] = results
    if isinstance(result, RejectedRow):
        raise result
    return result
