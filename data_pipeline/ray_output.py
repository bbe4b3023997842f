"""What Ray Data prints and raises."""

import logging

from ray.data import DataContext


def quiet_ray_data() -> None:
    """Let Ray Data print warnings only, since jobs show their own progress, and raise a task's own error."""
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    logging.getLogger("ray.data.context").setLevel(logging.ERROR)
    # They print tracebacks of errors that are raised, too.
    logging.getLogger("ray.data.exceptions").setLevel(logging.CRITICAL)
    logging.getLogger("ray.data._internal.execution.streaming_executor_state").setLevel(logging.CRITICAL)
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)  # says that its bars are off
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.raise_original_map_exception = True
