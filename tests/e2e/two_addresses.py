"""A Ray of two nodes that have addresses of their own, in two network namespaces joined by a cable."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import end

_PORT = 6379  # in a namespace of its own
_SECONDS = 90


@dataclass(slots=True)
class TwoAddresses:
    """``first`` has the head."""

    first: str
    second: str
    temp: Path
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Of the head, for processes on the first node."""
        return f"{_ip(1)}:{_PORT}"

    @property
    def inside_first(self) -> tuple[str, ...]:
        """A command that runs another one on the first node."""
        return _inside(self.first)

    def cut(self) -> None:
        """Neither node hears anything of the other any more."""
        _run("ip", "-n", self.second, "link", "set", "cable", "down")


@contextmanager
def two_addresses(*, num_cpus: int) -> Iterator[TwoAddresses]:
    """Two nodes of ``num_cpus`` each. Root only. A lost node is noticed within seconds."""
    name = f"opens2s-{os.getpid()}"
    nodes = TwoAddresses(f"{name}-1", f"{name}-2", Path(tempfile.mkdtemp(prefix="ray-")))
    try:
        for number, namespace in enumerate((nodes.first, nodes.second), 1):
            _run("ip", "netns", "add", namespace)
            _run("ip", "-n", namespace, "link", "set", "lo", "up")
            if number == 2:
                other = ("peer", "name", "cable", "netns", nodes.second)
                _run("ip", "-n", nodes.first, "link", "add", "cable", "type", "veth", *other)
        for number, namespace in enumerate((nodes.first, nodes.second), 1):
            _run("ip", "-n", namespace, "address", "add", f"{_ip(number)}/24", "dev", "cable")
            _run("ip", "-n", namespace, "link", "set", "cable", "up")
        _start(nodes, nodes.first, "--head", f"--port={_PORT}", f"--node-ip-address={_ip(1)}", num_cpus=num_cpus)
        _wait(nodes, 1)
        _start(nodes, nodes.second, f"--address={nodes.address}", f"--node-ip-address={_ip(2)}", num_cpus=num_cpus)
        _wait(nodes, 2)
        yield nodes
    finally:
        for process in reversed(nodes.processes):
            end(process)
        for namespace in (nodes.first, nodes.second):
            subprocess.run(["ip", "netns", "delete", namespace], check=False, capture_output=True)
        shutil.rmtree(nodes.temp, ignore_errors=True)


def _environment() -> dict[str, str]:
    return os.environ | {
        "RAY_health_check_initial_delay_ms": "1000",
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_timeout_ms": "2000",
        "RAY_health_check_failure_threshold": "5",
    }


def _inside(namespace: str) -> tuple[str, ...]:
    return ("ip", "netns", "exec", namespace)


def _ip(number: int) -> str:
    return f"198.18.0.{number}"  # a network for tests of devices, RFC 2544


def _start(nodes: TwoAddresses, namespace: str, *options: str, num_cpus: int) -> None:
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats", *options]
    command += [f"--num-cpus={num_cpus}", f"--object-store-memory={128 * 2**20}"]
    if "--head" in options:
        command += [f"--temp-dir={nodes.temp}", "--include-dashboard=false"]
    with (nodes.temp / "start.log").open("ab") as log:
        process = subprocess.Popen(
            [*_inside(namespace), *command], env=_environment(), stdout=log, stderr=log, start_new_session=True
        )
    nodes.processes.append(process)


def _wait(nodes: TwoAddresses, count: int) -> None:
    """Until the head knows ``count`` nodes."""
    script = (
        "import sys, ray; ray.init(address=sys.argv[1], logging_level='ERROR', log_to_driver=False);"
        "print(sum(node['Alive'] for node in ray.nodes()))"
    )
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        assert all(process.poll() is None for process in nodes.processes), (nodes.temp / "start.log").read_text()
        asked = subprocess.run(
            [*nodes.inside_first, sys.executable, "-c", script, nodes.address],
            capture_output=True,
            text=True,
            env=_environment(),
            check=False,
        )
        if asked.stdout.strip().endswith(str(count)):
            return
        time.sleep(0.5)
    raise AssertionError(f"the nodes did not start within {_SECONDS} s\n{(nodes.temp / 'start.log').read_text()}")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
