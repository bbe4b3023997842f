"""Whose voices users have: seed clips that are cloned, or the embedded voices."""

import random
from collections import Counter
from collections.abc import Iterator

from data_pipeline.dataset import absolute_url
from data_pipeline.dialogues.config import TextConfig, VoicesConfig
from data_pipeline.dialogues.utterances import Cast, Voice
from data_pipeline.synthesis.flite import find_flite
from data_pipeline.synthesis.protocols import Person
from data_pipeline.synthesis.seeds import check_coverage, match, read_seeds
from data_pipeline.synthesis.speakers.embedded import EMBEDDED_VOICES


class CastingError(ValueError):
    """No voice speaks the language."""


class EmbeddedCast:
    """Embedded voices that ``programs`` speak (``espeak``, ``flite``); the voice of the replies is no user's.

    Where no voice has the age of a person, one of any age; where there is none, one of any age and gender.
    """

    def __init__(self, reply_voice: str, programs: tuple[str, ...]) -> None:
        voices = EMBEDDED_VOICES.values()
        self._voices = [v for v in voices if v.name != reply_voice and v.name.partition(":")[0] in programs]

    def __call__(self, person: Person, language: str, rng: random.Random) -> tuple[Voice, Person]:
        """Raises :class:`CastingError`."""
        voices = [voice for voice in self._voices if voice.language == language]
        if not voices:
            raise CastingError(f"no embedded voice speaks {language!r}: expected seed clips, or another language")
        of_gender = [voice for voice in voices if person.gender in ("", voice.gender)]
        of_age = [voice for voice in of_gender if person.age in ("", voice.age)]
        chosen = rng.choice(of_age or of_gender or voices)
        return Voice(name=chosen.name), Person(gender=chosen.gender, age=chosen.age, emotion=person.emotion)


class SeedCast:
    """Seed clips of the table at ``url``; those of the same labels take turns."""

    def __init__(self, url: str) -> None:
        self._directory = absolute_url(url).rpartition("/")[0]
        self.seeds, self._used = read_seeds(url), Counter[tuple[Person, str]]()

    def __call__(self, person: Person, language: str, rng: random.Random) -> tuple[Voice, Person]:
        """Raises :class:`~data_pipeline.records.RejectedRow` where no clip has the emotion."""
        clip = match(self.seeds, person, language, self._used[person, language])
        self._used[person, language] += 1
        voice = Voice(clip=f"{self._directory}/{clip.audio}", clip_text=clip.text)
        return voice, Person(gender=clip.gender, age=clip.age, emotion=clip.emotion)


def cast_of(voices: VoicesConfig, texts: TextConfig) -> Cast:
    """The casting of a configuration.

    Raises :class:`~data_pipeline.synthesis.seeds.SeedError` where the seed clips lack an emotion of the users.
    """
    if voices.seeds:
        cast = SeedCast(voices.seeds)
        check_coverage(cast.seeds, _users(texts))
        return cast
    return EmbeddedCast(voices.reply_voice.name, ("espeak", "flite") if find_flite() else ("espeak",))


def _users(texts: TextConfig) -> Iterator[tuple[Person, str]]:
    """All emotions of users, and their languages."""
    if texts.empathetic:
        yield from ((Person(emotion=emotion), texts.language) for emotion in texts.emotions)
    if texts.general:
        yield Person(), texts.language
    if texts.tools:
        yield Person(), "en"
