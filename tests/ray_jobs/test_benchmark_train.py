"""The rows that need no Ray are measured, and the data set is what training reads. Speeds are not checked."""

import dataclasses

import pytest

from data_pipeline.dataset.mixture import MixedSamples, Mixture, MixtureSource
from opens2s_core.benchmark.report import Bound
from ray_jobs import benchmark_train
from ray_jobs.benchmark_train import TrainBenchmark, _Setting, packing_rows, saving_rows
from tests.opens2s_core.threads import one_thread  # noqa: F401 a fixture


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> _Setting:
    benchmark = TrainBenchmark(dialogues=4, repeats=1, steps=1, threads=1)
    return _Setting(benchmark, tmp_path_factory.mktemp("benchmark"))


def test_packing_fills_every_cell_and_changes_no_loss(setting: _Setting) -> None:
    rows = {row.name: row for row in packing_rows(setting)}
    useful = rows["useful cells, packed to padded"]
    assert useful.holds
    assert useful.baseline is not None
    assert 0 < (useful.baseline.value or 0) < (useful.value or 0) <= 100
    assert rows["difference of the losses, packed to padded"].holds
    assert rows["ratio of throughput, packed to padded"].bound == Bound("at least", 1.3)


def test_checkpoints_are_measured(setting: _Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark_train, "_SAVED_EVERY", 1)
    added, step = saving_rows(setting)
    assert added.value is not None
    assert added.baseline is not None
    assert (step.value or 0) > 0


def test_the_data_set_has_the_dialogues(setting: _Setting) -> None:
    samples = MixedSamples(Mixture(sources=(MixtureSource(data=setting.data),)))
    assert samples.lengths.tolist() == setting.dialogues.lengths
    assert samples.speech_lengths.tolist() == setting.dialogues.speech_lengths
    for number, dialogue in enumerate(setting.dialogues.dialogues):
        assert dataclasses.replace(samples[number], id="") == dialogue.sample


@pytest.mark.parametrize("name", ["dialogues", "repeats", "steps", "curve", "threads"])
def test_nothing_to_measure_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected at least 1, got 0"):
        TrainBenchmark(**{name: 0})
