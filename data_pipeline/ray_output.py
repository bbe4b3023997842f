"""What Ray Data prints."""

import logging

from ray.data import DataContext


def quiet_ray_data() -> None:
    """Let Ray Data print only warnings: jobs show their own progress."""
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    DataContext.get_current().enable_progress_bars = False
