import pytest
import torch

from opens2s_core.models.seeding import seeded


def test_the_seed_determines_the_values_and_the_generator_is_restored() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    values = []
    for seed in (1, 1, 2):
        with seeded(seed):
            values.append(torch.rand(4))
    assert torch.equal(values[0], values[1])
    assert not torch.equal(values[0], values[2])
    assert torch.equal(torch.rand(4), expected)


def test_a_failure_inside_restores_the_generator_too() -> None:
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="negative dimension"), seeded(1):
        torch.rand(4) + torch.rand(-1)
    assert torch.equal(torch.get_rng_state(), before)


def test_accelerators_are_not_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    with seeded(1):
        torch.rand(4)
    assert seeds == []
    torch.manual_seed(2)  # would be seen
    assert seeds == [2]
