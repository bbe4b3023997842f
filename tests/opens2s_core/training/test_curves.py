import math
from pathlib import Path

import matplotlib.image
import numpy as np

from opens2s_core.training.curves import _panels, _running_median, plot_curves


def rows(steps: int) -> list[dict[str, float]]:
    """Metrics as those of a training stage."""
    rng = np.random.default_rng(0)
    result = []
    for step in range(1, steps + 1):
        text, units = 6 * math.exp(-step / 80) + 0.8, 5 * math.exp(-step / 150) + 1.5
        row = {
            "step": step,
            "loss": text + units + 0.3 * rng.standard_normal(),
            "loss/text": text + 0.2 * rng.standard_normal(),
            "loss/units": units + 0.2 * rng.standard_normal(),
            "gradient_norm": 40 * math.exp(-step / 40) + rng.random(),
            "learning_rate/adapter": 1e-4 * min(step / 50, 1),
            "learning_rate/llm": 2e-5 * min(step / 50, 1),
            "tokens_per_second": 9000 + 300 * rng.standard_normal(),
            "data_seconds": 0.002 * rng.random(),
            "step_seconds": 0.5,
        }
        if step % 50 == 0:
            row |= {"validation/loss": text + units + 0.4, "validation/loss/text": text + 0.2}
            row |= {"validation/loss/units": units + 0.2, "validation/character_error": 0.9 * math.exp(-step / 200)}
        result.append(row)
    return result


def test_the_curves_are_a_picture(tmp_path: Path) -> None:
    plot_curves(rows(400), tmp_path / "curves.png")
    picture = matplotlib.image.imread(tmp_path / "curves.png")
    assert picture.shape[0] > 600
    assert picture.shape[1] > 1200
    assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 100


def test_every_metric_has_a_panel() -> None:
    assert _panels(rows(50)) == {
        "loss": ["loss"],
        "loss/text": ["loss/text"],
        "loss/units": ["loss/units"],
        "validation/character_error": ["validation/character_error"],
        "learning_rate": ["learning_rate/adapter", "learning_rate/llm"],
        "gradient_norm": ["gradient_norm"],
        "tokens_per_second": ["tokens_per_second"],
        "data_seconds": ["data_seconds"],
    }


def test_a_run_of_one_step_or_with_numbers_that_are_not_finite_is_drawn(tmp_path: Path) -> None:
    for index, metrics in enumerate(([], rows(1), [{"step": 1, "loss": math.nan}, {"step": 2, "loss": 1.0}])):
        plot_curves(metrics, tmp_path / f"{index}.png")
        assert (tmp_path / f"{index}.png").stat().st_size > 1000


def test_the_median_is_of_neighbouring_steps() -> None:
    values = np.arange(200.0)
    values[100] = 1e9
    smooth = _running_median(values)
    assert smooth.shape == values.shape
    assert smooth.max() < 200
    assert np.array_equal(_running_median(np.array([3.0])), [3.0])
