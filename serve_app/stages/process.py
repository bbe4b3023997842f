"""Settings of a process whose event loop shall not be kept waiting."""

import gc
import sys

_SWITCH_SECONDS = 0.0005


def be_prompt() -> None:
    """To be called once everything is loaded."""
    # Other threads, an engine's or Serve's, give way sooner: what is made shall leave while more of it is made.
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.collect()
    gc.freeze()  # models and libraries stay: nobody need look for garbage in them again
