"""How an emotion and a tone of delivery sound: ranges of five prosodic features, from which each clip draws its own.

The directions follow the reviews of vocal expression of emotion: sadness is slow, low, narrow and soft with long
pauses, anger and happiness are fast, wide and loud, fear is fast, high and narrow (Scherer 2003; Juslin & Laukka 2003).
The ranges of neighbouring emotions overlap, so that no single feature determines the emotion.
"""

import random
import re
from dataclasses import dataclass

from data_pipeline.records import Emotion, RejectedRow

Range = tuple[float, float]
"""Lowest and highest value. A clip's value is uniform between them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prosody:
    """Prosody relative to a voice's own. Independent of the voice; the default changes nothing."""

    rate: float = 1.0  # factor of the speaking rate
    pitch: float = 0.0  # shift of the median of f0 in semitones
    pitch_range: float = 1.0  # factor of the distance of f0 from its median, in semitones
    loudness: float = 0.0  # dB from the level that all voices share
    pauses: float = 1.0  # factor of the length of the pauses within the utterance


@dataclass(frozen=True, kw_only=True, slots=True)
class ProsodyRanges:
    """For each feature of :class:`Prosody` the range of its values."""

    rate: Range
    pitch: Range
    pitch_range: Range
    loudness: Range
    pauses: Range

    def draw(self, rng: random.Random) -> Prosody:
        return Prosody(
            rate=rng.uniform(*self.rate),
            pitch=rng.uniform(*self.pitch),
            pitch_range=rng.uniform(*self.pitch_range),
            loudness=rng.uniform(*self.loudness),
            pauses=rng.uniform(*self.pauses),
        )


EMOTION_RANGES: dict[Emotion, ProsodyRanges] = {
    "neutral": ProsodyRanges(
        rate=(0.9, 1.1), pitch=(-1.5, 1.5), pitch_range=(0.65, 1.2), loudness=(-2.5, 2.5), pauses=(0.7, 1.3)
    ),
    "happy": ProsodyRanges(
        rate=(0.98, 1.2), pitch=(0.5, 4.0), pitch_range=(1.1, 1.9), loudness=(0.0, 4.5), pauses=(0.5, 1.1)
    ),
    "sad": ProsodyRanges(
        rate=(0.76, 0.96), pitch=(-3.0, 0.5), pitch_range=(0.35, 0.85), loudness=(-7.0, -1.0), pauses=(1.1, 2.4)
    ),
    "angry": ProsodyRanges(
        rate=(1.02, 1.25), pitch=(-1.5, 2.0), pitch_range=(0.9, 1.7), loudness=(2.0, 8.0), pauses=(0.4, 1.0)
    ),
    "fearful": ProsodyRanges(
        rate=(1.04, 1.3), pitch=(1.5, 5.0), pitch_range=(0.4, 1.0), loudness=(-5.5, 0.5), pauses=(0.6, 1.6)
    ),
    "surprised": ProsodyRanges(
        rate=(0.84, 1.06), pitch=(2.0, 6.0), pitch_range=(1.5, 2.6), loudness=(0.5, 5.0), pauses=(0.7, 1.5)
    ),
}

TONE_RANGES: dict[str, ProsodyRanges] = {
    "neutral": ProsodyRanges(
        rate=(0.96, 1.04), pitch=(-0.5, 0.5), pitch_range=(0.9, 1.1), loudness=(-1.0, 1.0), pauses=(0.9, 1.1)
    ),
    "warm": ProsodyRanges(
        rate=(0.92, 1.0), pitch=(-1.0, 0.0), pitch_range=(1.05, 1.3), loudness=(-1.0, 1.0), pauses=(1.0, 1.3)
    ),
    "gentle": ProsodyRanges(
        rate=(0.86, 0.96), pitch=(0.0, 1.5), pitch_range=(0.75, 1.0), loudness=(-5.0, -2.0), pauses=(1.1, 1.6)
    ),
    "cheerful": ProsodyRanges(
        rate=(1.0, 1.12), pitch=(1.0, 2.5), pitch_range=(1.2, 1.5), loudness=(0.5, 3.0), pauses=(0.7, 1.0)
    ),
    "calm": ProsodyRanges(
        rate=(0.85, 0.95), pitch=(-2.0, -0.5), pitch_range=(0.6, 0.85), loudness=(-2.5, 0.0), pauses=(1.3, 1.9)
    ),
    "concerned": ProsodyRanges(
        rate=(0.9, 1.0), pitch=(-1.5, 0.0), pitch_range=(0.8, 1.1), loudness=(-3.5, -1.0), pauses=(1.2, 1.8)
    ),
    "excited": ProsodyRanges(
        rate=(1.08, 1.2), pitch=(2.0, 4.0), pitch_range=(1.45, 1.8), loudness=(2.0, 5.0), pauses=(0.6, 0.9)
    ),
}

_SYNONYMS = {
    "warm": "warmly friendly kind affectionate tender loving caring compassionate",
    "gentle": "gently soft softly soothing comforting quiet quietly delicate",
    "cheerful": "cheerfully happy upbeat bright playful joyful light encouraging lively",
    "calm": "calmly steady relaxed patient reassuring composed serene measured slow",
    "concerned": "worried serious sympathetic sad empathetic earnest solemn apologetic sincere",
    "excited": "excitedly enthusiastic enthusiastically energetic thrilled amazed surprised delighted",
    "neutral": "neutrally plain matter factual even",
}
_TONE_OF_WORD = {word: tone for tone, synonyms in _SYNONYMS.items() for word in (tone, *synonyms.split())}


def nearest_tone(tone: str) -> str:
    """The tone of :data:`TONE_RANGES` that the first known word of ``tone`` names, or else ``neutral``."""
    words = re.findall(r"[a-z]+", tone.lower())
    return next((_TONE_OF_WORD[word] for word in words if word in _TONE_OF_WORD), "neutral")


def draw(emotion: Emotion, tone: str, seed: int) -> Prosody:
    """A clip's prosody: that of the tone where there is one, else that of the emotion; an unknown emotion ("") is
    neutral. Raises :class:`RejectedRow` for an emotion without ranges."""
    if tone:
        name = nearest_tone(tone)
        return TONE_RANGES[name].draw(random.Random(f"tone {name} {seed}"))
    ranges = EMOTION_RANGES.get(emotion or "neutral")
    if ranges is None:
        raise RejectedRow(
            f"unknown emotion: embedded voices express {', '.join(EMOTION_RANGES)}, the request has {emotion!r}"
        )
    return ranges.draw(random.Random(f"emotion {emotion or 'neutral'} {seed}"))
