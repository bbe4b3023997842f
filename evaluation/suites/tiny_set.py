"""The set of the suite ``tiny``: sentences that are held out from training, spoken by embedded voices."""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_pipeline.records import Emotion, RejectedRow
from data_pipeline.synthesis.embedded_writer import EMOTIONS, EmbeddedWriter
from data_pipeline.synthesis.embedded_writer.general import OTHER
from data_pipeline.synthesis.embedded_writer.grammar import Turn
from data_pipeline.synthesis.embedded_writer.held_out import HELD_OUT_VOICES, HeldOut
from data_pipeline.synthesis.protocols import Person, ReplyRequest, Speaker, SpeechRequest, WrittenMessage
from data_pipeline.synthesis.speakers.embedded import EMBEDDED_VOICES, EmbeddedSpeaker
from opens2s_core.audio import encode_audio

SEEN_VOICES, UNSEEN_VOICES, DIALOGUES, OUTSIDE = "seen-voices", "unseen-voices", "dialogues", "outside"
"""Groups of items: unseen sentences in voices of training, and in others; dialogues; what is out of the domain."""
MANIFEST = "tiny.jsonl"
_DIALOGUE_TURNS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class TinyConfig:
    """Numbers of items. Of those in one turn, each sentence is spoken twice, in two feelings; the numbers are even.

    Voices are those of adults. ``seen_voices`` are those of training, by default all espeak-ng's but
    :data:`~data_pipeline.synthesis.embedded_writer.held_out.HELD_OUT_VOICES`.
    """

    seed: int = 0
    seen_voice_turns: int = 500
    unseen_voice_turns: int = 500
    dialogues: int = 100
    outside: int = 100
    seen_voices: tuple[str, ...] = tuple(
        name
        for name, voice in EMBEDDED_VOICES.items()
        if name.startswith("espeak:")
        and voice.language == "en"
        and voice.age == "adult"
        and name not in HELD_OUT_VOICES
    )
    unseen_voices: tuple[str, ...] = HELD_OUT_VOICES


def make_tiny_set(directory: Path, config: TinyConfig, *, speaker: Speaker | None = None) -> Path:
    """Writes ``tiny.jsonl`` with ``id``, ``group``, ``topic``, ``emotion``, ``voice``, ``pair`` and ``turns`` (``text``
    and ``audio``), and the clips as FLAC below ``audio/``. Returns the path of the manifest.

    The same configuration gives the same files. Raises ``ValueError`` for more items than held-out sentences allow, and
    what the voices' speakers raise.
    """
    rows = write_rows(config)
    speak_rows(rows, directory, speaker or EmbeddedSpeaker())
    path = directory / MANIFEST
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_rows(config: TinyConfig) -> list[dict[str, Any]]:
    """Rows of the manifest before they are spoken: their turns have no ``audio`` yet."""
    held_out, rng = HeldOut(seed=config.seed), random.Random(config.seed)
    sentences = held_out.turns_for_tests(rng, lambda turn: turn.suits("adult"))
    rows = [
        *_pairs(SEEN_VOICES, config.seen_voice_turns, config.seen_voices, sentences, rng),
        *_pairs(UNSEEN_VOICES, config.unseen_voice_turns, config.unseen_voices, sentences, rng),
        *_dialogues(config.dialogues, config.seen_voices, sentences, rng),
    ]
    unknown = held_out.unknown_turns()
    if config.outside > len(unknown) * len(EMOTIONS):
        raise ValueError(f"outside: expected at most {len(unknown) * len(EMOTIONS)}, got {config.outside}")
    combinations = [(text, emotion) for text in unknown for emotion in EMOTIONS]
    for number, (text, emotion) in enumerate(rng.sample(combinations, config.outside)):
        rows.append(_row(OUTSIDE, number, [text], OTHER, emotion, rng.choice(config.seen_voices)))
    return rows


def speak_rows(rows: Sequence[dict[str, Any]], directory: Path, speaker: Speaker) -> None:
    """Speaks each turn in the row's voice and emotion, and sets its ``audio``. Written turns of any other source can be
    added to a set this way."""
    (directory / "audio").mkdir(parents=True, exist_ok=True)
    for row in rows:
        for number, turn in enumerate(row["turns"]):
            prosody = random.Random(f"{row['id']} {number}").getrandbits(31)
            request = SpeechRequest(text=turn["text"], voice=row["voice"], emotion=row["emotion"], seed=prosody)
            speech = speaker.speak(request)
            turn["audio"] = f"audio/{row['id']}-{number}.flac"
            (directory / turn["audio"]).write_bytes(encode_audio(speech.samples, speech.rate))


def _next(sentences: Iterator[Turn]) -> Turn:
    if (turn := next(sentences, None)) is None:
        raise ValueError("expected fewer items: all held-out sentences are used")
    return turn


def _pairs(
    group: str, count: int, voices: Sequence[str], sentences: Iterator[Turn], rng: random.Random
) -> Iterator[dict[str, Any]]:
    if count % 2:
        raise ValueError(f"{group}: expected an even number of turns, got {count}")
    for number in range(0, count, 2):
        turn, voice = _next(sentences), rng.choice(voices)
        emotions = rng.sample(sorted(turn.scene.replies), 2)
        for place, emotion in enumerate(emotions):
            row = _row(group, number + place, [turn.text], turn.topic.name, emotion, voice)
            yield row | {"pair": f"{group}-{number // 2:04d}"}


def _dialogues(
    count: int, voices: Sequence[str], sentences: Iterator[Turn], rng: random.Random
) -> Iterator[dict[str, Any]]:
    """The follow-ups are those that the writer finds after its own replies."""
    writer = EmbeddedWriter()
    for number in range(count):
        turn = _next(sentences)
        emotion: Emotion = rng.choice(sorted(turn.scene.replies))
        person = Person(emotion=emotion)
        messages: tuple[WrittenMessage, ...] = (WrittenMessage(role="user", text=turn.text, person=person),)
        for _ in range(_DIALOGUE_TURNS - 1):
            (reply,) = writer.replies([ReplyRequest(messages=messages, seed=rng.getrandbits(31))])
            if isinstance(reply, RejectedRow):
                raise reply
            messages += (WrittenMessage(role="assistant", text=reply.text),)
            (follow_up,) = writer.follow_ups([ReplyRequest(messages=messages, seed=rng.getrandbits(31))])
            if isinstance(follow_up, RejectedRow):
                raise follow_up
            messages += (WrittenMessage(role="user", text=follow_up, person=person),)
        texts = [message.text for message in messages if message.role == "user"]
        yield _row(DIALOGUES, number, texts, turn.topic.name, emotion, rng.choice(voices))


def _row(group: str, number: int, texts: Sequence[str], topic: str, emotion: str, voice: str) -> dict[str, Any]:
    return {
        "id": f"{group}-{number:04d}",
        "group": group,
        "topic": topic,
        "emotion": emotion,
        "voice": voice,
        "turns": [{"text": text} for text in texts],
    }
