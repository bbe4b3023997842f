"""Speaking the utterances of a corpus, measuring them, and keeping those within the bounds."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import lru_cache
from typing import Any, Protocol

import fsspec
import pyarrow as pa

from data_pipeline.dataset import Shard, ShardContent, plan_shards
from data_pipeline.dialogues.archive import store
from data_pipeline.dialogues.config import QualityConfig
from data_pipeline.dialogues.layout import ARCHIVE
from data_pipeline.dialogues.schema import LABELS, SPOKEN
from data_pipeline.dialogues.services import until_outage
from data_pipeline.dialogues.utterances import PlannedUtterance, Side
from data_pipeline.records import RejectedRow
from data_pipeline.report import RowFacts, count_rows
from data_pipeline.steps.rejects import Rejects
from data_pipeline.steps.speech_units import UnitEncoder
from data_pipeline.synthesis.protocols import ReferenceClip, Speaker, Speech, SpeechRequest
from data_pipeline.synthesis.quality.measures import Measures, reject_reason
from data_pipeline.synthesis.quality.measuring import MeasuredClip, Models, measure_clip, measure_text
from data_pipeline.synthesis.quality.sampling import is_measured
from opens2s_core.audio import SAMPLE_RATE, decode_audio, encode_audio, resample
from opens2s_core.config import config_to_dict, parse_config

VERSION = 1
"""Raised when the same utterances, speakers and models give other clips or measures."""


class Tools(Protocol):
    """What speaks and measures, opened in the worker that needs it."""

    def speaker(self, side: Side) -> Speaker: ...

    def models(self) -> Models:
        """Those that measure some of the clips."""
        ...

    def units(self) -> UnitEncoder | None:
        """The speech tokenizer of replies, if there is one."""
        ...


def plan_speech(utterances: Sequence[PlannedUtterance], shard_rows: int, made_by: Any) -> list[Shard]:
    """``made_by``: speakers, models and bounds as plain data."""
    plain = [config_to_dict(utterance) for utterance in utterances]
    batches = [plain[start : start + shard_rows] for start in range(0, len(plain), shard_rows)]
    return plan_shards(batches, made_by={"version": VERSION, "made_by": made_by})


def make_speech(inputs: str, *, tools: Tools, quality: QualityConfig, concurrency: int) -> ShardContent:
    """The rows (schema SPOKEN) of one planned shard, and the archive of its clips; ``concurrency`` utterances are
    spoken at once."""
    planned = [parse_config(PlannedUtterance, utterance) for utterance in json.loads(inputs)]
    rejects = Rejects()
    with ThreadPoolExecutor(concurrency) as pool:
        pending = {utterance.id: pool.submit(_speak, utterance, tools, quality) for utterance in planned}
        try:
            spoken = rejects.apply("speech", until_outage(lambda utterance: pending[utterance.id].result()), planned)
        finally:
            pool.shutdown(cancel_futures=True)
    archive, extents = store({f"{row['id']}.flac": row.pop("audio") for row in spoken})
    rows = [row | asdict(extents[f"{row['id']}.flac"]) for row in _with_units(spoken, tools)]
    return ShardContent(
        rows=pa.Table.from_pylist(rows, schema=SPOKEN),
        rejects=rejects.table(),
        report=count_rows((_facts(row) for row in rows), rejects.rows),
        files={ARCHIVE: archive},
    )


def synthesise(utterance: PlannedUtterance, speaker: Speaker) -> Speech:
    """Raises :class:`RejectedRow` for what cannot be spoken, ``OSError`` for a clip that cannot be read."""
    voice = utterance.voice
    return speaker.speak(
        SpeechRequest(
            text=utterance.text,
            voice=voice.name,
            reference=ReferenceClip(audio=_clip(voice.clip), text=voice.clip_text) if voice.clip else None,
            emotion=utterance.person.emotion,
            tone=utterance.tone,
            language=utterance.language,
            seed=utterance.seed,
        )
    )


def _speak(utterance: PlannedUtterance, tools: Tools, quality: QualityConfig) -> dict[str, Any]:
    """Raises :class:`RejectedRow` for what cannot be spoken, and what is out of bounds."""
    _require_bounds(measure_text(utterance.text, utterance.language), quality)
    voice, speaker = utterance.voice, tools.speaker(utterance.side)
    reference = _clip(voice.clip) if voice.clip else None
    speech = synthesise(utterance, speaker)
    measured = is_measured(utterance.id, quality.share, quality.seed)
    models = tools.models() if measured else Models()
    clip = MeasuredClip(
        text=utterance.text,
        language=utterance.language,
        speech=speech,
        label=utterance.tone or utterance.person.emotion,
        speaker=voice.name or voice.clip,
        reference=None if reference is None else Speech(*decode_audio(reference)),
    )
    measures = measure_clip(clip, models)
    _require_bounds(measures, quality)
    return {
        "id": utterance.id,
        "side": utterance.side,
        "language": utterance.language,
        "text": utterance.text,
        "voice": voice.name or voice.clip,
        **{name: getattr(utterance.person, name) for name in LABELS},
        "tone": utterance.tone,
        "speaker": speaker.name,
        "recogniser": models.recogniser.name if models.recogniser is not None else "",
        "samples": len(speech.samples),
        "rate": speech.rate,
        "audio": encode_audio(speech.samples, speech.rate),
        "speech": speech,
        **asdict(measures),
    }


def _require_bounds(measures: Measures, quality: QualityConfig) -> None:
    if (reason := reject_reason(measures, quality.bounds)) is not None:
        raise RejectedRow(reason)


@lru_cache(maxsize=64)
def _clip(path: str) -> bytes:
    with fsspec.open(path, "rb") as file:
        return bytes(file.read())


def _with_units(rows: list[dict[str, Any]], tools: Tools) -> list[dict[str, Any]]:
    """The rows with the speech units of replies; none without a speech tokenizer."""
    speech: list[Speech] = [row.pop("speech") for row in rows]
    replies = [number for number, row in enumerate(rows) if row["side"] == "reply"]
    units: dict[int, list[int]] = {}
    if replies and (encoder := tools.units()) is not None:
        clips = [resample(speech[number].samples, speech[number].rate, SAMPLE_RATE) for number in replies]
        units = dict(zip(replies, encoder.encode(clips), strict=True))
    return [row | {"units": units.get(number, [])} for number, row in enumerate(rows)]


def _facts(row: dict[str, Any]) -> RowFacts:
    samples = row["samples"] * SAMPLE_RATE // row["rate"]
    labels = {name: row[name] for name in LABELS} if row["side"] == "user" else {}
    return RowFacts(corpus="dialogues", split=row["side"], language=row["language"], clip_samples=(samples,), **labels)
