"""A spoken corpus of a few espeak-ng utterances."""

from itertools import cycle
from pathlib import Path

from data_pipeline.synthesis.voices import EspeakSpeaker, Voice
from opens2s_core.audio import encode_audio
from opens2s_core.training.voice.corpus import Utterance, write_manifest

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
VOICES = (Voice(name="en-us+f2"), Voice(name="en-us+m3"))


def write_corpus(directory: Path, *, train: int = 8, held_out: int = 2) -> Path:
    """``train`` and ``held_out`` utterances of two voices; the last ones are held out."""
    (directory / "audio").mkdir(parents=True)
    speaker, utterances = EspeakSpeaker(), []
    for index, voice in zip(range(train + held_out), cycle(VOICES), strict=False):
        text = TEXTS[index % len(TEXTS)]
        waveform, rate = speaker.speak(text, voice, "neutral")
        name = f"utterance-{index}"
        (directory / "audio" / f"{name}.flac").write_bytes(encode_audio(waveform, rate))
        utterances.append(
            Utterance(
                id=name,
                file=f"audio/{name}.flac",
                text=text,
                voice=voice.name,
                feeling="neutral",
                split="train" if index < train else "held_out",
                samples=len(waveform),
                rate=rate,
            )
        )
    write_manifest(directory, utterances)
    return directory
