"""Learning rates by step and by module, and which modules are trained."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from opens2s_core.config import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """Linear warm-up from zero, then cosine decay to ``final_share`` of the peak at the last step."""

    steps: int
    learning_rate: float  # peak
    warmup_steps: int
    final_share: float = 0.1

    def __post_init__(self) -> None:
        if self.steps < 1 or self.warmup_steps < 0:
            raise ConfigError(f"expected steps ≥ 1 and warmup_steps ≥ 0, got {self.steps} and {self.warmup_steps}")
        if not 0 <= self.final_share <= 1:
            raise ConfigError(f"final_share: expected a number from 0 to 1, got {self.final_share}")

    def at(self, step: int) -> float:
        """The learning rate of ``step``, from 0. Later steps than the schedule's have its final rate."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        progress = (step - self.warmup_steps) / max(self.steps - self.warmup_steps, 1)
        decayed = (1 + math.cos(math.pi * min(progress, 1))) / 2  # 1 to 0
        return self.learning_rate * (self.final_share + (1 - self.final_share) * decayed)


def parameter_groups(
    modules: Mapping[str, nn.Module], rates: Mapping[str, float], weight_decay: float
) -> list[dict[str, Any]]:
    """The trained parameters of ``modules`` as groups for an optimizer, one for each module that has any.

    A group has the module's ``"name"`` and, as ``"rate"``, its multiple of the scheduled learning rate, ``rates[name]``
    or 1. A parameter that is in several modules (tied, or nested) belongs to the first of them. Weight decay applies
    to all parameters. Raises :class:`ConfigError` for rates of unknown modules and for rates that are not positive.
    """
    if unknown := sorted(rates.keys() - modules.keys()):
        raise ConfigError(f"learning rates of {unknown}: expected modules of {sorted(modules)}")
    if wrong := {name: rate for name, rate in rates.items() if not rate > 0}:
        raise ConfigError(f"learning rates {wrong}: expected positive multiples; freeze a module instead of 0")
    groups, grouped = [], set[nn.Parameter]()
    for name, module in modules.items():
        own = [parameter for parameter in module.parameters() if parameter.requires_grad and parameter not in grouped]
        grouped.update(own)
        if own:
            groups.append({"params": own, "name": name, "rate": rates.get(name, 1.0), "weight_decay": weight_decay})
    return groups


def freeze_except(model: nn.Module, names: Iterable[str]) -> None:
    """Freeze all parameters but those of the modules or parameters with the dotted ``names``, which stay as they are.

    A parameter with several names (a tied head) stays if one of them is given. LoRA is added after freezing. Raises
    :class:`ConfigError` for a name that has no parameter; the model is then unchanged.
    """
    parameters = list(model.named_parameters(remove_duplicate=False))
    kept = set[nn.Parameter]()
    for wanted in names:
        own = [parameter for name, parameter in parameters if f"{name}.".startswith(f"{wanted}.")]
        if not own:
            raise ConfigError(f"{wanted!r}: expected the name of a module or parameter of {type(model).__name__}")
        kept.update(own)
    for _, parameter in parameters:
        if parameter not in kept:
            parameter.requires_grad_(False)
