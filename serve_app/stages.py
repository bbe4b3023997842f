"""The deployment that serves any stage of a reply."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, suppress
from typing import cast

import torch
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator

from opens2s_core.inference.engine import Engine
from opens2s_core.inference.messages import Hiddens, ReplyRequest, StageMessage, Units
from serve_app.config import StageName
from serve_app.engine_thread import EngineThread, relay

TAKES: dict[StageName, type[StageMessage] | None] = {"thinker": None, "speech_decoder": Hiddens, "token2wav": Units}
"""The messages that end at each stage."""


class ReplyCall:
    """A reply under way in another process; it runs until it ends or is cancelled."""

    def __init__(self, stage: DeploymentHandle, request: ReplyRequest) -> None:
        call = stage.options(stream=True).reply.remote(request)
        self._call = cast("DeploymentResponseGenerator[StageMessage]", call)

    def __aiter__(self) -> AsyncIterator[StageMessage]:
        return self._call

    def cancel(self) -> None:
        # Cancelling a call that no replica took raises what it failed with, which iterating has already told.
        with suppress(RayServeException):
            self._call.cancel()


class Stage:
    """One engine behind streaming calls. A reply's state lives inside its call: any replica can take any reply."""

    def __init__(
        self, name: StageName, build: Callable[[], Engine], upstream: DeploymentHandle | None, threads: int
    ) -> None:
        torch.set_num_threads(threads)
        self._takes = TAKES[name]
        self._upstream = upstream
        self._engine = EngineThread(build())

    async def reply(self, request: ReplyRequest) -> AsyncIterator[StageMessage]:
        """The messages that leave this stage, as they come. Raises as :meth:`EngineStream.receive` does."""
        upstream = None if self._upstream is None else ReplyCall(self._upstream, request)
        async with aclosing(relay(self._engine, request, upstream, self._takes)) as messages:
            async for message in messages:
                yield message

    def check_health(self) -> None:
        """Serve replaces the replica once this raises."""
        self._engine.check()

    def __del__(self) -> None:
        self._engine.stop()
