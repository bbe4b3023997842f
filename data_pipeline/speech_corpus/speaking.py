"""Speaks the sentences of one shard of a speech corpus."""

import json
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.dataset import ShardContent
from data_pipeline.records import RejectedRow
from data_pipeline.report import RowFacts, count_rows
from data_pipeline.schema import UTTERANCE
from data_pipeline.speech_corpus.planning import PlannedSentence
from data_pipeline.steps.filters import SILENCE
from data_pipeline.steps.rejects import Rejects
from data_pipeline.synthesis.protocols import Speaker, SpeechRequest
from data_pipeline.synthesis.speakers.embedded import EmbeddedSpeaker
from opens2s_core.audio import SAMPLE_RATE, encode_audio
from opens2s_core.config import parse_config


def speak_shard(inputs: str, *, speaker: Speaker) -> ShardContent:
    """The rows (schema UTTERANCE) of one planned shard."""
    planned = [parse_config(PlannedSentence, sentence) for sentence in json.loads(inputs)]
    rejects = Rejects()
    rows = rejects.apply("speak", lambda sentence: _speak(sentence, speaker), planned)
    return ShardContent(
        rows=pa.Table.from_pylist(rows, schema=UTTERANCE),
        rejects=rejects.table(),
        report=count_rows(map(_facts, rows), rejects.rows),
    )


def speak_embedded(inputs: str) -> ShardContent:
    """:func:`speak_shard` with the embedded voices, which a process loads once."""
    return speak_shard(inputs, speaker=_speaker())


_speaker = lru_cache(maxsize=1)(EmbeddedSpeaker)


def _speak(sentence: PlannedSentence, speaker: Speaker) -> dict[str, Any]:
    speech = speaker.speak(
        SpeechRequest(
            text=sentence.text,
            voice=sentence.voice,
            emotion=sentence.emotion,
            tone=sentence.tone,
            seed=sentence.seed,
        )
    )
    if (peak := float(np.abs(speech.samples).max(initial=0.0))) < SILENCE:
        raise RejectedRow(f"silent: peak {peak:.1e}, expected at least {SILENCE:g}")
    return {
        "id": sentence.id,
        "text": sentence.text,
        "voice": sentence.voice,
        "emotion": sentence.emotion,
        "split": sentence.split,
        "samples": len(speech.samples),
        "rate": speech.rate,
        "audio": encode_audio(speech.samples, speech.rate),
    }


def _facts(row: dict[str, Any]) -> RowFacts:
    return RowFacts(
        corpus="speech",
        split=row["split"],
        language="en",
        emotion=row["emotion"],
        clip_samples=(row["samples"] * SAMPLE_RATE // row["rate"],),
    )
