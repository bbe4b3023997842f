"""What is to be spoken for the dialogues: each text in each voice and tone once."""

import hashlib
import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from data_pipeline.synthesis.protocols import Person
from opens2s_core.config import config_to_dict

Side = Literal["user", "reply"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Voice:
    """One of a speaker's own voices by ``name``, or the path or URL of a ``clip`` to clone, in which ``clip_text`` is
    spoken."""

    name: str = ""
    clip: str = ""
    clip_text: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedUtterance:
    """Planned, but not yet spoken. Users speak in their emotion, replies in a tone."""

    side: Side
    text: str
    language: str
    voice: Voice
    person: Person  # the labels of a user; of replies none
    tone: str
    seed: int  # of the prosody

    @property
    def id(self) -> str:
        """Of all that it is made from."""
        return hashlib.sha256(json.dumps(config_to_dict(self), sort_keys=True).encode()).hexdigest()[:20]


Cast = Callable[[Person, str, random.Random], tuple[Voice, Person]]
"""Chooses the voice of a person who speaks a language; returns it with its own labels, of which age and gender may be
others where no voice has those of the person."""


def planned_utterances(dialogue: dict[str, Any], cast: Cast, reply_voice: Voice) -> list[PlannedUtterance | None]:
    """One for each message of a dialogue (row of schema WRITTEN); None for a message that is not spoken.

    A user has one voice in all messages of a dialogue.
    """
    person = Person(gender=dialogue["gender"], age=dialogue["age"], emotion=dialogue["emotion"])
    rng = random.Random(dialogue["id"])
    voice, person = cast(person, dialogue["language"], rng)

    def plan(message: dict[str, Any]) -> PlannedUtterance | None:
        if not message["spoken"]:
            return None
        text, language = message["text"], dialogue["language"]
        if message["role"] == "user":
            return PlannedUtterance(
                side="user",
                text=text,
                language=language,
                voice=voice,
                person=person,
                tone="",
                seed=rng.getrandbits(31),
            )
        # Its prosody follows from text and tone: the same reply is spoken once in a corpus.
        seed = random.Random(f"{text} {message['tone']}").getrandbits(31)
        return PlannedUtterance(
            side="reply",
            text=text,
            language=language,
            voice=reply_voice,
            person=Person(),
            tone=message["tone"],
            seed=seed,
        )

    return [plan(message) for message in dialogue["messages"]]


def distinct(utterances: Iterable[PlannedUtterance]) -> dict[str, PlannedUtterance]:
    """By id, in the order of their first occurrence."""
    found: dict[str, PlannedUtterance] = {}
    for utterance in utterances:
        found.setdefault(utterance.id, utterance)
    return found
