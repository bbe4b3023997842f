"""A writer, a speaker and models that need nothing, and a small corpus made with them."""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.dataset import DatasetWriter, Shard, ShardContent, absolute_url
from data_pipeline.dialogues.assemble import Part, make_corpus, plan_corpus
from data_pipeline.dialogues.config import QualityConfig
from data_pipeline.dialogues.layout import DIALOGUES, SPEECH, TEXTS
from data_pipeline.dialogues.schema import WRITTEN
from data_pipeline.dialogues.speech import make_speech, plan_speech
from data_pipeline.dialogues.utterances import PlannedUtterance, Side, Voice, distinct, planned_utterances
from data_pipeline.records import RejectedRow
from data_pipeline.report import Report
from data_pipeline.synthesis.protocols import (
    Person,
    ReplyRequest,
    Speech,
    SpeechRequest,
    UserTurnRequest,
    WrittenReply,
)
from data_pipeline.synthesis.quality.measuring import Models
from opens2s_core.audio import Waveform, encode_audio

REJECTED = RejectedRow("refusal: 'I cannot', expected none")


def first_messages(request: UserTurnRequest) -> list[str] | RejectedRow:
    """Texts without a common pair of words."""
    return [f"{request.topic}{request.seed}x{number} is{request.seed}x{number}" for number in range(request.count)]


def answer(request: ReplyRequest) -> str:
    return f"Answer {len(request.messages)}"


def more(request: ReplyRequest) -> str:
    return f"More {len(request.messages)}"


@dataclass
class MemoryWriter:
    """A writer and editor of functions; ``requests`` are those of replies and follow-ups."""

    write: Callable[[UserTurnRequest], list[str] | RejectedRow] = first_messages
    reply: Callable[[ReplyRequest], str | RejectedRow] = answer
    follow_up: Callable[[ReplyRequest], str | RejectedRow] = more
    rewrite: Callable[[str], str | RejectedRow] = str.capitalize
    requests: list[ReplyRequest] = field(default_factory=list)
    name: str = "memory-1"
    topics: tuple[str, ...] = ("work", "family")
    general_topics: tuple[str, ...] = ("general",)

    def user_turns(self, requests: Sequence[UserTurnRequest]) -> list[list[str] | RejectedRow]:
        return [self.write(request) for request in requests]

    def replies(self, requests: Sequence[ReplyRequest]) -> list[WrittenReply | RejectedRow]:
        self.requests += requests
        texts = [self.reply(request) for request in requests]
        return [text if isinstance(text, RejectedRow) else WrittenReply(text=text, tone="warm") for text in texts]

    def follow_ups(self, requests: Sequence[ReplyRequest]) -> list[str | RejectedRow]:
        self.requests += requests
        return [self.follow_up(request) for request in requests]

    def rewrite_for_speech(
        self, instructions: Sequence[str], *, language: str = "en", seed: int = 0
    ) -> list[str | RejectedRow]:
        return [self.rewrite(instruction) for instruction in instructions]

    def translate(self, texts: Sequence[str], language: str, *, seed: int = 0) -> list[str | RejectedRow]:
        return [f"{text} ({language})" for text in texts]


@dataclass
class NoiseSpeaker:
    """Noise of a third of a second for each word; a text that starts with ``Hurry`` is spoken ten times as fast."""

    requests: list[SpeechRequest] = field(default_factory=list)
    name: str = "noise-1"

    def speak(self, request: SpeechRequest) -> Speech:
        self.requests.append(request)
        if "…" in request.text:
            raise RejectedRow("bad audio: no clip, expected one")
        return Speech(noise(request.text), 8000)


def noise(text: str) -> Waveform:
    seconds = len(text.split()) / (30 if text.startswith("Hurry") else 3)
    return np.random.default_rng(len(text)).uniform(-0.2, 0.2, round(8000 * seconds)).astype(np.float32)


@dataclass
class SilentRecogniser:
    """Recognises no word; ``calls`` counts clips."""

    calls: int = 0
    name: str = "silent-1"

    def transcribe(self, speech: Speech, language: str) -> str:
        self.calls += 1
        return ""


class LengthEncoder:
    """One unit: the samples of a waveform."""

    def encode(self, waveforms: Sequence[Waveform]) -> list[list[int]]:
        return [[len(waveform)] for waveform in waveforms]


@dataclass
class MemoryTools:
    """The tools of a build."""

    speakers: dict[Side, NoiseSpeaker] = field(
        default_factory=lambda: {"user": NoiseSpeaker(), "reply": NoiseSpeaker(name="noise-2")}
    )
    recogniser: SilentRecogniser = field(default_factory=SilentRecogniser)
    encoder: LengthEncoder | None = field(default_factory=LengthEncoder)

    def speaker(self, side: Side) -> NoiseSpeaker:
        return self.speakers[side]

    def models(self) -> Models:
        return Models(recogniser=self.recogniser)

    def units(self) -> LengthEncoder | None:
        return self.encoder


NOT_MEASURED = QualityConfig(share=0)


def utterance(text: str, side: Side = "reply", **changes: Any) -> PlannedUtterance:
    person = Person(emotion="sad", gender="female", age="child") if side == "user" else Person()
    values = {
        "language": "en",
        "voice": Voice(name=f"{side} voice"),
        "person": person,
        "tone": "warm" if side == "reply" else "",
        "seed": 1,
    }
    return PlannedUtterance(side=side, text=text, **(values | changes))


def message(role: str, text: str, *, spoken: bool = True) -> dict[str, Any]:
    return {"role": role, "text": text, "tone": "warm" if role == "assistant" and spoken else "", "spoken": spoken}


def dialogue(id: str, *messages: dict[str, Any], kind: str = "empathetic", **labels: str) -> dict[str, Any]:
    """A row of schema WRITTEN."""
    person = {"emotion": "sad", "gender": "female", "age": "young"} | labels
    about = {"id": id, "kind": kind, "topic": "work", "language": "en", "writer": "memory-1"}
    return about | person | {"messages": list(messages)}


def cast_as_adult(person: Person, language: str, rng: Any) -> tuple[Voice, Person]:
    """One voice; it is an adult's."""
    return Voice(name="user voice"), Person(gender=person.gender, age="adult", emotion=person.emotion)


def publish(url: str, plan: Sequence[Shard], make: Callable[[str], ShardContent]) -> Report:
    """What a job does, in this process."""
    writer = DatasetWriter(url)
    for shard in writer.start(plan):
        writer.publish(shard.name, shard.fingerprint, make(shard.inputs))
    return writer.finish([shard.name for shard in plan])


def build(directory: Path, dialogues: Sequence[dict[str, Any]], shard_rows: int = 2) -> Report:
    """The corpus of ``dialogues`` as one shard of texts and dialogues; returns the report of the dialogues."""
    url = absolute_url(str(directory))
    (texts,) = [Shard(name="00000-of-00001", inputs=json.dumps(list(dialogues)), fingerprint="texts")]
    publish(f"{url}/{TEXTS}", [texts], _written)
    planned = {row["id"]: planned_utterances(row, cast_as_adult, Voice(name="reply voice")) for row in dialogues}
    utterances = list(distinct(each for messages in planned.values() for each in messages if each).values())
    shards = plan_speech(utterances, shard_rows, None)
    make = partial(make_speech, tools=MemoryTools(), quality=NOT_MEASURED, concurrency=1)
    publish(f"{url}/{SPEECH}", shards, make)
    places = {each.id: shards[number // shard_rows].name for number, each in enumerate(utterances)}
    part = Part(
        shard=texts.name,
        utterances={
            id: tuple((each.id, places[each.id]) if each else ("", "") for each in messages)
            for id, messages in planned.items()
        },
    )
    return publish(
        f"{url}/{DIALOGUES}",
        plan_corpus([part], "made from"),
        lambda inputs: make_corpus(inputs, texts=f"{url}/{TEXTS}", speech=f"{url}/{SPEECH}", speech_path=SPEECH),
    )


def _written(inputs: str) -> ShardContent:
    from data_pipeline.steps.rejects import Rejects

    rows = pa.Table.from_pylist(json.loads(inputs), schema=WRITTEN)
    return ShardContent(rows=rows, rejects=Rejects().table(), report=Report())


def flac(text: str) -> bytes:
    """The clip that the speaker makes of a text."""
    return encode_audio(noise(text), 8000)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in io.StringIO(path.read_text(encoding="utf-8"))]
