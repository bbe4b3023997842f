from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow.parquet as pq
import pytest

from data_pipeline.corpora import CorpusCard, CorpusError, CorpusFiles
from data_pipeline.corpora.librispeech import LibriSpeech
from data_pipeline.dataset import DatasetError, absolute_url
from data_pipeline.preparation.planning import Plan, make_plan, read_planned
from data_pipeline.preparation.work import decode_entry
from data_pipeline.records import AudioReference, Reject, Utterance
from data_pipeline.steps.statistics import Quota, SelectionConfig

pytestmark = pytest.mark.ray

MADE_FROM = {"config": {"clips": {"min_seconds": 0.5}}, "corpus": "listed"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A corpus that is a list of files, each with a name a line; ``-`` is a bad row. It counts how often it is read."""

    name: ClassVar[str] = "listed"
    card: ClassVar[CorpusCard] = LibriSpeech.card
    log: str

    def parts(self, files: CorpusFiles) -> Sequence[str]:
        return files.glob("*.txt")

    def read(self, files: CorpusFiles, part: str) -> Iterator[Utterance | Reject]:
        with Path(self.log).open("a") as log:
            log.write(f"{part}\n")
        for name in files.text(part).split():
            if name == "-":
                yield Reject(id=f"{part}:-", step="read", reason="bad row: -")
            elif name == "fail":
                raise OSError("the disk is gone")
            else:
                yield Utterance(
                    id=name,
                    corpus="listed",
                    split="train",
                    language="en",
                    audio=AudioReference(path=f"{name}.flac"),
                    text="words",
                    duration=36.0,
                    speaker=name,
                )


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    root = tmp_path / "corpus"
    root.mkdir()
    (root / "1.txt").write_text("a b - c")
    (root / "2.txt").write_text("d a e")
    return root


def plan(corpus: Path, shard_rows: int = 2, made_from: Any = MADE_FROM, **selection: Any) -> Plan:
    return make_plan(
        absolute_url(str(corpus.parent / "out")),
        Listed(log=str(corpus.parent / "log")),
        absolute_url(str(corpus)),
        "transcription",
        SelectionConfig(**selection),
        shard_rows,
        made_from,
    )


def planned(corpus: Path, made: Plan) -> list[list[str]]:
    """The rows of each shard: an id, or why it is rejected."""
    shards = []
    for shard in made.shards:
        rows = read_planned(absolute_url(str(corpus.parent / "out")), shard)
        texts = {position: decode_entry(entry).id for position, entry in rows.entries.items()}
        texts |= {position: reject.reason for position, reject in rows.rejects.items()}
        assert sorted(texts) == list(range(len(texts)))
        shards.append([texts[position] for position in range(len(texts))])
    return shards


def test_a_corpus_without_rows_is_an_error_until_it_has_some(ray_local: str, corpus: Path) -> None:
    for name in ("1.txt", "2.txt"):
        (corpus / name).write_text("")
    with pytest.raises(CorpusError, match=rf"{corpus}: no rows of LibriSpeech: expected some in 1\.txt, 2\.txt"):
        plan(corpus)
    (corpus / "2.txt").write_text("a")
    assert plan(corpus).rows == 1


def test_a_corpus_without_files_is_an_error(ray_local: str, corpus: Path) -> None:
    for path in corpus.iterdir():
        path.unlink()
    with pytest.raises(CorpusError, match=rf"{corpus}: no rows of LibriSpeech: expected some in the layout of docs"):
        plan(corpus)


def test_a_selection_that_leaves_no_row_is_an_error(ray_local: str, corpus: Path) -> None:
    (corpus / "1.txt").write_text("b")
    with pytest.raises(CorpusError, match="expected some, the selection leaves none of 4"):
        plan(corpus, quotas=(Quota(language="en", rows=0),), duplicates=False)


def test_every_row_is_planned_once_in_the_order_of_the_corpus(ray_local: str, corpus: Path) -> None:
    made = plan(corpus)
    assert planned(corpus, made) == [["a", "b"], ["bad row: -", "c"], ["d", "duplicate id: a, expected once"], ["e"]]
    assert made.rows == 7
    assert made.live == (2, 1, 1, 1)


def test_a_committed_plan_is_read_and_not_made_again(ray_local: str, corpus: Path) -> None:
    made = plan(corpus)
    (corpus / "1.txt").write_text("another")
    assert plan(corpus) == made
    assert Path(corpus.parent / "log").read_text().split() == ["1.txt", "2.txt"]


def test_rows_outside_a_quota_are_counted_and_not_planned(ray_local: str, corpus: Path) -> None:
    made = plan(corpus, quotas=(Quota(language="en", rows=2),))
    assert made.not_selected == 3
    assert sum(made.live) == 2
    assert sum(map(len, planned(corpus, made))) == 4


def test_other_inputs_are_refused_with_the_difference(ray_local: str, corpus: Path) -> None:
    plan(corpus)
    with pytest.raises(DatasetError, match=r"config\.clips\.min_seconds was 0\.5, is 1\.0"):
        plan(corpus, made_from={"config": {"clips": {"min_seconds": 1.0}}, "corpus": "listed"})


def test_equal_inputs_give_equal_plans(ray_local: str, corpus: Path, tmp_path: Path) -> None:
    first = plan(corpus)
    (tmp_path / "out").rename(tmp_path / "first")
    assert plan(corpus) == first
    for path in sorted((tmp_path / "out").rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "first" / path.relative_to(tmp_path / "out")).read_bytes()


def test_a_scan_that_was_ended_continues_with_the_parts_that_are_missing(ray_local: str, corpus: Path) -> None:
    (corpus / "2.txt").write_text("d fail")
    with pytest.raises(Exception, match="the disk is gone"):
        plan(corpus)
    (corpus / "2.txt").write_text("d")
    assert planned(corpus, plan(corpus)) == [["a", "b"], ["bad row: -", "c"], ["d"]]
    assert (corpus.parent / "log").read_text().split().count("1.txt") == 1


def test_nothing_of_the_scan_is_left(ray_local: str, corpus: Path) -> None:
    made = plan(corpus)
    names = {path.name for path in (corpus.parent / "out").iterdir()}
    assert names - {"_tmp"} == {"_plan", "_plan.json"}
    shards = sorted(path.stem for path in (corpus.parent / "out" / "_plan").iterdir())
    assert shards == made.shards
    assert pq.read_table(corpus.parent / "out" / "_plan" / f"{shards[0]}.parquet").num_rows == 2
