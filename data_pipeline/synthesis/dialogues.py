"""Spoken exchanges: written, then said aloud by many users and one reply voice."""

import json
import random
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from data_pipeline.records import RejectedRow
from data_pipeline.report import Report, count_rejects
from data_pipeline.schema import DIALOGUE
from data_pipeline.sinks import Shard, ShardContent, plan_shards
from data_pipeline.steps.rejects import Rejects
from data_pipeline.synthesis.voices import REPLY_VOICE, USER_VOICES, Feeling, Speaker, Voice, VoiceError
from data_pipeline.synthesis.writers import Writer
from opens2s_core.audio import SAMPLE_RATE, encode_audio, resample
from opens2s_core.config import config_to_dict, parse_config

VERSION = 1
"""Raised when the same configuration gives other rows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DialogueConfig:
    """``turns`` exchanges of one user sentence and one reply each, ``shard_turns`` of them in a shard."""

    turns: int
    seed: int = 0
    shard_turns: int = 32
    user_voices: tuple[Voice, ...] = USER_VOICES
    reply_voice: Voice = REPLY_VOICE

    def __post_init__(self) -> None:
        if self.turns < 1 or self.shard_turns < 1:
            raise ValueError(
                f"turns and shard_turns must be at least 1, got turns={self.turns}, shard_turns={self.shard_turns}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedTurn:
    """An exchange that is written and cast, but not yet spoken."""

    id: str
    feeling: Feeling
    user_text: str
    user_voice: Voice
    reply_text: str
    reply_voice: Voice


def plan_dialogues(config: DialogueConfig, writer: Writer) -> list[Shard]:
    """Every turn of the corpus, in shards. Every user voice speaks equally often (give or take one turn)."""
    exchanges = writer.write(config.turns, config.seed)
    voices = list(config.user_voices)
    random.Random(config.seed).shuffle(voices)
    turns = [
        PlannedTurn(
            id=f"turn-{index:06d}",
            feeling=exchange.feeling,
            user_text=exchange.user_text,
            user_voice=voices[index % len(voices)],
            reply_text=exchange.reply_text,
            reply_voice=config.reply_voice,
        )
        for index, exchange in enumerate(exchanges)
    ]
    plain = [config_to_dict(turn) for turn in turns]
    batches = [plain[start : start + config.shard_turns] for start in range(0, len(plain), config.shard_turns)]
    return plan_shards(batches, made_by={"config": config_to_dict(config), "version": VERSION})


def make_dialogues(inputs: str, *, speaker: Speaker) -> ShardContent:
    """The rows (schema DIALOGUE) of one planned shard."""
    planned = [parse_config(PlannedTurn, turn) for turn in json.loads(inputs)]
    rejects = Rejects()
    spoken = rejects.apply("speak", lambda turn: _speak(turn, speaker), planned)
    return ShardContent(
        rows=pa.Table.from_pylist([row for row, _ in spoken], schema=DIALOGUE),
        rejects=rejects.table(),
        report=Report(
            rows_in=len(planned),
            rows_out=len(spoken),
            rejected=count_rejects(rejects.rows),
            audio_seconds=round(sum(seconds for _, seconds in spoken), 3),
        ),
    )


def _speak(turn: PlannedTurn, speaker: Speaker) -> tuple[dict[str, Any], float]:
    user_audio, user_seconds = _say(speaker, turn.user_text, turn.user_voice, turn.feeling)
    # One even voice: the reply's units then depend on its words alone.
    reply_audio, reply_seconds = _say(speaker, turn.reply_text, turn.reply_voice, "neutral")
    row = {
        "id": turn.id,
        "user_text": turn.user_text,
        "user_audio": user_audio,
        "user_feeling": turn.feeling,
        "user_voice": turn.user_voice.name,
        "reply_text": turn.reply_text,
        "reply_audio": reply_audio,
    }
    return row, user_seconds + reply_seconds


def _say(speaker: Speaker, text: str, voice: Voice, feeling: Feeling) -> tuple[bytes, float]:
    try:
        samples, rate = speaker.speak(text, voice, feeling)
    except VoiceError as error:
        raise RejectedRow(f"cannot be spoken: {error}") from error
    return encode_audio(resample(samples, rate, SAMPLE_RATE), SAMPLE_RATE), len(samples) / rate
