"""espeak-ng's voices: variants that Whisper tiny.en understands with at most 30 % word errors, as many persons.

Children are variants at a child's pitch with the formants of a shorter vocal tract. The elderly speak slowly and low,
with the formants of a longer one.
"""

from dataclasses import dataclass

from data_pipeline.records import Age, Gender
from data_pipeline.synthesis.speakers.voice import EmbeddedVoice


@dataclass(frozen=True, kw_only=True, slots=True)
class EspeakVoice(EmbeddedVoice):
    """An espeak-ng ``language+variant`` with its settings.

    ``pitch`` is a shift of the variant's own in semitones. ``formants`` scales all formants, in steps of 0.05:
    above 1 as in a shorter vocal tract, below 1 as in a longer one.
    """

    variant: str
    words_per_minute: int = 165
    pitch: float = 0.0
    formants: float = 1.0


_Settings = tuple[str, int, float, float]
"""Variant, words per minute, shift of the pitch in semitones, factor of the formants."""

_WOMEN: tuple[_Settings, ...] = (
    ("en-us+f1", 150, -2, 1.0),
    ("en-us+f2", 155, -1, 1.0),
    ("en+f3", 160, 0, 1.0),
    ("en-gb-x-rp+f4", 165, 1, 1.0),
    ("en-us+f5", 170, 2, 1.0),
    ("en-gb-x-rp+Annie", 155, 0, 1.0),
    ("en-us+anika", 160, 1, 1.0),
    ("en-us+aunty", 165, 2, 1.0),
    ("en-us+belinda", 170, -2, 1.0),
    ("en-us+linda", 165, -1, 1.0),
    ("en-us+steph", 150, 0, 1.0),
    ("en-us+steph2", 155, 1, 1.0),
    ("en+steph3", 160, 2, 1.0),
    ("en+f1", 160, 1, 1.05),
    ("en-gb-x-rp+f2", 170, 2, 1.05),
    ("en-us+f3", 150, -1, 0.95),
    ("en+f5", 155, -2, 0.95),
    ("en-gb-x-rp+steph", 170, 2, 1.05),
    ("en-us+Annie", 150, -3, 0.95),
)
_MEN: tuple[_Settings, ...] = (
    ("en-us+m1", 155, -1, 1.0),
    ("en-us+m2", 155, -1, 1.0),
    ("en-us+m3", 160, 0, 1.0),
    ("en+m4", 165, 1, 1.0),
    ("en-gb-x-rp+m5", 170, 2, 1.0),
    ("en-us+m6", 170, 1, 1.0),
    ("en-us+m7", 150, -1, 1.0),
    ("en-gb-x-rp+Alex", 160, 1, 1.0),
    ("en-us+Denis", 165, -2, 1.0),
    ("en+Diogo", 170, -1, 1.0),
    ("en-gb-x-rp+Gene", 150, 0, 1.0),
    ("en-us+Henrique", 160, 2, 1.0),
    ("en-us+Michael", 160, -1, 1.0),
    ("en-us+Nguyen", 165, 0, 1.0),
    ("en+Reed", 170, 1, 1.0),
    ("en-gb-x-rp+adam", 170, 1, 1.0),
    ("en-us+benjamin", 150, -2, 1.0),
    ("en-us+ed", 165, 2, 1.0),
    ("en-gb-x-rp+edward2", 150, -1, 1.0),
    ("en-us+gustave", 155, 0, 1.0),
    ("en-us+miguel", 155, 2, 1.0),
    ("en-gb-x-rp+rob", 160, -1, 1.0),
    ("en-us+robert", 165, 0, 1.0),
    ("en-us+sandro", 170, 1, 1.0),
    ("en-us+victor", 155, -1, 1.0),
)
_GIRLS: tuple[_Settings, ...] = (
    ("en+f1", 150, 6, 1.2),
    ("en-gb-x-rp+f2", 155, 5, 1.2),
    ("en-us+f4", 145, 6, 1.2),
    ("en-us+f5", 150, 4, 1.2),
    ("en-us+steph", 155, 6, 1.2),
    ("en-us+steph2", 145, 7, 1.15),
    ("en+belinda", 150, 3, 1.15),
)
_BOYS: tuple[_Settings, ...] = (
    ("en-us+m2", 150, 14, 1.25),
    ("en-us+m3", 155, 14, 1.25),
    ("en-us+m5", 145, 13, 1.25),
    ("en-us+Denis", 150, 14, 1.2),
    ("en-us+Michael", 155, 13, 1.2),
    ("en-us+adam", 145, 13, 1.25),
)
_OLD_WOMEN: tuple[_Settings, ...] = (
    ("en-us+grandma", 130, -3, 0.95),
    ("en-us+f1", 130, -4, 0.95),
    ("en+f2", 125, -3, 0.95),
    ("en-gb-x-rp+Annie", 130, -4, 0.95),
    ("en-us+aunty", 125, -3, 0.95),
    ("en-us+linda", 130, -4, 0.95),
)
_OLD_MEN: tuple[_Settings, ...] = (
    ("en-us+grandpa", 130, -2, 0.95),
    ("en-us+croak", 130, -2, 0.95),
    ("en-us+m1", 125, -4, 0.95),
    ("en-us+m4", 125, -3, 0.95),
    ("en-gb-x-rp+edward", 125, -3, 0.95),
    ("en-us+m6", 125, -4, 0.95),
)
_MANDARIN_WOMEN: tuple[_Settings, ...] = (("cmn+f2", 155, 0, 1.0), ("cmn+steph", 165, 1, 1.0))
_MANDARIN_MEN: tuple[_Settings, ...] = (("cmn+m3", 155, 0, 1.0), ("cmn+adam", 165, 1, 1.0))


def _voices(rows: tuple[_Settings, ...], gender: Gender, age: Age, language: str = "en") -> list[EspeakVoice]:
    """``espeak:<language+variant>``, and ``@<age>`` for any but adults."""
    return [
        EspeakVoice(
            name=f"espeak:{variant}" + (f"@{age}" if age != "adult" else ""),
            gender=gender,
            age=age,
            language=language,
            variant=variant,
            words_per_minute=words_per_minute,
            pitch=pitch,
            formants=formants,
        )
        for variant, words_per_minute, pitch, formants in rows
    ]


ESPEAK_VOICES: dict[str, EspeakVoice] = {
    voice.name: voice
    for voice in (
        *_voices(_WOMEN, "female", "adult"),
        *_voices(_MEN, "male", "adult"),
        *_voices(_GIRLS, "female", "child"),
        *_voices(_BOYS, "male", "child"),
        *_voices(_OLD_WOMEN, "female", "elderly"),
        *_voices(_OLD_MEN, "male", "elderly"),
        *_voices(_MANDARIN_WOMEN, "female", "adult", "zh"),
        *_voices(_MANDARIN_MEN, "male", "adult", "zh"),
    )
}
"""By name, such as ``espeak:en-us+f2`` and ``espeak:en-us+f4@child``."""
