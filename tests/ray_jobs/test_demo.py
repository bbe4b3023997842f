import io
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ray_jobs.demo import DemoError, choose_port, main, parse
from ray_jobs.terminal import Terminal


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def terminal(output: io.StringIO) -> Terminal:
    return Terminal(output, Path("demo.log"))


@pytest.fixture
def used_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_given_port_that_is_in_use_is_an_error(terminal: Terminal, used_port: int) -> None:
    with pytest.raises(DemoError, match=f"--port {used_port}: another program listens"):
        choose_port("--port", used_port, 8000, terminal)


def test_the_next_free_port_is_announced_in_one_line(terminal: Terminal, output: io.StringIO, used_port: int) -> None:
    port = choose_port("--page-port", None, used_port, terminal)
    assert used_port < port < used_port + 100
    assert output.getvalue() == f"Port {used_port} is in use: {port} instead (--page-port chooses another).\n"


def test_a_free_port_is_not_mentioned(terminal: Terminal, output: io.StringIO, used_port: int) -> None:
    assert choose_port("--port", None, used_port + 1, terminal) == used_port + 1
    assert output.getvalue() == ""


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--port", "70000"], "70000: expected 1 to 65535"),
        (["--once", "--audio", "nowhere.wav"], "--audio nowhere.wav: no such file"),
        (["--out", "reply.wav"], "--audio and --out belong to --once"),
        (["--once", "--out", "reply.txt"], "expected a name that ends in .wav, .flac, .mp3, .ogg"),
    ],
)
def test_a_wrong_argument_is_named(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


def test_ports_are_not_given_by_default() -> None:
    arguments = parse([])
    assert (arguments.port, arguments.page_port) == (None, None)
