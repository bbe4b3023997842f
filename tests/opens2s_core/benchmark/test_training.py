"""All rows are measured. Their values are not checked, as they need an idle machine."""

from dataclasses import replace
from pathlib import Path

import pytest

from opens2s_core.benchmark import training
from opens2s_core.benchmark.__main__ import main
from opens2s_core.benchmark.dialogues import Dialogues
from opens2s_core.benchmark.engine_models import SIZES
from opens2s_core.benchmark.training import STAGES, StageName, TrainingBenchmark, measure_training
from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.files import read_json
from opens2s_core.checkpoint.opens2s import read_config
from opens2s_core.checkpoint.vocabulary import read_vocabulary
from opens2s_core.training.batch import collate


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    size = SIZES["tiny"]
    one_layer = replace(size.models.llm, layers=1)
    models = replace(size.models, llm=one_layer, speech_decoder=one_layer)
    monkeypatch.setattr(training, "SIZES", {"tiny": replace(size, models=models)})
    monkeypatch.setattr(training, "_DIALOGUES", {"tiny": 4})
    monkeypatch.setattr(training, "_WARM_STEPS", 1)


@pytest.mark.parametrize("stage", STAGES)
def test_a_step_of_every_stage_is_measured(stage: StageName) -> None:
    rows = {row.name: row for row in measure_training(TrainingBenchmark(stage=stage, steps=1, threads=1))}
    unknown = rows.pop(f"{stage}, tiny, FLOP utilisation")  # the peak of this processor is not known
    assert unknown.value is None
    assert all(row.value is not None and row.value >= 0 and row.bound is None for row in rows.values()), rows
    assert rows[f"{stage}, tiny, throughput"].value


def test_the_report_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "train.json"
    main(["train", "--stage", "stage1a", "--steps", "1", "--threads", "1", "--json", str(path)])
    assert "stage1a, tiny, peak memory" in capsys.readouterr().out
    assert read_json(path)["config"]["stage"] == "stage1a"


def test_the_full_size_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match="needs a GPU"):
        TrainingBenchmark(size="full")


def test_dialogues_have_the_lengths_that_they_say(tiny_bundle: Path) -> None:
    config, vocabulary = read_config(tiny_bundle / OPENS2S), read_vocabulary(tiny_bundle / OPENS2S)
    dialogues = Dialogues(config, vocabulary, 5)
    for number in range(len(dialogues)):
        batch = collate([dialogues[number]], config, vocabulary)
        assert len(batch.input_ids) == dialogues.lengths[number]
        assert len(batch.replies.order) == dialogues.speech_lengths[number]
