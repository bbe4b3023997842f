import copy

import pytest
import torch
from torch import nn

from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.training.optimizer_state import load_named_state, named_state


def trained(fused: bool) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1), nn.Linear(1, 1))
    optimizer = torch.optim.AdamW([*model[0].parameters(), *model[1].parameters()], lr=0.1, fused=fused)
    model[0](torch.ones(2)).sum().backward()  # the second layer has no gradients, and no states
    optimizer.step()
    return model, optimizer


@pytest.mark.parametrize("fused", [False, True])
def test_an_optimizer_continues_with_the_states_of_another(fused: bool) -> None:
    model, optimizer = trained(fused)
    state = {name: tensor.clone() for name, tensor in named_state(optimizer, model.named_parameters())}
    assert state.keys() == {
        f"0.{name}.{key}" for name in ("weight", "bias") for key in ("exp_avg", "exp_avg_sq", "step")
    }
    other = copy.deepcopy(model)
    # Another order of the parameters: they are found by name.
    owned = [*other[1].parameters(), *reversed(list(other[0].parameters()))]
    fresh = torch.optim.AdamW(owned, lr=0.1, fused=fused)
    load_named_state(fresh, other.named_parameters(), state)
    for one, optimizer_of_one in ((model, optimizer), (other, fresh)):
        one.zero_grad()
        one(torch.tensor([1.0, 2.0])).sum().backward()
        optimizer_of_one.step()
    for name, value in other.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name


def test_loading_removes_states_that_are_not_given() -> None:
    model, optimizer = trained(False)
    load_named_state(optimizer, model.named_parameters(), {})
    assert list(named_state(optimizer, model.named_parameters())) == []


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("9.weight.exp_avg", torch.zeros(3, 2), "unknown optimizer state 9.weight.exp_avg"),
        ("2.weight.exp_avg", torch.zeros(1, 1), "unknown optimizer state 2.weight.exp_avg"),
        ("0.weight.exp_avg", torch.zeros(2, 3), r"0.weight.exp_avg has shape \(2, 3\), expected \(3, 2\)"),
    ],
)
def test_states_of_other_parameters_are_refused(name: str, tensor: torch.Tensor, message: str) -> None:
    model, optimizer = trained(False)
    with pytest.raises(CheckpointError, match=message):
        load_named_state(optimizer, model.named_parameters(), {name: tensor})
