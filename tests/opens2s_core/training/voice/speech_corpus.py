"""A speech corpus of a few espeak-ng utterances."""

from itertools import cycle
from pathlib import Path

from opens2s_core.audio import encode_audio
from opens2s_core.training.voice.corpus import Utterance, write_manifest
from tests.spoken import MAN, WOMAN, speak

TEXTS = (
    "I am so glad.",
    "That is good news!",
    "What a day, my friend.",
    "Are you all right?",
    "Please tell me more.",
    "We can talk about it.",
    "It's late.",
    "Good night, and sleep well.",
)


def write_corpus(directory: Path, *, train: int = 8, held_out: int = 2) -> Path:
    """``train`` and ``held_out`` utterances of two voices; the last ones are held out."""
    (directory / "audio").mkdir(parents=True)
    utterances = []
    for index, voice in zip(range(train + held_out), cycle((WOMAN, MAN)), strict=False):
        text = TEXTS[index % len(TEXTS)]
        speech = speak(text, voice)
        name = f"utterance-{index}"
        (directory / "audio" / f"{name}.flac").write_bytes(encode_audio(speech.samples, speech.rate))
        utterances.append(
            Utterance(
                id=name,
                file=f"audio/{name}.flac",
                text=text,
                voice=voice,
                emotion="neutral",
                split="train" if index < train else "held_out",
                samples=len(speech.samples),
                rate=speech.rate,
            )
        )
    write_manifest(directory, utterances)
    return directory
