import pytest
import torch
from torch import nn

from opens2s_core.config import ConfigError
from opens2s_core.training.schedule import Schedule, freeze_except, parameter_groups


def test_warm_up_reaches_the_peak_and_the_decay_its_share() -> None:
    schedule = Schedule(steps=100, learning_rate=2.0, warmup_steps=20)
    assert [schedule.at(step) for step in (0, 9, 19, 20)] == pytest.approx([0.1, 1.0, 2.0, 2.0])
    assert schedule.at(60) == pytest.approx(2.0 * 0.55)  # half-way
    assert schedule.at(40) == pytest.approx(2.0 * (0.55 + 0.45 / 2**0.5))  # cos 45°
    assert schedule.at(100) == pytest.approx(0.2)
    assert schedule.at(1000) == schedule.at(100)


def test_the_decay_can_end_at_a_hundredth() -> None:
    schedule = Schedule(steps=100, learning_rate=1.0, warmup_steps=0, final_share=0.01)
    assert schedule.at(0) == 1
    assert schedule.at(50) == pytest.approx(0.505)
    assert schedule.at(100) == pytest.approx(0.01)


def test_a_run_shorter_than_its_warm_up_never_decays() -> None:
    schedule = Schedule(steps=5, learning_rate=1.0, warmup_steps=10)
    assert [schedule.at(step) for step in range(5)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "expected steps ≥ 1 and warmup_steps ≥ 0, got 0 and 1"),
        ({"warmup_steps": -1}, "expected steps ≥ 1 and warmup_steps ≥ 0, got 10 and -1"),
        ({"final_share": 2.0}, "final_share: expected a number from 0 to 1, got 2.0"),
    ],
)
def test_impossible_schedules_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Schedule(**{"steps": 10, "learning_rate": 1.0, "warmup_steps": 1} | settings)


class _Model(nn.Module):
    """A body with tied embeddings and head, and an adapter."""

    def __init__(self) -> None:
        super().__init__()
        self.adapter = nn.Linear(3, 4)
        self.adapter_norm = nn.LayerNorm(4)
        self.body = nn.ModuleDict({"embed": nn.Embedding(5, 4), "layer": nn.Linear(4, 4), "head": nn.Linear(4, 5)})
        self.body["head"].weight = self.body["embed"].weight


def _trained(model: nn.Module) -> list[str]:
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def test_groups_have_the_rates_of_their_modules() -> None:
    model = _Model()
    groups = parameter_groups({"adapter": model.adapter, "body": model.body}, {"adapter": 5.0}, weight_decay=0.05)
    assert [(group["name"], group["rate"], group["weight_decay"]) for group in groups] == [
        ("adapter", 5.0, 0.05),
        ("body", 1.0, 0.05),
    ]
    assert [len(group["params"]) for group in groups] == [2, 4]
    optimizer = torch.optim.AdamW(groups, lr=0.1)  # refuses a parameter that is in two groups
    assert [group["rate"] for group in optimizer.param_groups] == [5.0, 1.0]


def test_a_shared_parameter_belongs_to_the_first_module() -> None:
    model = _Model()
    modules = {"head": model.body["head"], "body": model.body, "all": model}
    groups = parameter_groups(modules, {}, weight_decay=0.0)
    assert [len(group["params"]) for group in groups] == [2, 2, 4]
    torch.optim.AdamW(groups)


def test_frozen_parameters_are_in_no_group() -> None:
    model = _Model()
    model.adapter.requires_grad_(False)
    model.body["layer"].requires_grad_(False)
    groups = parameter_groups({"adapter": model.adapter, "body": model.body}, {"adapter": 2.0}, weight_decay=0.0)
    assert [(group["name"], len(group["params"])) for group in groups] == [("body", 2)]


def test_rates_of_unknown_modules_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"learning rates of \['adaptor'\]: expected modules of \['adapter'\]"):
        parameter_groups({"adapter": _Model().adapter}, {"adaptor": 2.0}, weight_decay=0.0)


def test_a_rate_of_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"\{'adapter': 0.0\}: expected positive multiples"):
        parameter_groups({"adapter": _Model().adapter}, {"adapter": 0.0}, weight_decay=0.0)


def test_all_but_the_named_modules_are_frozen() -> None:
    model = _Model()
    freeze_except(model, ["adapter", "body.layer.bias"])
    assert _trained(model) == ["adapter.weight", "adapter.bias", "body.layer.bias"]  # not adapter_norm


def test_what_is_frozen_stays_frozen() -> None:
    model = _Model()
    model.adapter.weight.requires_grad_(False)
    freeze_except(model, ["adapter"])
    assert _trained(model) == ["adapter.bias"]


def test_a_tied_parameter_is_kept_under_any_of_its_names() -> None:
    model = _Model()
    freeze_except(model, ["body.head"])
    assert model.body["embed"].weight.requires_grad
    assert not model.body["layer"].weight.requires_grad


def test_no_names_freeze_everything() -> None:
    model = _Model()
    freeze_except(model, [])
    assert _trained(model) == []


def test_unknown_names_are_refused_and_nothing_is_frozen() -> None:
    model = _Model()
    before = _trained(model)
    with pytest.raises(ConfigError, match="'adapt': expected the name of a module or parameter of _Model"):
        freeze_except(model, ["adapter", "adapt"])
    assert _trained(model) == before
