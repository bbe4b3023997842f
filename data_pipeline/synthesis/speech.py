"""Spoken corpora: one voice says many sentences to learn from, many other voices say others."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.dataset import Shard, ShardContent, plan_shards
from data_pipeline.records import RejectedRow
from data_pipeline.report import RowFacts, count_rows
from data_pipeline.schema import UTTERANCE
from data_pipeline.steps.filters import SILENCE
from data_pipeline.steps.rejects import Rejects
from data_pipeline.synthesis.everyday import EVERYDAY
from data_pipeline.synthesis.flite import FLITE_VOICES, SLT
from data_pipeline.synthesis.sentences import write_sentences
from data_pipeline.synthesis.voices import (
    EMOTIONS,
    FEELINGS,
    REPLY_VOICE,
    USER_VOICES,
    Feeling,
    Speaker,
    Voice,
    VoiceError,
)
from opens2s_core.audio import SAMPLE_RATE, encode_audio
from opens2s_core.config import config_to_dict, parse_config
from opens2s_core.training.voice.corpus import Split

VERSION = 3
"""Raised when the same configuration gives other utterances or another report."""

MANY_VOICES = (
    *(Voice(name="awb"), Voice(name="rms"), Voice(name="kal16", pitch=60)),
    *(REPLY_VOICE, *USER_VOICES),
)
"""Every embedded voice but ``slt``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VoiceShare:
    """How many sentences are said to train on, and how many of those that nobody says in training."""

    train: int
    held_out: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeechConfig:
    """``voice`` says its share evenly; ``others`` take turns with theirs, in every feeling.

    No sentence of training is said twice. Both hold out the first of
    :data:`~data_pipeline.synthesis.everyday.EVERYDAY`.
    """

    voice: Voice = SLT
    own: VoiceShare
    others: tuple[Voice, ...] = MANY_VOICES
    theirs: VoiceShare
    seed: int = 0
    shard_utterances: int = 64

    def __post_init__(self) -> None:
        for share in (self.own, self.theirs):
            if share.train < 0 or not 0 <= share.held_out <= len(EVERYDAY):
                raise ValueError(f"expected at least 0 sentences and at most {len(EVERYDAY)} held out, got {share}")
        if self.own.held_out < 1 or self.shard_utterances < 1:
            raise ValueError(
                f"expected at least one held-out sentence of the voice and one utterance a shard, got {self.own} "
                f"and shard_utterances={self.shard_utterances}"
            )
        if self.theirs != VoiceShare(train=0, held_out=0) and not self.others:
            raise ValueError(f"expected other voices to say {self.theirs}, got none")

    @property
    def needs_flite(self) -> bool:
        return any(voice.name in FLITE_VOICES for voice in (self.voice, *self.others))


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedUtterance:
    """A sentence that is cast, but not yet spoken."""

    id: str
    text: str
    voice: Voice
    feeling: Feeling
    split: Split


def plan_speech(config: SpeechConfig) -> list[Shard]:
    """Every utterance of the corpus, in shards."""
    plain = [config_to_dict(utterance) for utterance in _cast(config)]
    batches = [plain[i : i + config.shard_utterances] for i in range(0, len(plain), config.shard_utterances)]
    return plan_shards(batches, made_by={"seed": config.seed, "version": VERSION})


def _cast(config: SpeechConfig) -> list[PlannedUtterance]:
    own, theirs = config.own, config.theirs
    written = [sentence.text for sentence in write_sentences(own.train + theirs.train, config.seed)]
    parts: list[tuple[Split, Sequence[str], Sequence[str]]] = [
        ("train", written[: own.train], written[own.train :]),
        ("held_out", EVERYDAY[: own.held_out], EVERYDAY[: theirs.held_out]),
    ]
    lines: list[tuple[Split, str, Voice, Feeling]] = []
    for split, said_by_voice, said_by_others in parts:
        # One even voice: its units then depend on the words alone.
        lines += [(split, text, config.voice, "neutral") for text in said_by_voice]
        lines += [(split, text, *_other(config, number)) for number, text in enumerate(said_by_others)]
    return [
        PlannedUtterance(id=f"utterance-{number:06d}", text=text, voice=voice, feeling=feeling, split=split)
        for number, (split, text, voice, feeling) in enumerate(lines)
    ]


def _other(config: SpeechConfig, number: int) -> tuple[Voice, Feeling]:
    """Voices take turns; with every round a voice's feeling is the next."""
    turn, who = divmod(number, len(config.others))
    return config.others[who], FEELINGS[(turn + who) % len(FEELINGS)]


def make_speech(inputs: str, *, speaker: Speaker) -> ShardContent:
    """The rows (schema UTTERANCE) of one planned shard."""
    planned = [parse_config(PlannedUtterance, utterance) for utterance in json.loads(inputs)]
    rejects = Rejects()
    rows = rejects.apply("speak", lambda utterance: _speak(utterance, speaker), planned)
    return ShardContent(
        rows=pa.Table.from_pylist(rows, schema=UTTERANCE),
        rejects=rejects.table(),
        report=count_rows(map(_facts, rows), rejects.rows),
    )


def _facts(row: dict[str, Any]) -> RowFacts:
    return RowFacts(
        corpus="speech",
        split=row["split"],
        language="en",
        emotion=EMOTIONS[row["feeling"]],
        clip_samples=(row["samples"] * SAMPLE_RATE // row["rate"],),
    )


def _speak(utterance: PlannedUtterance, speaker: Speaker) -> dict[str, Any]:
    try:
        samples, rate = speaker.speak(utterance.text, utterance.voice, utterance.feeling)
    except VoiceError as error:
        raise RejectedRow(f"cannot be spoken: {error}") from error
    if (peak := float(np.abs(samples).max(initial=0.0))) < SILENCE:
        raise RejectedRow(f"silent: peak {peak:.1e}, expected at least {SILENCE:g}")
    return {
        "id": utterance.id,
        "text": utterance.text,
        "voice": utterance.voice.name,
        "feeling": utterance.feeling,
        "split": utterance.split,
        "samples": len(samples),
        "rate": rate,
        "audio": encode_audio(samples, rate),
    }
