import pytest

from opens2s_core.config import ConfigError
from opens2s_core.training.guard import Guard, GuardConfig

NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize("name", ["loss", "loss/text", "gradient_norm", "gradient_norm/adapter"])
@pytest.mark.parametrize("value", [NAN, INFINITE, -INFINITE])
def test_losses_and_gradient_norms_must_be_finite(name: str, value: float) -> None:
    problem = Guard(GuardConfig()).problem({"loss": 1.0, name: value})
    assert problem is not None
    assert f"'{name}': {value}" in problem


def test_other_metrics_may_be_anything() -> None:
    assert Guard(GuardConfig()).problem({"loss": 1.0, "tokens_per_second": NAN}) is None


def test_a_loss_far_above_the_median_is_a_spike() -> None:
    guard = Guard(GuardConfig(spike_factor=3.0, spike_window=3))
    assert [guard.problem({"loss": loss}) for loss in (50.0, 1.0, 2.0)] == [None] * 3, "too few are known"
    assert guard.problem({"loss": 6.0}) is None
    problem = guard.problem({"loss": 6.1})
    assert problem == "expected a loss of at most 3 x the median 2, got {'loss': 6.1}"
    assert guard.recent == [1.0, 2.0, 6.0], "a spike is not part of the median"


def test_without_a_factor_there_are_no_spikes() -> None:
    guard = Guard(GuardConfig(spike_window=1))
    assert [guard.problem({"loss": loss}) for loss in (1.0, 1e9)] == [None, None]


def test_a_guard_continues_from_the_recent_losses() -> None:
    config = GuardConfig(spike_factor=2.0, spike_window=2)
    assert Guard(config, [1.0, 1.0]).problem({"loss": 2.5}) is not None
    assert Guard(config, [1.0]).problem({"loss": 2.5}) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"spike_factor": 1.0}, "spike_factor: expected a factor above 1, got 1.0"),
        ({"spike_factor": NAN}, "spike_factor: expected a factor above 1, got nan"),
        ({"spike_window": 0}, "spike_window: expected at least 1 step, got 0"),
    ],
)
def test_settings_without_a_meaning_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GuardConfig(**settings)
