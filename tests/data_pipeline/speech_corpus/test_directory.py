import json
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.dataset import DatasetError, Shard
from data_pipeline.report import Report
from data_pipeline.speech_corpus.config import SentenceCounts, SpeechCorpusConfig
from data_pipeline.speech_corpus.directory import (
    describe_corpus,
    finished_report,
    publish_corpus,
    remove_shards,
    shards_writer,
)
from data_pipeline.speech_corpus.planning import plan_corpus, plan_sentences
from data_pipeline.speech_corpus.speaking import speak_shard
from data_pipeline.synthesis.protocols import SpeechRequest
from opens2s_core.config import config_to_dict
from opens2s_core.training.voice.corpus import SpeechCorpus, Utterance, read_manifest
from tests.data_pipeline.speech_corpus.speakers import HummingSpeaker

CONFIG = SpeechCorpusConfig(
    reply_voice="espeak:en-us+f2",
    reply_sentences=SentenceCounts(train=5, held_out=2),
    other_voices=("espeak:en-us+m1", "espeak:en-us+f1"),
    other_sentences=SentenceCounts(train=12, held_out=1),
    shard_utterances=10,
)
PLAN = plan_corpus(CONFIG)


def make(directory: Path, plan: list[Shard] = PLAN) -> Report:
    writer = shards_writer(directory)
    for shard in writer.start(plan):
        writer.publish(shard.name, shard.fingerprint, speak_shard(shard.inputs, speaker=HummingSpeaker()))
    report = writer.finish([shard.name for shard in plan])
    publish_corpus(directory, plan, report, config_to_dict(CONFIG))
    return report


def test_a_corpus_is_read_as_it_was_planned(tmp_path: Path) -> None:
    report = make(tmp_path / "corpus")
    planned = plan_sentences(CONFIG)
    rejected = [each.id for each in planned if each.text.endswith("?") or each.emotion == "surprised"]
    spoken = {u.id: (u.text, u.voice, u.emotion, u.split) for u in read_manifest(tmp_path / "corpus")}
    assert spoken == {u.id: (u.text, u.voice, u.emotion, u.split) for u in planned if u.id not in rejected}
    assert rejected
    rejects = (tmp_path / "corpus/rejects.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in rejects] == rejected
    assert report.rows_in == len(planned) == report.rows_out + len(rejected)
    train = SpeechCorpus(tmp_path / "corpus", "train")
    for index, utterance in enumerate(train.utterances):
        expected = HummingSpeaker().speak(SpeechRequest(text=utterance.text)).samples
        np.testing.assert_allclose(train.waveform(index, 8000), expected, atol=1.1 / 32768)


def test_a_corpus_knows_its_plan(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    assert finished_report(corpus, PLAN) is None
    report = make(corpus)
    assert finished_report(corpus, PLAN) == report
    assert finished_report(corpus, PLAN[:1]) is None


def test_a_corpus_of_another_plan_replaces_it(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    make(corpus)
    make(corpus, PLAN[:1])
    assert len(list((corpus / "audio").iterdir())) == len(read_manifest(corpus)) <= 10


def test_shards_lie_beside_the_corpus_until_they_are_removed(tmp_path: Path) -> None:
    make(tmp_path / "corpus")
    assert {path.name for path in tmp_path.iterdir()} == {"corpus", "corpus.shards"}
    remove_shards(tmp_path / "corpus")
    remove_shards(tmp_path / "corpus")
    assert {path.name for path in tmp_path.iterdir()} == {"corpus"}


def test_a_directory_of_somebody_elses_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DatasetError, match=r"is not a speech corpus: expected corpus\.json in it"):
        finished_report(tmp_path, PLAN)
    with pytest.raises(DatasetError, match="is not a speech corpus"):
        finished_report(tmp_path / "thesis.txt", PLAN)
    (tmp_path / "empty").mkdir()
    assert finished_report(tmp_path / "empty", PLAN) is None


def test_a_corpus_is_described_voice_by_voice() -> None:
    lengths = [("flite:slt", 3600), ("flite:awb", 1800), ("flite:slt", 7200)]
    utterances = [
        Utterance(id="", file="", text="", voice=v, emotion="neutral", split="train", samples=s * 8000, rate=8000)
        for v, s in lengths
    ]
    lines = [line.split() for line in describe_corpus(utterances).splitlines()]
    assert lines == [["flite:slt", "2", "utterances", "3.000", "h"], ["flite:awb", "1", "utterances", "0.500", "h"]]
