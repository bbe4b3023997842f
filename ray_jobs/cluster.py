"""The Ray cluster that a job runs on."""

import logging
import os
import signal

import ray


def connect(*, quiet: bool = False) -> None:
    """Join the cluster this job was submitted to or that ``RAY_ADDRESS`` names; start a local one where there is none.

    Does nothing when the process is connected already. Progress is shown; of Ray's own messages only warnings, and with
    ``quiet`` nothing of what other processes write.
    """
    if ray.is_initialized():
        return
    # It says at each start that Ray's processes have a token in common.
    logging.getLogger("ray._private.authentication.authentication_token_setup").setLevel(logging.ERROR)
    # `ray job submit` sets RAY_ADDRESS for the job's own process.
    address = "auto" if "RAY_ADDRESS" in os.environ else "local"
    ray.init(address=address, logging_level=logging.WARNING, log_to_driver=not quiet)


def end_on_signals() -> None:
    """Let SIGINT and SIGTERM raise ``KeyboardInterrupt``, so that what was started is ended.

    To be called after Ray is initialised, which aborts on SIGTERM by itself. Shells start background jobs with SIGINT
    ignored: it counts again.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def ignore_signals() -> None:
    """Let SIGINT and SIGTERM do nothing: an end that is interrupted leaves processes running."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
