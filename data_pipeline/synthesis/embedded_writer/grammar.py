"""All first turns of users that the topics allow, and their topic and fields from the text."""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from data_pipeline.records import Age, Emotion
from data_pipeline.synthesis.embedded_writer.english import normalised, reflected, sentence
from data_pipeline.synthesis.embedded_writer.scene import AGES, Scene, Topic
from data_pipeline.synthesis.embedded_writer.topics import TOPICS
from data_pipeline.synthesis.embedded_writer.topics.fields import AGES_OF_VALUES, FEMALE, MALE

OPENINGS = (
    "well",
    "you know",
    "listen",
    "so",
    "by the way",
    "you know what",
    "just so you know",
    "I have to tell you something",
)
"""May precede a statement, with a comma."""

_FIELD = re.compile(r"\{(\w+)\}")
_PRONOUNS = frozenset({"they", "them", "their"})
_STATEMENT = re.compile(r"(my|our|the|an?|I|we|there|they|somebody|nobody|everybody|it) .+\.", re.IGNORECASE)
_OPENING = re.compile(rf"({'|'.join(sorted(map(normalised, OPENINGS), key=len, reverse=True))}) ")


@dataclass(frozen=True, slots=True)
class Turn:
    """A first turn of a user. ``text`` is without opening and contractions."""

    text: str
    topic: Topic
    scene: Scene
    phrasing: int  # index in ``scene.texts``
    fields: tuple[tuple[str, str], ...]

    def reply(self, template: str) -> str:
        """The template with this turn's fields, from the assistant's point of view."""
        values = dict(self.fields)
        values["about"] = filled(self.scene.about, values)
        return sentence(filled(template, {name: reflected(value) for name, value in values.items()}))

    def follow_up(self, template: str) -> str:
        """The template with this turn's fields, in the user's words."""
        values = dict(self.fields)
        return sentence(filled(template, values | {"about": filled(self.scene.about, values)}))

    def suits(self, age: Age) -> bool:
        """Whether somebody of this age may say so. Everything suits an unknown age."""
        return age == "" or (
            age in self.scene.ages
            and all(age in AGES_OF_VALUES.get(value.removeprefix("my "), AGES) for _, value in self.fields)
        )


def filled(template: str, values: Mapping[str, str]) -> str:
    """The template with its fields, the pronouns of ``who``, and ``the_thing``: *the key* where ``thing`` is *a key*.

    KeyError where a field has no value.
    """
    who = re.sub("^(my|your) ", "", values.get("who", ""))
    if who in FEMALE:
        values = {**values, "they": "she", "them": "her", "their": "her"}
    elif who in MALE:
        values = {**values, "they": "he", "them": "him", "their": "his"}
    definite = {f"the_{name}": re.sub("^an? ", "the ", value) for name, value in values.items()}
    return template.format_map({**values, **definite})


def fields_of(template: str) -> frozenset[str]:
    """The names of its fields, without pronouns."""
    return frozenset(name.removeprefix("the_") for name in _FIELD.findall(template)) - _PRONOUNS


def spoken_with(opening: str, text: str) -> str:
    """The text after an opening phrase, unless it is a question or begins like an opening itself."""
    if not _STATEMENT.fullmatch(text):
        return text
    start = text if re.match(r"I\b", text) else text[0].lower() + text[1:]
    return sentence(f"{opening}, {start}")


def parse(text: str) -> Turn | None:
    """The turn whose words these are, with or without an opening; None where it is not of the grammar."""
    written = normalised(text)
    return _turns().get(written) or _turns().get(_OPENING.sub("", written, count=1))


def all_turns() -> tuple[Turn, ...]:
    return tuple(_turns().values())


@cache
def cell(topic: str, emotion: Emotion, age: Age) -> tuple[tuple[Turn, ...], ...]:
    """What people of this age say on the topic with this emotion, by scene and phrasing."""
    groups: dict[tuple[int, int], list[Turn]] = {}
    for turn in _turns_by_topic()[topic]:
        if emotion in turn.scene.replies and turn.suits(age):
            groups.setdefault((id(turn.scene), turn.phrasing), []).append(turn)
    return tuple(tuple(turns) for turns in groups.values())


@cache
def _turns() -> dict[str, Turn]:
    """By normalised text."""
    turns: dict[str, Turn] = {}
    for turn in _expansion():
        if (other := turns.setdefault(normalised(turn.text), turn)) is not turn and other.scene is not turn.scene:
            raise ValueError(f"{turn.text!r} is of two scenes, of {other.topic.name} and of {turn.topic.name}")
    return turns


@cache
def _turns_by_topic() -> dict[str, list[Turn]]:
    turns: dict[str, list[Turn]] = {topic.name: [] for topic in TOPICS}
    for turn in _turns().values():
        turns[turn.topic.name].append(turn)
    return turns


def _expansion() -> Iterator[Turn]:
    for topic in TOPICS:
        for scene in topic.scenes:
            for phrasing, template in enumerate(scene.texts):
                names = sorted(fields_of(template))
                for values in itertools.product(*(scene.fields[name] for name in names)):
                    fields = tuple(zip(names, values, strict=True))
                    text = sentence(filled(template, dict(fields)))
                    yield Turn(text, topic, scene, phrasing, fields)
