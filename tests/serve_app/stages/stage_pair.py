"""A client and its stage over real gRPC, fake engines, in one process. A handle that reserves stands for Serve."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle

from opens2s_core.inference.engine import Engine
from opens2s_core.inference.family import OPENS2S, StageSpec
from opens2s_core.inference.messages import ReplyRequest, StageMessage
from opens2s_core.prompt import Message, Text
from serve_app.config import StageConfig
from serve_app.stages.client import StageClient, StageConnection
from serve_app.stages.server import StageServer
from serve_app.stages.transport import Endpoint
from serve_app.stages.worker import StageWorker
from tests.fakes import FakeThinker, stage_request

THINKER, SPEECH_DECODER, _ = OPENS2S.stages


class ReserveCall:
    """In the place of Serve's generator for one call."""

    def __init__(self, reserve: Callable[[], AsyncIterator[Endpoint]]) -> None:
        self._reserved: asyncio.Future[Endpoint] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(reserve()))

    async def _run(self, call: AsyncIterator[Endpoint]) -> None:
        try:
            async for endpoint in call:
                if not self._reserved.cancelled():
                    self._reserved.set_result(endpoint)
        except (RayActorError, BackPressureError) as error:
            self._reserved.set_exception(error)

    async def __anext__(self) -> Endpoint:
        return await self._reserved

    def cancel(self) -> None:
        self._task.cancel()


class Handle:
    """In the place of Serve's handle; ``reserve`` answers each call."""

    def __init__(self, reserve: Callable[[], AsyncIterator[Endpoint]]) -> None:
        self._answer = reserve
        self.reserve = self

    def options(self, **_: Any) -> "Handle":
        return self

    def remote(self) -> ReserveCall:
        return ReserveCall(self._answer)


@dataclass
class Pair:
    """A client and the stage that it connects to."""

    client: StageClient
    server: StageServer
    worker: StageWorker

    async def free(self) -> None:
        """Returns once nothing is held any more on the side of the stage."""
        async with asyncio.timeout(5):
            while self.server.connections or self.worker.engine.open_streams:
                await asyncio.sleep(0.01)


def client_of(reserve: Callable[[], AsyncIterator[Endpoint]], *, silence: float = 2.0) -> StageClient:
    handle = cast(DeploymentHandle[Any], Handle(reserve))
    return StageClient(
        "stage", handle, silence_seconds=silence, stall_seconds=1.0, transferred=lambda stage, seconds: None
    )


def with_stage(
    test: Callable[[Pair], Awaitable[None]],
    spec: StageSpec = THINKER,
    engine: Engine | None = None,
    host: str = "127.0.0.1",
) -> None:
    """Carry out ``test`` against a stage; nothing may be left of it, no task either."""

    async def run() -> None:
        worker = StageWorker(spec, engine or FakeThinker(2), StageConfig())
        server = StageServer(worker.handle, host=host, replica="none")
        await server.start()

        async def reserve() -> AsyncIterator[Endpoint]:
            pending = server.reserve()
            try:
                yield pending.endpoint
                await pending.wait_end()
            finally:
                pending.cancel()

        pair = Pair(client_of(reserve), server, worker)
        try:
            async with asyncio.timeout(20):
                await test(pair)
                await pair.free()
        finally:
            await server.stop()
            worker.engine.stop()

    asyncio.run(run())


def request(text: str = "one two three", *, speak: bool = False) -> ReplyRequest:
    return ReplyRequest(messages=(Message("user", (Text(text),)),), speak=speak)


async def start(connection: StageConnection, asked: ReplyRequest) -> None:
    await connection.send(stage_request(asked))
    await connection.accepted()


async def rest(connection: StageConnection) -> list[StageMessage]:
    return [message async for output in connection for message in output.messages]


async def whole(pair: Pair, asked: ReplyRequest) -> list[StageMessage]:
    async with pair.client.connect() as connection:
        await start(connection, asked)
        return await rest(connection)
