import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_pipeline.dataset import ShardContent
from data_pipeline.dialogues.config import QualityConfig
from data_pipeline.dialogues.layout import ARCHIVE
from data_pipeline.dialogues.schema import SPOKEN
from data_pipeline.dialogues.speech import make_speech, plan_speech
from data_pipeline.dialogues.utterances import PlannedUtterance, Voice
from data_pipeline.synthesis.protocols import ReferenceClip, Speech, SpeechRequest
from data_pipeline.synthesis.quality.measures import QualityBounds
from data_pipeline.synthesis.quality.measuring import MeasuredClip, Models, measure_clip
from data_pipeline.synthesis.quality.sampling import is_measured
from opens2s_core.audio import decode_audio
from tests.data_pipeline.dialogues.memory import NOT_MEASURED, MemoryTools, flac, noise, utterance

TEXTS = ["I lost my keys on the bus.", "I am so sorry to read that.", "Thank you for your kind help."]
ANY_TRANSCRIPT = QualityBounds(max_word_error=1)


def make(
    *utterances: PlannedUtterance,
    tools: MemoryTools | None = None,
    quality: QualityConfig = NOT_MEASURED,
    concurrency: int = 1,
) -> ShardContent:
    (shard,) = plan_speech(utterances, len(utterances), None)
    tools = MemoryTools() if tools is None else tools
    content = make_speech(shard.inputs, tools=tools, quality=quality, concurrency=concurrency)
    assert content.rows.schema == SPOKEN
    return content


def rows_of(content: ShardContent) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = content.rows.to_pylist()
    return rows


def test_a_row_has_the_utterance_its_labels_and_its_measures() -> None:
    user = utterance(TEXTS[0], "user")
    (row,) = rows_of(make(user))
    about = {"id": user.id, "side": "user", "language": "en", "text": TEXTS[0], "voice": "user voice", "tone": ""}
    labels = {"emotion": "sad", "gender": "female", "age": "child"}
    clip = {"speaker": "noise-1", "recogniser": "", "samples": len(noise(TEXTS[0])), "rate": 8000, "units": []}
    extent = {"offset": row["offset"], "size": len(flac(TEXTS[0]))}
    spoken = MeasuredClip(text=TEXTS[0], language="en", speech=Speech(noise(TEXTS[0]), 8000))
    assert row == about | labels | clip | extent | asdict(measure_clip(spoken, Models()))


def test_several_at_once_make_the_same_shard() -> None:
    utterances = [utterance(f"{text} {word}") for text in TEXTS for word in ("Really.", "Well.", "", "Yes.")]
    alone, together = make(*utterances), make(*utterances, concurrency=8)
    assert together.rows.equals(alone.rows)
    assert together.files == alone.files


def test_the_archive_has_the_clip_of_each_row() -> None:
    content = make(*map(utterance, TEXTS))
    for row in rows_of(content):
        clip = content.files[ARCHIVE][row["offset"] : row["offset"] + row["size"]]
        assert clip == flac(row["text"])
        samples, rate = decode_audio(clip)
        assert rate == row["rate"]
        np.testing.assert_allclose(samples, noise(row["text"]), atol=2**-15)


def test_only_replies_have_units_which_are_made_at_16_khz() -> None:
    rows = rows_of(make(utterance(TEXTS[0], "user"), utterance(TEXTS[1]), utterance(TEXTS[2], "user")))
    assert [row["units"] for row in rows] == [[], [2 * len(noise(TEXTS[1]))], []]


def test_without_a_speech_tokenizer_there_are_no_units() -> None:
    assert [row["units"] for row in rows_of(make(utterance(TEXTS[0]), tools=MemoryTools(encoder=None)))] == [[]]


def test_the_speaker_of_a_side_speaks_text_emotion_and_tone() -> None:
    tools = MemoryTools()
    make(utterance(TEXTS[0], "user", seed=5), utterance(TEXTS[1], seed=6), tools=tools)
    assert tools.speaker("user").requests == [
        SpeechRequest(text=TEXTS[0], voice="user voice", emotion="sad", tone="", language="en", seed=5)
    ]
    assert tools.speaker("reply").requests == [
        SpeechRequest(text=TEXTS[1], voice="reply voice", emotion="neutral", tone="warm", language="en", seed=6)
    ]


def test_a_clip_is_cloned_with_its_text(tmp_path: Path) -> None:
    (tmp_path / "clip.flac").write_bytes(flac("A clip of some words."))
    clip, tools = str(tmp_path / "clip.flac"), MemoryTools()
    voice = Voice(clip=clip, clip_text="A clip of some words.")
    (row,) = rows_of(make(utterance(TEXTS[0], "user", voice=voice), tools=tools))
    assert row["voice"] == clip
    (request,) = tools.speaker("user").requests
    assert (request.voice, request.reference) == (
        "",
        ReferenceClip(audio=flac("A clip of some words."), text="A clip of some words."),
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Hurry up, we are late for the train.", "clip too short: 0.27 s, expected at least 0.3"),
        ("Read the page www.example.com aloud.", "cannot be spoken: 'www.example.com', expected none"),
        ("!?", "text too short: 0 words, expected at least 1"),
        ("Well…", "bad audio: no clip, expected one"),
    ],
)
def test_what_is_out_of_bounds_is_rejected_with_its_reason_and_has_no_clip(text: str, reason: str) -> None:
    bad, good = utterance(text), utterance(TEXTS[0])
    content = make(bad, good)
    assert content.rejects.to_pylist() == [{"id": bad.id, "step": "speech", "reason": reason}]
    assert [row["id"] for row in rows_of(content)] == [good.id]
    assert content.files[ARCHIVE] == make(good).files[ARCHIVE]
    assert (content.report.rows_in, content.report.rows_out) == (2, 1)


def test_a_text_out_of_bounds_is_not_spoken() -> None:
    tools = MemoryTools()
    make(utterance("!?"), tools=tools, quality=QualityConfig(share=1))
    assert tools.speaker("reply").requests == []
    assert tools.recogniser.calls == 0


def test_only_the_measured_share_passes_through_the_models() -> None:
    tools, planned = MemoryTools(), [utterance("I see.", seed=seed) for seed in range(12)]
    quality = QualityConfig(share=0.3, seed=7, bounds=ANY_TRANSCRIPT)
    rows = rows_of(make(*planned, tools=tools, quality=quality))
    measured = {each.id for each in planned if is_measured(each.id, 0.3, 7)}
    assert 0 < len(measured) < len(planned)
    assert tools.recogniser.calls == len(measured)
    assert {row["id"] for row in rows if row["word_error"] == 1} == measured
    assert {row["id"] for row in rows if row["recogniser"] == "silent-1"} == measured
    assert len(rows) == len(planned)


def test_what_the_models_measure_is_within_the_bounds() -> None:
    content = make(utterance(TEXTS[0]), quality=QualityConfig(share=1))
    assert content.report.rejected == {"speech: word error": 1}


def test_the_same_utterances_give_the_same_rows_and_archive() -> None:
    planned = [utterance(TEXTS[0], "user"), utterance(TEXTS[1])]
    assert make(*planned) == make(*planned)


def test_the_report_counts_the_clips_of_each_side() -> None:
    report = make(utterance(TEXTS[0], "user"), utterance(TEXTS[1])).report
    samples = {split.split: split.audio_samples for split in report.splits}
    assert samples == {"user": 2 * len(noise(TEXTS[0])), "reply": 2 * len(noise(TEXTS[1]))}
    assert {(label.emotion, label.gender, label.age) for label in report.labels} == {
        ("sad", "female", "child"),
        ("", "", ""),
    }


def test_a_plan_has_so_many_utterances_in_a_shard_and_depends_on_what_makes_them() -> None:
    planned = [utterance(TEXTS[0], seed=seed) for seed in range(5)]
    shards = plan_speech(planned, 2, {"speakers": ["a", "b"]})
    assert [len(json.loads(shard.inputs)) for shard in shards] == [2, 2, 1]
    assert plan_speech(planned, 2, {"speakers": ["a", "b"]}) == shards
    others = plan_speech(planned, 2, {"speakers": ["a", "c"]})
    assert [replace(each, fingerprint="") for each in others] == [replace(each, fingerprint="") for each in shards]
    assert {each.fingerprint for each in others}.isdisjoint(each.fingerprint for each in shards)
