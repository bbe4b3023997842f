"""Sets for ``feeling-swap`` from the embedded writer's sentences and the embedded voices."""

import itertools
import json
import random
from collections.abc import Sequence
from pathlib import Path

from data_pipeline.records import Emotion
from data_pipeline.synthesis.embedded_writer.delivery import LEADS
from data_pipeline.synthesis.embedded_writer.grammar import Turn
from data_pipeline.synthesis.embedded_writer.held_out import HELD_OUT_VOICES, HeldOut
from data_pipeline.synthesis.protocols import Speaker, SpeechRequest
from data_pipeline.synthesis.speakers.embedded import EmbeddedSpeaker
from opens2s_core.audio import encode_audio

FEELINGS: tuple[tuple[Emotion, Emotion], ...] = (
    ("happy", "sad"),
    ("happy", "angry"),
    ("happy", "fearful"),
    ("surprised", "sad"),
)
MANIFEST = "pairs.jsonl"


def make_pairs(
    directory: Path,
    count: int,
    *,
    seed: int = 0,
    voices: Sequence[str] = HELD_OUT_VOICES,
    speaker: Speaker | None = None,
) -> Path:
    """Writes ``count`` pairs: ``pairs.jsonl`` with ``id``, ``pair``, ``emotion``, ``tone``, ``text``, ``voice`` and
    ``audio``, and the clips as FLAC below ``audio/``. Returns the path of the manifest.

    The sentences are those held out for tests that can be spoken in both feelings; topics take turns. Both clips
    of a pair are of one voice. ``tone`` is the one in which the embedded writer answers the feeling most often. The
    same arguments give the same files. Raises ``ValueError`` where there are fewer sentences than ``count``.
    """
    rng = random.Random(seed)
    chosen = _sentences(count, HeldOut(), rng)
    speaker = speaker or EmbeddedSpeaker()
    (directory / "audio").mkdir(parents=True, exist_ok=True)
    rows = []
    for number, (turn, feelings) in enumerate(chosen):
        voice, prosody = rng.choice(voices), rng.getrandbits(31)
        for emotion in feelings:
            id = f"{number:04d}-{emotion}"
            speech = speaker.speak(SpeechRequest(text=turn.text, voice=voice, emotion=emotion, seed=prosody))
            (directory / "audio" / f"{id}.flac").write_bytes(encode_audio(speech.samples, speech.rate))
            rows.append(
                {
                    "id": id,
                    "pair": f"{number:04d}",
                    "emotion": emotion,
                    "tone": usual_tone(emotion),
                    "topic": turn.topic.name,
                    "text": turn.text,
                    "voice": voice,
                    "audio": f"audio/{id}.flac",
                }
            )
    path = directory / MANIFEST
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def usual_tone(emotion: Emotion) -> str:
    """Of equally frequent tones the first in :data:`~data_pipeline.synthesis.embedded_writer.delivery.LEADS`."""
    tones = [tone for _, tone in LEADS[emotion]]
    return max(tones, key=tones.count)


def _sentences(count: int, held_out: HeldOut, rng: random.Random) -> list[tuple[Turn, tuple[Emotion, Emotion]]]:
    """Of each topic as many as of the others, as far as they go."""
    turns = held_out.turns_for_tests(rng, lambda turn: turn.suits("adult") and bool(_feelings(turn)))
    found = [(turn, rng.choice(_feelings(turn))) for turn in itertools.islice(turns, count)]
    if len(found) < count:
        raise ValueError(f"expected at most {len(found)} pairs, got {count}")
    return found


def _feelings(turn: Turn) -> list[tuple[Emotion, Emotion]]:
    return [pair for pair in FEELINGS if all(emotion in turn.scene.replies for emotion in pair)]
