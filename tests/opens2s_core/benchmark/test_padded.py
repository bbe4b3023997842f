"""Padded rows give the losses of packed ones, and more cells."""

from pathlib import Path

import pytest
import torch

from opens2s_core.benchmark.dialogues import Dialogues
from opens2s_core.benchmark.padded import padded_cells, padded_losses, padded_micro_batches
from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.opens2s import load_opens2s
from opens2s_core.checkpoint.vocabulary import read_vocabulary
from opens2s_core.training.batch import collate
from opens2s_core.training.objective import Objective
from opens2s_core.training.stages import STAGE3


def test_losses_and_gradients_are_those_of_packed_rows(tiny_bundle: Path) -> None:
    vocabulary = read_vocabulary(tiny_bundle / OPENS2S)
    objective = Objective(load_opens2s(tiny_bundle / OPENS2S), STAGE3, seed=0).train()
    dialogues = Dialogues(objective.model.config, vocabulary, 3)
    batch = collate([dialogues[number] for number in range(3)], objective.model.config, vocabulary)

    def gradients(losses: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        objective.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        return {name: p.grad.clone() for name, p in objective.named_parameters() if p.grad is not None}

    packed, padded = objective(batch), padded_losses(objective, batch)
    assert padded.keys() == packed.keys()
    for name, loss in packed.items():
        torch.testing.assert_close(padded[name], loss, rtol=1e-5, atol=0)
    expected = gradients(packed)
    actual = gradients(padded)
    assert actual.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(actual[name], gradient, rtol=1e-3, atol=1e-3 * float(gradient.abs().max()), msg=name)

    useful, computed = padded_cells(batch)
    assert useful == batch.cells()[0]
    frames = batch.audio.cells()[1]
    rows = len(batch.packing.starts) - 1, len(batch.replies.packing.starts) - 1
    assert computed == frames + rows[0] * batch.packing.longest + rows[1] * batch.replies.packing.longest


def test_every_sample_is_in_one_micro_batch_within_the_budget() -> None:
    lengths = [5, 9, 30, 7, 6, 12, 8]
    batches = padded_micro_batches(lengths, 24, seed=0)
    assert sorted(sample for batch in batches for sample in batch) == list(range(len(lengths)))
    sizes = {tuple(sorted(batch)): len(batch) * max(lengths[sample] for sample in batch) for batch in batches}
    assert [size for size in sizes.values() if size > 24] == [30]  # alone
    assert sizes[(0, 3, 4)] == 21


@pytest.mark.parametrize("lengths", [[3], [3, 3]])
def test_few_samples_share_a_micro_batch(lengths: list[int]) -> None:
    assert [set(batch) for batch in padded_micro_batches(lengths, 10, seed=1)] == [set(range(len(lengths)))]
