import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_pipeline.spoken_corpus import publish_corpus, shards_writer
from data_pipeline.synthesis.flite import EmbeddedSpeaker, FliteMissing
from data_pipeline.synthesis.speech import SpeechConfig, VoiceShare, make_speech, plan_speech
from data_pipeline.synthesis.voices import REPLY_VOICE, USER_VOICES
from opens2s_core.config import config_to_dict
from opens2s_core.training.voice.corpus import SpeechCorpus, read_manifest
from ray_jobs.build_speech import build_speech, main
from ray_jobs.speech_recipes import CORPORA, voice_smoke, voice_tiny, voice_tiny_held_out
from ray_jobs.voice_recipes import VOICES

pytestmark = pytest.mark.ray

CONFIG = SpeechConfig(
    voice=REPLY_VOICE,
    own=VoiceShare(train=60, held_out=10),
    others=USER_VOICES,
    theirs=VoiceShare(train=20, held_out=10),
    shard_utterances=2,
)
JOB = """
import json, sys
from data_pipeline.synthesis.speech import SpeechConfig
from opens2s_core.config import parse_config
from ray_jobs.build_speech import build_speech
build_speech(parse_config(SpeechConfig, json.loads(sys.argv[1])), sys.argv[2])
"""


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def times(directory: Path) -> dict[str, int]:
    return {str(path.relative_to(directory)): path.stat().st_mtime_ns for path in directory.rglob("*")}


def make_here(directory: Path) -> None:
    """The same corpus, one shard after the other."""
    writer, plan = shards_writer(directory), plan_speech(CONFIG)
    for shard in writer.start(plan):
        writer.publish(shard.name, shard.fingerprint, make_speech(shard.inputs, speaker=EmbeddedSpeaker()))
    publish_corpus(directory, plan, writer.finish([shard.name for shard in plan]), config_to_dict(CONFIG))


def test_a_corpus_is_built_once_and_stays_as_it_is(
    ray_local: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        main(["--recipe", "voice-smoke", "--output", str(tmp_path / "corpus")])
        printed = capsys.readouterr().out
        assert "16 in, 16 prepared, 0 rejected" in printed
        assert "en-us+f2                     11 utterances" in printed
        assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
        before = times(tmp_path)
        build_speech(voice_smoke(), str(tmp_path / "corpus"))
        assert times(tmp_path) == before
    assert len(SpeechCorpus(tmp_path / "corpus", "train")) == 12
    assert len(SpeechCorpus(tmp_path / "corpus", "held_out")) == 4


@pytest.mark.slow
def test_a_killed_job_is_finished_by_the_next(ray_local: str, tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    markers = tmp_path / "killed.shards/_shards"
    command = [sys.executable, "-c", JOB, json.dumps(config_to_dict(CONFIG)), str(killed)]
    job = subprocess.Popen(command, env=os.environ | {"RAY_ADDRESS": ray_local})
    while not markers.exists() or len(os.listdir(markers)) < 5:
        assert job.poll() is None, "the job ended before it could be killed"
        time.sleep(0.01)
    job.kill()
    assert job.wait() == -9
    assert len(os.listdir(markers)) < 50
    assert not killed.exists()
    assert build_speech(CONFIG, str(killed)).rows_out == 100
    make_here(whole)
    assert files(killed) == files(whole)


def test_a_corpus_for_training_is_no_url(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="error: s3://bucket/corpus: expected a directory"):
        main(["--recipe", "voice-smoke", "--output", "s3://bucket/corpus"])


def test_without_flite_nothing_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FliteMissing):
        build_speech(voice_tiny(), str(tmp_path / "corpus"))
    with pytest.raises(SystemExit, match="apt-get install flite"):
        main(["--recipe", "voice-tiny", "--output", str(tmp_path / "corpus")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [size for size in VOICES if f"voice-{size}" in CORPORA])
def test_every_corpus_is_for_a_voice_and_says_what_the_voice_learns(size: str) -> None:
    voice, corpus = VOICES[size](), CORPORA[f"voice-{size}"]()
    assert voice.flow_stage.voice == corpus.voice.name
    assert corpus.voice.name in voice.vocoder_stage.voices


def test_voice_tiny_is_enough_to_learn_and_to_measure() -> None:
    config = voice_tiny()
    assert config.own == VoiceShare(train=3000, held_out=100)
    assert len(config.others) >= 20


def test_what_voice_tiny_is_measured_on_is_the_same_by_itself() -> None:
    def held_out(config: SpeechConfig) -> list[tuple[str, str]]:
        planned = [utterance for shard in plan_speech(config) for utterance in json.loads(shard.inputs)]
        return [(u["text"], u["voice"]) for u in planned if u["split"] == "held_out" and u["voice"]["name"] == "slt"]

    assert held_out(voice_tiny_held_out()) == held_out(voice_tiny())


def test_the_manifest_is_in_the_plans_order(ray_local: str, tmp_path: Path) -> None:
    build_speech(voice_smoke(), str(tmp_path / "corpus"))
    ids = [utterance.id for utterance in read_manifest(tmp_path / "corpus")]
    assert ids == [f"utterance-{number:06d}" for number in range(16)]
