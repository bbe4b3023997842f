import fcntl
import os
import pty
import struct
import termios
import time

import pytest

from ray_jobs import live_line as module
from ray_jobs.live_line import live_line
from tests.ray_jobs.screens import Screen


def test_a_terminal_has_one_line_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RENEWED_SECONDS", 0.02)
    screen, state = Screen(is_terminal=True), ["running"]
    with live_line(screen, lambda: state[0]):
        time.sleep(0.2)
        state[0] = "done"
    first, *renewed, last = screen.getvalue().split("\r")[1:]
    assert (first, last) == ("running\x1b[K", "done\x1b[K\n")
    assert set(renewed) <= {"running\x1b[K", "done\x1b[K"}
    assert renewed


def test_anything_else_has_a_line_more_from_time_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REPEATED_SECONDS", 0.02)
    screen, state = Screen(is_terminal=False), ["running"]
    with live_line(screen, lambda: state[0]):
        time.sleep(0.2)
        state[0] = "done"
    first, *repeated, last = screen.getvalue().splitlines()
    assert (first, last) == ("running", "done")
    assert set(repeated) <= {"running", "done"}
    assert repeated


def test_a_short_work_has_two_lines_in_a_file() -> None:
    screen, state = Screen(is_terminal=False), ["running"]
    with live_line(screen, lambda: state[0]):
        state[0] = "done"
    assert screen.getvalue() == "running\ndone\n"


def test_the_last_state_is_shown_after_an_error() -> None:
    screen = Screen(is_terminal=False)
    with pytest.raises(KeyError), live_line(screen, lambda: "state"):
        raise KeyError
    assert screen.getvalue() == "state\nstate\n"


def test_a_line_is_shortened_to_the_width_of_the_terminal() -> None:
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 10, 0, 0))
    with os.fdopen(terminal, "w") as output, live_line(output, lambda: "0123456789abc"):
        pass
    expected = b"\r012345678\x1b[K\r012345678\x1b[K\r\n"
    shown = b""
    while len(shown) < len(expected):  # one read may return a part
        shown += os.read(controller, 1000)
    assert shown == expected
    os.close(controller)
