import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_pipeline.corpora.files import CorpusFiles
from data_pipeline.records import Content, RejectedRow
from data_pipeline.steps.loudness import LoudnessConfig, measure_loudness
from data_pipeline.steps.prepare import ClipConfig, prepare_clips
from data_pipeline.steps.voice_activity import TrimConfig
from opens2s_core.audio import SAMPLE_RATE, decode_audio, encode_audio
from tests.audio_files import noise, noise_file
from tests.data_pipeline.steps.rows import clip, conversation, row, silence, speech, utterance

PLAIN = ClipConfig()


@pytest.fixture
def files(tmp_path: Path) -> CorpusFiles:
    (tmp_path / "u1.flac").write_bytes(encode_audio(noise(1.0), SAMPLE_RATE))
    (tmp_path / "u2.mp4").write_bytes(noise_file("mp4", 2.0))
    spoken = np.concatenate([silence(1), speech(), silence(1)])
    (tmp_path / "speech.wav").write_bytes(encode_audio(spoken, SAMPLE_RATE, container="wav"))
    (tmp_path / "silent.wav").write_bytes(encode_audio(silence(1), SAMPLE_RATE, container="wav"))
    return CorpusFiles(str(tmp_path))


def test_clips_are_mono_flac_at_16_khz_in_reading_order(files: CorpusFiles) -> None:
    entry = conversation(
        ("user", (Content(audio=clip("u1.flac")), Content(text="and"), Content(audio=clip("u2.mp4")))),
        ("assistant", (Content(text="Yes.", audio=clip("speech.wav")),)),
    )
    prepared = prepare_clips(row(entry), files, PLAIN)
    infos = [soundfile.info(io.BytesIO(data)) for data in prepared.clips]
    assert {(info.format, info.subtype, info.samplerate, info.channels) for info in infos} == {
        ("FLAC", "PCM_16", SAMPLE_RATE, 1)
    }
    assert prepared.clip_samples == tuple(info.frames for info in infos)
    assert [round(info.duration, 1) for info in infos[:2]] == [1.0, 2.0]
    assert prepared.entry is entry


def test_a_clip_that_needs_no_change_keeps_its_samples(files: CorpusFiles) -> None:
    (data,) = prepare_clips(row(utterance()), files, PLAIN).clips
    np.testing.assert_array_equal(decode_audio(data)[0], decode_audio(encode_audio(noise(1.0), SAMPLE_RATE))[0])


def test_the_same_row_gives_the_same_bytes(files: CorpusFiles) -> None:
    config = ClipConfig(loudness=LoudnessConfig(), trim=TrimConfig())
    entry = utterance(audio=clip("speech.wav"))
    first, second = (prepare_clips(row(entry), files, config) for _ in range(2))
    assert first == second


def test_clips_are_trimmed_and_made_equally_loud(files: CorpusFiles) -> None:
    config = ClipConfig(loudness=LoudnessConfig(target=-20), trim=TrimConfig())
    prepared = prepare_clips(row(utterance(audio=clip("speech.wav"))), files, config)
    assert prepared.clip_samples[0] < len(speech()) + 0.5 * SAMPLE_RATE
    assert measure_loudness(decode_audio(prepared.clips[0])[0]) == pytest.approx(-20, abs=0.1)


@pytest.mark.parametrize(
    ("path", "config", "reason"),
    [
        ("u1.flac", ClipConfig(min_seconds=1.1), r"^too short: 1\.000 s, expected at least 1\.1 s"),
        ("u1.flac", ClipConfig(max_seconds=0.9), r"^too long: u1\.flac: audio of more than 0\.9 s"),
        ("speech.wav", ClipConfig(min_seconds=2.5, trim=TrimConfig()), r"^too short: "),
        ("silent.wav", PLAIN, r"^silent: peak 0\.0e\+00, expected at least 0\.001"),
        ("u1.flac", ClipConfig(trim=TrimConfig()), r"^no speech: "),
        ("nothing.wav", PLAIN, r"^missing file: nothing\.wav"),
    ],
)
def test_clips_that_cannot_be_used_are_rejected(files: CorpusFiles, path: str, config: ClipConfig, reason: str) -> None:
    with pytest.raises(RejectedRow, match=reason):
        prepare_clips(row(utterance(audio=clip(path))), files, config)


@pytest.mark.parametrize("stated", [None, 0.5, 1.0, 1.2])
def test_a_clip_as_long_as_its_corpus_states_is_prepared(files: CorpusFiles, stated: float | None) -> None:
    assert prepare_clips(row(utterance(duration=stated)), files, PLAIN).clip_samples == (SAMPLE_RATE,)


def test_a_clip_shorter_than_its_corpus_states_is_rejected(files: CorpusFiles) -> None:
    with pytest.raises(
        RejectedRow, match=r"^cut short: u1\.flac: audio ends at 1\.00 s of the 1\.30 s that the corpus"
    ):
        prepare_clips(row(utterance(duration=1.3)), files, PLAIN)


def test_impossible_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 0 < min_seconds <= max_seconds, got 2 and 1"):
        ClipConfig(min_seconds=2, max_seconds=1)
