import json
import shutil
import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import s3fs
import torch

from data_pipeline.corpora import CorpusError
from data_pipeline.corpora.librispeech import LibriSpeech
from data_pipeline.dataset import DatasetError
from data_pipeline.dataset.layout import DatasetFiles
from data_pipeline.dataset.samples import ShardedSamples
from data_pipeline.preparation import generators, job
from data_pipeline.preparation.config import PrepareConfig
from data_pipeline.preparation.job import PreparationError
from data_pipeline.preparation.models import PoolConfig
from data_pipeline.preparation.shard import TooManyRejects
from data_pipeline.preparation.vllm_engine import VLLMGeneratorConfig
from data_pipeline.report import Report
from data_pipeline.steps.tokenise import CONTINUE, TokeniseConfig
from opens2s_core.audio import SAMPLE_RATE, decode_audio, resample
from opens2s_core.checkpoint.bundle import OPENS2S, SPEECH_TOKENIZER
from opens2s_core.checkpoint.opens2s import load_prompt_builder
from opens2s_core.checkpoint.speech_tokenizer import load_speech_tokenizer
from ray_jobs.prepare_data import prepare_data
from tests.data_pipeline.preparation.http_engine import HttpEngine
from tests.data_pipeline.preparation.model_server import model_server
from tests.data_pipeline.preparation.speech import write_speech

pytestmark = pytest.mark.ray

TRANSCRIPTS = PrepareConfig(tokenise=TokeniseConfig(task="transcription"), shard_rows=4)
SPEECH = PrepareConfig(tokenise=TokeniseConfig(task="text to speech"), shard_rows=4)
CONTINUATIONS = PrepareConfig(
    tokenise=TokeniseConfig(task="continuation"), shard_rows=4, generator=PoolConfig(batch_rows=2)
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_speech(tmp_path_factory.mktemp("corpus"), 10)


@pytest.fixture(scope="module")
def transcripts(ray_local: str, corpus: Path, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("data") / "transcripts"
    prepare(TRANSCRIPTS, corpus, tiny_bundle, output)
    return output


def prepare(config: PrepareConfig, corpus: Path, bundle: Path, output: Path, **settings: object) -> Report:
    return prepare_data(config, LibriSpeech(), str(corpus), str(bundle), str(output), **settings)  # type: ignore[arg-type]


def rows(dataset: Path) -> list[dict]:
    return [row for path in sorted(dataset.glob("0*.parquet")) for row in pq.read_table(path).to_pylist()]


def rejects(dataset: Path) -> dict[str, str]:
    found = [row for path in sorted((dataset / "_rejects").iterdir()) for row in pq.read_table(path).to_pylist()]
    return {row["id"]: row["reason"] for row in found}


def content(dataset: Path) -> dict[str, bytes]:
    """All files but those of models, which are named at random."""
    paths = (path for path in dataset.rglob("*") if path.is_file())
    return {
        str(path.relative_to(dataset)): path.read_bytes()
        for path in paths
        if not {"_model_outputs", "_tmp"} & set(path.parts)
    }


def test_every_clip_becomes_a_sample_in_the_order_of_the_corpus(transcripts: Path, corpus: Path) -> None:
    clips = sorted(corpus.rglob("*.flac"))
    samples = rows(transcripts)
    assert [sample["id"] for sample in samples] == [clip.stem for clip in clips]
    for sample, clip in zip(samples, clips, strict=True):
        (audio,) = sample["audios"]
        stored, rate = decode_audio(audio)
        assert rate == SAMPLE_RATE
        assert len(stored) == len(resample(*decode_audio(clip.read_bytes()), SAMPLE_RATE))


def test_training_reads_what_was_prepared(transcripts: Path) -> None:
    samples = ShardedSamples(str(transcripts))
    stored = rows(transcripts)
    assert len(samples) == 10
    for index, row in enumerate(stored):
        assert samples[index].id == row["id"]
        assert samples[index].audios == row["audios"]
        assert samples.lengths[index] == row["length"]


def test_a_finished_job_changes_nothing(transcripts: Path, corpus: Path, tiny_bundle: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in transcripts.rglob("*")}
    report = prepare(TRANSCRIPTS, corpus, tiny_bundle, transcripts)
    assert (report.rows_in, report.rows_out, report.samples) == (10, 10, 10)
    assert {path: path.stat().st_mtime_ns for path in transcripts.rglob("*")} == before


def test_a_finished_job_reads_each_marker_once(
    transcripts: Path, corpus: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def check_here(function: Callable, items: Iterable) -> list:
        return [function(item) for item in items]

    def read_json(files: DatasetFiles, name: str) -> object:
        read.append(name)
        return json.loads(files.read(name))

    monkeypatch.setattr(job, "map_in_tasks", check_here)
    monkeypatch.setattr(DatasetFiles, "read_json", read_json)
    prepare(TRANSCRIPTS, corpus, tiny_bundle, transcripts)
    assert [name for name in read if name.startswith("_shards/")] == [
        f"_shards/0000{number}-of-00003.json" for number in range(3)
    ]


def test_a_shard_with_a_flipped_bit_is_made_again_alone(
    transcripts: Path, corpus: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(transcripts, damaged)
    shard = damaged / "00001-of-00003.parquet"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    others = [damaged / f"{folder}{number}-of-00003.{kind}" for number in ("00000", "00002")
              for folder, kind in (("", "parquet"), ("_rejects/", "parquet"), ("_shards/", "json"))]  # fmt: skip
    times = [path.stat().st_mtime_ns for path in others]
    prepare(TRANSCRIPTS, corpus, tiny_bundle, damaged)
    assert content(damaged) == content(transcripts)
    assert [path.stat().st_mtime_ns for path in others] == times


def test_a_shard_that_is_missing_is_made_again_with_equal_bytes(
    transcripts: Path, corpus: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(transcripts, damaged)
    for name in ("_dataset.json", "_index.parquet", "_shards/00001-of-00003.json", "00001-of-00003.parquet"):
        (damaged / name).unlink()
    kept = (damaged / "00000-of-00003.parquet").stat().st_mtime_ns
    prepare(TRANSCRIPTS, corpus, tiny_bundle, damaged)
    assert content(damaged) == content(transcripts)
    assert (damaged / "00000-of-00003.parquet").stat().st_mtime_ns == kept


def test_other_settings_at_the_same_place_are_refused(transcripts: Path, corpus: Path, tiny_bundle: Path) -> None:
    with pytest.raises(DatasetError, match=r"config\.shard_rows was 4, is 5"):
        prepare(replace(TRANSCRIPTS, shard_rows=5), corpus, tiny_bundle, transcripts)


def test_how_many_actors_run_and_how_much_may_fail_are_no_other_settings(
    transcripts: Path, corpus: Path, tiny_bundle: Path
) -> None:
    config = replace(TRANSCRIPTS, generator=PoolConfig(max_actors=3), max_reject_share=0.9)
    assert prepare(config, corpus, tiny_bundle, transcripts).rows_out == 10


def test_a_bad_clip_is_rejected_alone(ray_local: str, corpus: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "corpus"
    shutil.copytree(corpus, damaged)
    empty, missing, *_ = sorted(damaged.rglob("*.flac"))
    empty.write_bytes(b"")
    missing.unlink()
    report = prepare(TRANSCRIPTS, damaged, tiny_bundle, tmp_path / "out")
    found = rejects(tmp_path / "out")
    assert set(found) == {empty.stem, missing.stem}
    assert found[empty.stem].startswith("bad audio: ")
    assert found[missing.stem].startswith("missing file: ")
    assert (report.rows_in, report.rows_out) == (10, 8)
    assert len(rows(tmp_path / "out")) == 8


def test_a_job_whose_rows_cannot_be_used_fails(ray_local: str, corpus: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    config = replace(TRANSCRIPTS, clips=replace(TRANSCRIPTS.clips, min_seconds=20.0))
    with pytest.raises(TooManyRejects, match="10 of 10 rows cannot be used, expected at most 50%"):
        prepare(config, corpus, tiny_bundle, tmp_path / "out")
    assert not (tmp_path / "out" / "_dataset.json").exists()


def test_a_corpus_of_another_kind_is_refused(ray_local: str, corpus: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    config = PrepareConfig(tokenise=TokeniseConfig(task="conversation"))
    with pytest.raises(CorpusError, match="librispeech has no entries for the task 'conversation': got a Utterance"):
        prepare(config, corpus, tiny_bundle, tmp_path / "out")


def test_speech_units_are_those_of_the_tokenizer(
    ray_local: str, corpus: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    report = prepare(SPEECH, corpus, tiny_bundle, tmp_path / "out")
    encoder = load_speech_tokenizer(tiny_bundle / SPEECH_TOKENIZER, torch.float32)
    for sample, clip in zip(rows(tmp_path / "out"), sorted(corpus.rglob("*.flac")), strict=True):
        waveform = resample(*decode_audio(clip.read_bytes()), SAMPLE_RATE)
        assert len(sample["units"][0]) == len(encoder.encode([waveform])[0])
        assert sample["audios"] == []
    assert report.units == sum(len(sample["units"][0]) for sample in rows(tmp_path / "out"))


def test_a_language_model_is_asked_once_for_each_row(
    ray_local: str, corpus: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    with model_server() as server:
        prepare(CONTINUATIONS, corpus, tiny_bundle, output, generator=server.config)
        assert sorted(server.prompts) == sorted(f"{CONTINUE}WORDS NUMBER {number}" for number in range(10))
        whole = content(output)
        # As if the job had been killed before its shards were published.
        for path in [*output.glob("0*.parquet"), *(output / "_shards").iterdir(), *(output / "_rejects").iterdir()]:
            path.unlink()
        for name in ("_dataset.json", "_index.parquet"):
            (output / name).unlink()
        prepare(CONTINUATIONS, corpus, tiny_bundle, output, generator=server.config)
        assert len(server.prompts) == 10
    assert content(output) == whole
    text = load_prompt_builder(tiny_bundle / OPENS2S)
    for sample in rows(output):
        number = int(sample["id"].rpartition("-")[2])
        words = text.encode_text(f"and then {number}")
        learned = [label for label in sample["labels"] if label >= 0]
        assert learned[: len(words)] == words


def test_continuations_need_a_language_model(ray_local: str, corpus: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(PreparationError, match="'continuation' needs a language model"):
        prepare(CONTINUATIONS, corpus, tiny_bundle, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_vllm_must_be_installed(ray_local: str, corpus: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(PreparationError, match="vLLM, which should run m, is not installed"):
        prepare(CONTINUATIONS, corpus, tiny_bundle, tmp_path / "out", generator=VLLMGeneratorConfig(model="m"))
    assert not (tmp_path / "out").exists()


def test_a_processor_of_ray_makes_the_data_set_that_actors_make(
    ray_local: str, corpus: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with model_server() as server:
        prepare(CONTINUATIONS, corpus, tiny_bundle, tmp_path / "actors", generator=server.config)
        monkeypatch.setattr(job, "missing_software", lambda _: None)
        monkeypatch.setattr(generators, "VLLMEngine", lambda _: HttpEngine(server.url))
        generator = VLLMGeneratorConfig(model=server.config.model)
        report = prepare(CONTINUATIONS, corpus, tiny_bundle, tmp_path / "processor", generator=generator)
        assert len(server.prompts) == 20
    assert report.rows_out == 10
    assert content(tmp_path / "processor") == content(tmp_path / "actors")


def test_a_data_set_on_s3_is_that_on_a_disk(transcripts: Path, corpus: Path, tiny_bundle: Path) -> None:
    url = f"s3://bucket/{uuid.uuid4().hex}"
    prepare_data(TRANSCRIPTS, LibriSpeech(), str(corpus), str(tiny_bundle), url)
    store = s3fs.S3FileSystem()
    root = url.removeprefix("s3://")
    stored = {name.removeprefix(f"{root}/"): store.cat_file(name) for name in store.find(root)}
    assert stored == content(transcripts)
    assert len(ShardedSamples(url)) == 10


@pytest.mark.parametrize("name", ["00001-of-00003.parquet", "_rejects/00002-of-00003.parquet", "_index.parquet"])
def test_what_is_missing_of_a_finished_data_set_is_made_again(
    transcripts: Path, corpus: Path, tiny_bundle: Path, tmp_path: Path, name: str
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(transcripts, damaged)
    (damaged / name).unlink()
    prepare(TRANSCRIPTS, corpus, tiny_bundle, damaged)
    assert content(damaged) == content(transcripts)


def test_a_shard_that_was_cut_is_made_again(transcripts: Path, corpus: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(transcripts, damaged)
    shard = damaged / "00000-of-00003.parquet"
    shard.write_bytes(shard.read_bytes()[:1000])
    prepare(TRANSCRIPTS, corpus, tiny_bundle, damaged)
    assert content(damaged) == content(transcripts)


@pytest.mark.parametrize("name", ["root", "output"])
def test_a_path_that_fsspec_reads_otherwise_is_refused(
    ray_local: str, corpus: Path, tiny_bundle: Path, tmp_path: Path, name: str
) -> None:
    paths = {"root": corpus, "output": tmp_path / "out"} | {name: tmp_path / "a::b"}
    with pytest.raises(DatasetError, match="a::b: expected a directory or a URL without '::'"):
        prepare(TRANSCRIPTS, paths["root"], tiny_bundle, paths["output"])
    assert list(tmp_path.iterdir()) == []


def test_the_card_and_the_manifest_name_the_recipe_and_the_fingerprint_does_not(
    transcripts: Path, corpus: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    prepare(TRANSCRIPTS, corpus, tiny_bundle, tmp_path, recipe="asr-short")
    named, unnamed = (json.loads((path / "_dataset.json").read_text()) for path in (tmp_path, transcripts))
    assert (named["recipe"], unnamed["recipe"]) == ("asr-short", "")
    assert named["fingerprint"] == unnamed["fingerprint"]
    card = (tmp_path / "_card.md").read_text()
    assert "# LibriSpeech: transcription\n" in card
    assert f"- Recipe: `asr-short`\n- Fingerprint: `{named['fingerprint']}`" in card
    assert "- Recipe: `not named`" in (transcripts / "_card.md").read_text()


def test_two_jobs_at_one_output_are_refused(ray_local: str, corpus: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    with (
        DatasetFiles(str(tmp_path)).for_one_job(),
        pytest.raises(DatasetError, match=f"{tmp_path}: another job is preparing it"),
    ):
        prepare(TRANSCRIPTS, corpus, tiny_bundle, tmp_path)
    assert prepare(TRANSCRIPTS, corpus, tiny_bundle, tmp_path).rows_out == 10


def test_an_output_with_another_data_set_is_refused(
    transcripts: Path, corpus: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(transcripts, other)
    (other / "_plan.json").unlink()
    with pytest.raises(DatasetError, match="holds another data set: choose another output"):
        prepare(TRANSCRIPTS, corpus, tiny_bundle, other)


@pytest.mark.parametrize("inside", [".", "train-clean-100"])
def test_an_output_in_the_corpus_is_refused(ray_local: str, corpus: Path, tiny_bundle: Path, inside: str) -> None:
    with pytest.raises(PreparationError, match="expected neither to lie in the other"):
        prepare(TRANSCRIPTS, corpus, tiny_bundle, corpus / inside)


def test_what_was_mended_is_used_by_the_next_job(
    ray_local: str, corpus: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    mended = tmp_path / "corpus"
    shutil.copytree(corpus, mended)
    clips = {clip: clip.read_bytes() for clip in mended.rglob("*.flac")}
    for clip in clips:
        clip.write_bytes(b"broken")
    with pytest.raises(TooManyRejects):
        prepare(TRANSCRIPTS, mended, tiny_bundle, tmp_path / "out")
    for clip, data in clips.items():
        clip.write_bytes(data)
    assert prepare(TRANSCRIPTS, mended, tiny_bundle, tmp_path / "out").rows_out == 10


def test_rows_without_an_answer_are_asked_again(
    ray_local: str, corpus: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    with model_server() as server:
        down = replace(server.config, base_url="http://127.0.0.1:9/v1", retries=0)
        with pytest.raises(TooManyRejects, match="10 x continuation: no answer"):
            prepare(CONTINUATIONS, corpus, tiny_bundle, tmp_path / "out", generator=down)
        assert prepare(CONTINUATIONS, corpus, tiny_bundle, tmp_path / "out", generator=server.config).rows_out == 10
