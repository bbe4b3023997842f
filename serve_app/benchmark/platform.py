"""The platform as a benchmark serves it, and what it says of itself."""

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Self

from ray import serve

from opens2s_core.checkpoint.bundle import read_bundle_info
from serve_app.app import build_app
from serve_app.benchmark.clients import Target
from serve_app.config import STAGES, ServeConfig, StageName
from serve_app.observability.metrics import exposition
from serve_app.stages.stage import StageState

_NAME = "benchmark"
_REPORT_SECONDS = 12.0
"""Ray's processes report their metrics every ten."""
_SAMPLE = re.compile(r'^ray_opens2s_transfer_seconds_(sum|count)\{.*stage="(\w+)".*way="(\w+)".*\} (\S+)', re.M)


class Platform:
    """Deployed while it is entered, on the Ray that this process is connected to."""

    def __init__(self, config: ServeConfig) -> None:
        self._config = config
        self.target = Target(f"http://{config.host}:{config.port}", read_bundle_info(config.bundle).sample_rate)

    def __enter__(self) -> Self:
        serve.start(http_options={"host": self._config.host, "port": self._config.port})
        serve.run(build_app(self._config), name=_NAME, route_prefix="/")
        return self

    def __exit__(self, *_: object) -> None:
        serve.delete(_NAME)

    def replicas(self) -> Mapping[StageName, int]:
        """How many of each stage run."""
        stages = serve.status().applications[_NAME].deployments
        return {stage: _running(stages[stage].replica_states) for stage in STAGES}

    def state(self, stage: StageName) -> StageState:
        """Of the stage's only replica."""
        [replica] = serve.get_deployment_handle(stage, _NAME).broadcast("state").results()
        return replica

    def transfer_seconds(self) -> Mapping[tuple[StageName, str], float]:
        """On average since the start, by stage and way (``in``, ``out``)."""
        time.sleep(_REPORT_SECONDS)
        totals: defaultdict[tuple[StageName, str], dict[str, float]] = defaultdict(lambda: {"sum": 0.0, "count": 0.0})
        for part, stage, way, value in _SAMPLE.findall(asyncio.run(exposition())):
            totals[stage, way][part] += float(value)
        return {hop: total["sum"] / total["count"] for hop, total in totals.items()}


def _running(states: Mapping[Any, int]) -> int:
    return sum(number for state, number in states.items() if state == "RUNNING")
