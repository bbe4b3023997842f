"""One line about work that goes on: renewed in place on a terminal, repeated from time to time elsewhere."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

_RENEWED_SECONDS, _REPEATED_SECONDS = 1.0, 30.0
_CLEAR_REST = "\x1b[K"


@contextmanager
def live_line(output: TextIO, text: Callable[[], str]) -> Iterator[None]:
    """Shows ``text()`` at the start, in between, and at the end as the last state of the line.

    A terminal has the line renewed every second, shortened to its width; anything else gets a new line every half
    minute. ``text`` is called in another thread.
    """
    renews = output.isatty()

    def show(end: str = "") -> None:
        output.write(f"\r{_shortened(text(), output)}{_CLEAR_REST}{end}" if renews else f"{text()}\n")
        output.flush()

    def repeat() -> None:
        while not ended.wait(_RENEWED_SECONDS if renews else _REPEATED_SECONDS):
            show()

    ended = threading.Event()
    repeating = threading.Thread(target=repeat, daemon=True)
    show()
    repeating.start()
    try:
        yield
    finally:
        ended.set()
        repeating.join()
        show(end="\n")


def _shortened(text: str, terminal: TextIO) -> str:
    """A line that wraps could not be renewed."""
    try:
        columns = os.get_terminal_size(terminal.fileno()).columns
    except OSError:
        columns = 0
    return text[: columns - 1] if columns > 0 else text
