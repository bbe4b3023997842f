import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from serve_app.ui.__main__ import main
from tests.conftest import end, free_ports, wait_for
from tests.e2e.replicas import wait_until


@pytest.mark.slow
def test_the_page_is_served_alone(tmp_path: Path) -> None:
    [port] = free_ports(1)
    command = [sys.executable, "-m", "serve_app.ui", "--endpoint", "http://127.0.0.1:9", "--port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        page = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ)
    try:
        wait_for(f"http://127.0.0.1:{port}", page, tmp_path / "log", seconds=60)
        wait_until("the address", lambda: "page: " in (tmp_path / "log").read_text())  # it answers before it says so
        page.send_signal(signal.SIGINT)
        page.wait(20)
        assert (tmp_path / "log").read_text().splitlines()[0] == f"page: http://127.0.0.1:{port}/"
        assert "Traceback" not in (tmp_path / "log").read_text()
    finally:
        end(page)


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(SystemExit, match=str(port)):
            main(["--port", str(port)])
