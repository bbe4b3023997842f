import re
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from data_pipeline.corpora import CorpusError
from data_pipeline.corpora.gigaspeech import GigaSpeech
from data_pipeline.corpora.instructions import Instructions
from data_pipeline.dialogues.reading import read_dialogues
from data_pipeline.preparation.vllm_engine import VLLMGeneratorConfig
from data_pipeline.steps.openai_generator import OpenAIGeneratorConfig
from data_pipeline.steps.tokenise import TokeniseConfig
from data_pipeline.steps.transformers_generator import TransformersGeneratorConfig
from ray_jobs import dialogue_recipes
from ray_jobs.build_dialogues import build_dialogues
from ray_jobs.data_recipes import DATA_RECIPES, dialogues
from ray_jobs.prepare_data import main, parse_generator, prepare_data, read_corpus_settings, with_gpus

CONVERSATIONS = replace(dialogues(), tokenise=TokeniseConfig(task="conversation"))


@pytest.fixture(scope="module")
def spoken(ray_local: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dialogues")
    build_dialogues(dialogue_recipes.smoke(), str(directory))
    return directory


def rows(directory: Path) -> list[dict]:
    return [row for path in sorted(directory.glob("0*.parquet")) for row in pq.read_table(path).to_pylist()]


@pytest.mark.ray
def test_every_dialogue_becomes_a_sample_once(spoken: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    report = prepare_data(CONVERSATIONS, Instructions(), str(spoken), str(tiny_bundle), str(tmp_path))
    samples = rows(tmp_path)
    dialogues = read_dialogues(str(spoken))
    assert [sample["id"] for sample in samples] == [dialogue.row["id"] for dialogue in dialogues]
    assert [sample["emotion"] for sample in samples] == [dialogue.row["emotion"] for dialogue in dialogues]
    assert [sample["transcript"] for sample in samples] == [d.messages[0].message["text"] for d in dialogues]
    assert (report.rows_in, report.rows_out, report.rejected) == (8, 8, {})
    assert report.units == sum(len(units) for sample in samples for units in sample["units"])


@pytest.mark.ray
def test_a_job_that_can_use_no_row_fails(spoken: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "in"
    corpus.mkdir()
    lines = (spoken / "train.jsonl").read_text().splitlines()[:2]
    damaged = [re.sub(r'"audio": "[^"]+"', '"audio": "clip.flac"', line) for line in lines]
    (corpus / "train.jsonl").write_text("\n".join(damaged))
    (corpus / "clip.flac").write_bytes(b"no audio")
    paths = {"--root": corpus, "--model": tiny_bundle, "--output": tmp_path / "out"}
    options = [str(part) for pair in paths.items() for part in pair]
    arguments = ["--recipe", "smoke", "--corpus", "instructions", *options]
    with pytest.raises(SystemExit, match=r"error: .*2 of 2 rows cannot be used, .*: 2 x clips: bad audio"):
        main(arguments)
    with pytest.raises(SystemExit, match="no samples: all 2 rows were rejected"):
        main([*arguments, "--max-reject-share", "1"])
    assert "- Recipe: `smoke`" in (tmp_path / "out" / "_card.md").read_text()


@pytest.mark.ray
def test_unfinished_dialogues_are_refused(ray_local: str, tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(CorpusError, match="expected manifests in JSON Lines"):
        prepare_data(CONVERSATIONS, Instructions(), str(tmp_path / "in"), str(tiny_bundle), str(tmp_path / "out"))


def test_settings_of_a_reader_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("subset: XL\n")
    assert read_corpus_settings("gigaspeech", file) == GigaSpeech(subset="XL")
    assert read_corpus_settings("gigaspeech", None) == GigaSpeech()
    file.write_text("subsets: XL\n")
    with pytest.raises(ValueError, match=r"settings.yaml: unknown keys \['subsets'\]; known are \['subset'\]"):
        read_corpus_settings("gigaspeech", file)


def test_a_generator_is_an_endpoint_or_a_model() -> None:
    endpoint = parse_generator("http://host:8000/v1", "qwen")
    assert endpoint == OpenAIGeneratorConfig(base_url="http://host:8000/v1", model="qwen")
    assert parse_generator("vllm:qwen", None) == VLLMGeneratorConfig(model="qwen")
    assert parse_generator("models/qwen", None) == TransformersGeneratorConfig(model="models/qwen")
    assert parse_generator(None, None) is None
    on_gpu = parse_generator("models/qwen", None, gpu=True)
    assert on_gpu == TransformersGeneratorConfig(model="models/qwen", device="cuda", dtype="bfloat16")
    with pytest.raises(ValueError, match="expected the name of its model in --generator-model"):
        parse_generator("http://host:8000/v1", None)


def test_models_get_a_gpu_each() -> None:
    pool = with_gpus(dialogues(), 4).speech_tokenizer
    assert (pool.min_actors, pool.max_actors, pool.gpus, pool.cpus) == (1, 4, 1, 1)


def test_recipes_are_named_as_their_functions() -> None:
    stages = {"transcripts", "asr", "ser", "tts", "emilia", "emilia_streaming", "dialogues"}
    assert set(DATA_RECIPES) == stages | {"transcription"}
    assert all(make().shard_rows > 0 for make in DATA_RECIPES.values())
