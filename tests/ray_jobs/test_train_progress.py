"""What the line about training says."""

import pytest

from opens2s_core.training.loop import Progress
from ray_jobs.train_progress import describe


def progress(done: int, **metrics: float) -> Progress:
    return Progress(done, 2000, {name.replace("_", "/", 1): value for name, value in metrics.items()}, {})


@pytest.mark.parametrize(
    ("done", "seconds", "left"),
    [(1000, 2.5, "41:40 left"), (1000, 9.0, "2:30:00 left"), (1000, None, None), (2000, 2.5, None)],
)
def test_the_line_has_steps_losses_and_the_time_left(done: int, seconds: float | None, left: str | None) -> None:
    line = describe("stage3", progress(done, loss=9.0, loss_text=2.0, loss_units=7.0), {}, seconds)
    assert line == "  ".join([f"stage3  {done:,}/2,000 steps", "text 2.000", "units 7.000", *([left] if left else [])])


def test_the_line_has_the_loss_on_held_out_samples_and_the_speed() -> None:
    now = Progress(7, 20, {"tokens_per_second": 6620.7}, {})
    assert describe("stage1a", now, {"loss": 3.25}, None) == "stage1a  7/20 steps  held out 3.250  6,621 tokens/s"
