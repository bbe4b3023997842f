"""The data types of the grammar: topics, their scenes and the follow-ups of a topic."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from data_pipeline.records import Age, Emotion

EMOTIONS: tuple[Emotion, ...] = ("neutral", "happy", "sad", "angry", "fearful", "surprised")
AGES: tuple[Age, ...] = ("child", "young", "adult", "elderly")
TONES = ("neutral", "warm", "gentle", "cheerful", "calm", "concerned", "excited")


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """One thing that people say, in several phrasings, with the replies to each emotion.

    All are templates: ``{who}`` is a field of ``fields``. ``{they}``, ``{them}`` and ``{their}`` are the pronouns of
    ``{who}``, in the singular; ``{the_thing}`` is *the key* where ``{thing}`` is *a key*. ``about`` is a noun phrase in
    the user's words, which follow-ups refer to. Replies and ``about`` use only fields that every phrasing has.
    """

    texts: tuple[str, ...]
    about: str
    replies: Mapping[Emotion, str]  # by the emotions in which users say it; after a lead-in phrase
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ages: tuple[Age, ...] = AGES


@dataclass(frozen=True, kw_only=True, slots=True)
class Topic:
    """``questions`` are follow-ups of users that suit each scene, with the answer."""

    name: str
    scenes: tuple[Scene, ...]
    questions: tuple[tuple[str, str], ...]
