"""The deployment that serves any stage of a reply."""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial

import ray.util
import torch
from ray import serve

from opens2s_core.inference.engine import Engine
from opens2s_core.inference.family import StageSpec
from serve_app.config import StageConfig
from serve_app.stages.server import StageServer
from serve_app.stages.transport import Endpoint
from serve_app.stages.worker import StageWorker


@dataclass(frozen=True, slots=True)
class StageState:
    """Slots taken in the engine, connections reserved or open, tasks of the event loop."""

    slots: int
    connections: int
    tasks: int


class Stage:
    """One engine behind streaming calls. Serve chooses the replica and counts the calls; a call lasts as long as the
    gRPC connection that was reserved by it."""

    async def __init__(self, spec: StageSpec, build: Callable[[], Engine], config: StageConfig) -> None:  # type: ignore[misc]
        torch.set_num_threads(config.compute_threads)
        gc.disable()  # the imports and weights of an engine stay: to search them for garbage takes a third of the time
        try:
            engine = build()
        finally:
            gc.freeze()
            gc.enable()
        self._worker = StageWorker(spec, engine, config)
        replica = serve.get_replica_context().replica_id.to_full_id_str()
        self._server = StageServer(
            self._worker.handle,
            host=ray.util.get_node_ip_address(),
            replica=replica,
            transferred=partial(self._worker.metrics.transfers.observe, spec.name),
        )
        await self._server.start()
        if config.switch_seconds is not None:
            sys.setswitchinterval(config.switch_seconds)

    async def reserve(self) -> AsyncIterator[Endpoint]:
        """Where to connect for one :class:`StageRequest`; the call lasts until that connection ends."""
        pending = self._server.reserve()
        try:
            yield pending.endpoint
            await pending.wait_end()
        finally:
            pending.cancel()

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """For the policy of ``serve_app.stages.autoscaling``: the least headroom of any listener, in seconds."""
        return {"headroom": self._worker.playbacks.least_headroom()}

    async def state(self) -> StageState:
        """What this replica holds now, for those who look for leaks."""
        return StageState(self._worker.engine.open_streams, self._server.connections, len(asyncio.all_tasks()))

    async def check_health(self) -> None:
        """Called every ``health_period_seconds``. Serve replaces the replica once this has raised three times in a
        row."""
        self._worker.metrics.report()
        self._worker.check()

    def __del__(self) -> None:
        self._worker.engine.stop()
