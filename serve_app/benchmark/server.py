"""A checkout of this project that serves, as a process of its own."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import psutil

_REPLICA = re.compile(r"ServeReplica:benchmark:(\w+)")
_TRANSFER = re.compile(r'^ray_opens2s_transfer_seconds_(sum|count)\{.*stage="(\w+)".*way="(\w+)".*\} (\S+)', re.M)
_START_SECONDS = 180.0
_END_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerSettings:
    """``launcher`` is ``ray_jobs/benchmark_server.py``, which is run with the code of ``checkout`` and says what
    ``stages`` and ``bare`` are. ``greedy_bundle`` is ``bundle`` with the likeliest speech units, for checkouts that
    otherwise sample them."""

    launcher: Path
    checkout: Path
    bundle: str
    greedy_bundle: str
    port: int
    recipe: str = "small"
    stages: Mapping[str, Any] = field(default_factory=dict)
    bare: bool = False


class Server:
    """Serves while it is entered. Raises ``RuntimeError`` with the end of its log where it does not start."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[str]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  open while this is entered
        self.url = f"http://127.0.0.1:{settings.port}"

    def __enter__(self) -> Self:
        settings = self._settings
        shared = ("bundle", "greedy_bundle", "port", "recipe", "bare")
        arguments = {name: getattr(settings, name) for name in shared} | {"stages": dict(settings.stages)}
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(settings.launcher), json.dumps(arguments)],
            cwd=settings.checkout,
            env=os.environ | {"PYTHONPATH": str(settings.checkout)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
        )
        try:
            self._answer()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        members = psutil.Process(self._process.pid).children(recursive=True) if self._process.poll() is None else []
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        for member in members:
            if member.is_running():
                member.kill()
        self._log.close()

    def replicas(self) -> dict[str, int]:
        """How many of each stage run."""
        replicas: dict[str, int] = self._ask("replicas")
        return replicas

    def state(self) -> Counter[str]:
        """Slots, connections and tasks that all stages hold together."""
        return sum((Counter(state) for state in self._ask("state").values()), Counter[str]())

    def processes(self, stage: str | None = None) -> list[psutil.Process]:
        """The processes of the replicas of a stage, or of all replicas."""
        found = []
        for process in psutil.Process(self._process.pid).children(recursive=True):
            try:
                match = _REPLICA.search(" ".join(process.cmdline()))
            except psutil.Error:
                continue
            if match and stage in (None, match[1]):
                found.append(process)
        return found

    def memory(self) -> int:
        """Bytes that all replicas hold to themselves."""
        return sum(process.memory_full_info().uss for process in self.processes())

    def transfers(self) -> Mapping[tuple[str, str], tuple[float, float]]:
        """Seconds in all and messages so far, by stage and way (``in``, ``out``); a few seconds old."""
        totals: defaultdict[tuple[str, str], dict[str, float]] = defaultdict(lambda: {"sum": 0.0, "count": 0.0})
        for part, stage, way, value in _TRANSFER.findall(httpx.get(f"{self.url}/metrics", timeout=30).text):
            totals[stage, way][part] += float(value)
        return {hop: (total["sum"], total["count"]) for hop, total in totals.items()}

    def _ask(self, question: str) -> Any:
        assert self._process.stdin is not None
        print(question, file=self._process.stdin, flush=True)
        return json.loads(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise RuntimeError(f"{self._settings.checkout} does not serve: {self._log.read().decode()[-2000:]}")
        return line
