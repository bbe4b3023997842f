from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.dataset import DatasetError
from data_pipeline.dataset.mixture import MixedSamples, Mixture, MixtureSource, _repeated
from opens2s_core.training.loader import GroupedSamples
from opens2s_core.training.plan import Lengths, PlanConfig, plan_epoch
from tests.data_pipeline.dataset.small import rows_of, sample_row, write_dataset


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``first``: 12 rows in 4 groups; ``second``: 5 rows in 3 groups, rows 0, 3 and 4 of which are Chinese."""
    root = tmp_path_factory.mktemp("mixture")
    write_dataset(str(root / "first"), rows_of(12))
    languages = ["zh", "en", "en", "zh", "zh"]
    rows = [sample_row(100 + i, language=language) for i, language in enumerate(languages)]
    write_dataset(str(root / "second"), [rows[:4], rows[4:]])
    return root


def mixed(root: Path, **second: object) -> MixedSamples:
    sources = MixtureSource(data=str(root / "first")), MixtureSource(data=str(root / "second"), **second)  # type: ignore[arg-type]
    return MixedSamples(Mixture(sources=sources))


def test_indices_follow_the_sources(root: Path) -> None:
    samples = mixed(root)
    ids = [f"row-{i}" for i in [*range(12), *range(100, 105)]]
    assert [samples[i].id for i in range(len(samples))] == ids
    assert samples.speech_lengths.tolist() == [3 * label for label in samples.text_labels]
    assert samples.text_labels.tolist() == [*range(12), *range(100, 105)]
    assert samples.unit_labels.tolist() == [2 * label for label in samples.text_labels]
    assert samples.lengths.tolist()[12:] == [sample_row(i)["length"] for i in range(100, 105)]
    assert samples.groups.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 6]
    assert isinstance(samples, GroupedSamples)


def test_a_source_may_be_one_language_of_a_data_set(root: Path) -> None:
    samples = mixed(root, language="zh")
    assert [samples[i].id for i in range(12, len(samples))] == ["row-100", "row-103", "row-104"]
    assert samples.groups.tolist()[12:] == [4, 5, 6]


def test_a_language_that_is_not_there_is_refused(root: Path) -> None:
    with pytest.raises(DatasetError, match=r"second has no samples in 'fr', only in \['en', 'zh'\]"):
        mixed(root, language="fr")


def test_a_source_is_in_an_epoch_as_often_as_its_weight(root: Path) -> None:
    counts = Counter(mixed(root, weight=2.0).epoch_groups(0, 0).tolist())
    assert counts == {0: 1, 1: 1, 2: 1, 3: 1, 4: 2, 5: 2, 6: 2}


def test_half_of_the_row_groups_are_taken_a_third_time(root: Path) -> None:
    samples = MixedSamples(Mixture(sources=(MixtureSource(data=str(root / "first"), weight=2.5),)))
    epochs = [Counter(samples.epoch_groups(epoch, 7).tolist()) for epoch in range(20)]
    assert all(sorted(counts.values()) == [2, 2, 3, 3] for counts in epochs)
    assert len({tuple(sorted(counts.items())) for counts in epochs}) > 1
    assert epochs[3] == Counter(samples.epoch_groups(3, 7).tolist())
    assert any(epochs[i] != Counter(samples.epoch_groups(i, 8).tolist()) for i in range(20))


@given(st.integers(1, 50), st.integers(1, 400).map(lambda hundredths: hundredths / 100))
def test_over_epochs_a_weight_is_met_exactly(count: int, weight: float) -> None:
    rng = np.random.default_rng(0)
    taken = [len(_repeated(count, weight, epoch, rng)) for epoch in range(100)]
    assert sum(taken) == round(100 * weight * count)
    assert max(taken) - min(taken) <= 1


def test_steps_are_planned_over_all_sources(root: Path) -> None:
    samples = mixed(root, weight=2.0)
    plan = PlanConfig(micro_batches_per_step=2, micro_batch_positions=100, window_groups=1)
    lengths = Lengths(samples.lengths, samples.speech_lengths)
    steps = plan_epoch(lengths, plan, 0, groups=samples.groups, epoch_groups=samples.epoch_groups(0, plan.seed))
    taken = Counter(index for step in steps for micro_batch in step for index in micro_batch)
    assert taken == {index: 1 if index < 12 else 2 for index in range(17)}


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf")])
def test_weights_are_above_zero(weight: float) -> None:
    with pytest.raises(ValueError, match="weight of data: expected a number above 0"):
        MixtureSource(data="data", weight=weight)


def test_a_mixture_has_sources() -> None:
    with pytest.raises(ValueError, match="expected at least one"):
        Mixture(sources=())
