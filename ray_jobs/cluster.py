"""The Ray cluster that a job runs on."""

import logging
import os

import ray


def connect() -> None:
    """Join the cluster this job was submitted to or that ``RAY_ADDRESS`` names; start a local one where there is none.

    Does nothing when the process is connected already. Progress is shown; of Ray's own messages only warnings.
    """
    logging.getLogger("ray.data._internal.execution").setLevel(logging.WARNING)
    if ray.is_initialized():
        return
    # `ray job submit` sets RAY_ADDRESS for the job's own process.
    address = "auto" if "RAY_ADDRESS" in os.environ else "local"
    ray.init(address=address, logging_level=logging.WARNING)
