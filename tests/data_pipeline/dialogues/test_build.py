"""The build in one process; tests/ray_jobs/test_build_dialogues.py runs the job."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from data_pipeline.dataset import DatasetWriter, Shard, ShardContent
from data_pipeline.dialogues import assemble, build
from data_pipeline.dialogues.build import build_corpus
from data_pipeline.dialogues.config import BuildConfig
from data_pipeline.progress import Passed, ShowProgress
from data_pipeline.report import Report
from data_pipeline.synthesis.seeds import SeedError
from opens2s_core.checkpoint.errors import CheckpointError
from ray_jobs.dialogue_recipes import smoke
from tests.data_pipeline.dialogues.memory import publish

CONFIG = replace(smoke(), texts=replace(smoke().texts, empathetic=2))
PUBLISHED = ("train.jsonl", "samples.html", "distributions.png")


@pytest.fixture(autouse=True)
def in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(
        plan: Sequence[Shard], make: Callable[[str], ShardContent], writer: DatasetWriter, progress: ShowProgress
    ) -> Report:
        return publish(writer.url, plan, make)

    monkeypatch.setattr(build, "run_shards", run)


def no_progress(stage: str) -> ShowProgress:
    @contextmanager
    def show(rows: int, done: int) -> Iterator[Callable[[Passed], None]]:
        yield lambda passed: None

    return show


def times(corpus: Path) -> list[int]:
    return [(corpus / name).stat().st_mtime_ns for name in PUBLISHED]


def test_files_of_a_corpus_are_published_again_where_its_dialogues_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_corpus(CONFIG, str(tmp_path), no_progress)
    before = times(tmp_path)
    build_corpus(CONFIG, str(tmp_path), no_progress)
    assert times(tmp_path) == before
    monkeypatch.setattr(assemble, "VERSION", assemble.VERSION + 1)
    build_corpus(CONFIG, str(tmp_path), no_progress)
    assert all(now > then for now, then in zip(times(tmp_path), before, strict=True))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"writer": "nobody"}, ValueError),
        ({"voices": replace(CONFIG.voices, user_speaker="nobody")}, ValueError),
        ({"model": "nowhere"}, (CheckpointError, OSError)),
    ],
)
def test_what_is_wrong_is_found_before_anything_is_written(
    tmp_path: Path, changes: dict[str, object], error: type[Exception] | tuple[type[Exception], ...]
) -> None:
    config: BuildConfig = replace(CONFIG, **changes)  # type: ignore[arg-type]
    with pytest.raises(error):
        build_corpus(config, str(tmp_path), no_progress)
    assert {path.name for path in tmp_path.iterdir()} <= {"_tmp"}


def test_missing_seed_clips_are_found_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"audio")
    seeds = tmp_path / "seeds.csv"
    seeds.write_text("audio,gender,age,emotion,language,text\na.wav,male,adult,sad,en,Text.\n", encoding="utf-8")
    cloning = replace(CONFIG.voices, seeds=str(seeds), user_speaker="cosyvoice2:http://127.0.0.1:9")
    config = replace(CONFIG, voices=cloning)
    with pytest.raises(SeedError, match="no seed clip: language 'en', emotion 'happy'"):
        build_corpus(config, str(tmp_path / "corpus"), no_progress)
    assert {path.name for path in (tmp_path / "corpus").iterdir()} <= {"_tmp"}
