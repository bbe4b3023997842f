"""Whose voices users have: seed clips that are cloned, or the embedded voices."""

import random
from collections import Counter
from collections.abc import Collection

from data_pipeline.dataset import absolute_url
from data_pipeline.dialogues.config import VoicesConfig
from data_pipeline.dialogues.utterances import Cast, Voice
from data_pipeline.synthesis.protocols import Person
from data_pipeline.synthesis.seeds import check_coverage, match, read_seeds
from data_pipeline.synthesis.speakers.embedded import EMBEDDED_VOICES
from data_pipeline.synthesis.speakers.flite import find_flite


class CastingError(ValueError):
    """Speakers and voices that do not fit, or no voice that speaks the language."""


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

    def __init__(self, url: str, people: Collection[tuple[Person, str]]) -> None:
        """Raises :class:`~data_pipeline.synthesis.seeds.SeedError`, also where no clip is there for some of
        ``people`` and languages."""
        self._directory = absolute_url(url).rpartition("/")[0]
        self._seeds, self._used = read_seeds(url), Counter[tuple[Person, str]]()
        check_coverage(self._seeds, people)

    def __call__(self, person: Person, language: str, rng: random.Random) -> tuple[Voice, Person]:
        clip = match(self._seeds, person, language, self._used[person, language])
        self._used[person, language] += 1
        voice = Voice(clip=f"{self._directory}/{clip.audio}", clip_text=clip.text)
        return voice, Person(gender=clip.gender, age=clip.age, emotion=clip.emotion)


def cast_of(voices: VoicesConfig, people: Collection[tuple[Person, str]]) -> Cast:
    """The casting of a configuration, for users who are ``people`` and speak these languages.

    Raises :class:`CastingError` and :class:`~data_pipeline.synthesis.seeds.SeedError`.
    """
    user, reply = (_clones(speaker) for speaker in (voices.user_speaker, voices.reply_speaker))
    if user and not voices.seeds:
        raise CastingError(f"user speaker {voices.user_speaker} clones: expected a table of seed clips (seeds)")
    if voices.seeds and not user:
        raise CastingError(
            f"user speaker {voices.user_speaker} cannot clone the clips of {voices.seeds}: expected cosyvoice2:URL or "
            "cosyvoice3:URL"
        )
    if voices.user_speaker.startswith("openai:"):
        raise CastingError(f"user speaker {voices.user_speaker} has no voices of people: expected one that clones")
    voice = voices.reply_voice
    if reply and not (voice.clip and voice.clip_text.strip()):
        raise CastingError(
            f"reply speaker {voices.reply_speaker} clones: expected a reply voice FILE=TEXT, a clip and what is spoken "
            f"in it, got {voice.name or f'{voice.clip}={voice.clip_text}'!r}"
        )
    if voice.clip and not reply:
        raise CastingError(
            f"reply speaker {voices.reply_speaker} cannot clone {voice.clip}: expected the name of one of its voices"
        )
    if voices.seeds:
        return SeedCast(voices.seeds, people)
    return EmbeddedCast(voices.reply_voice.name, ("espeak", "flite") if find_flite() else ("espeak",))


def _clones(speaker: str) -> bool:
    return speaker.startswith("cosyvoice")
