"""One attempt at a request: a connection to each stage that it needs, and the messages between them.

Nothing is given to the client before all stages have accepted: until then a status can still refuse the reply. From
there on text does not wait for audio. The first stage works as far as it can by itself; the others are fed as far ahead
of the client's playback as the pacer allows.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import Protocol

from opens2s_core.inference.family import Family, StageSpec, is_final
from opens2s_core.inference.messages import AudioChunk, StageMessage, Units
from opens2s_core.inference.playback import Playback
from opens2s_core.inference.records import Record
from serve_app.errors import ReplyFailed, RequestRefused, StageBusy, StageError, StageFailed, StageLost
from serve_app.gateway.pacing import Pacer
from serve_app.stages.messages import StageOutput, StageRequest

_PACE_SECONDS = 0.05
"""Interval between two checks whether a stage may be fed."""


class Connection(Protocol):
    """One stage's part of an attempt. Raises :class:`RequestRefused`, :class:`ReplyFailed` and :class:`StageError`."""

    async def send(self, message: StageRequest | StageMessage) -> None: ...

    async def accepted(self) -> None:
        """Returns once the stage has given the request a slot."""
        ...

    def __aiter__(self) -> AsyncIterator[StageOutput]: ...


class StageConnector(Protocol):
    """Connects to one stage."""

    def connect(self) -> AbstractAsyncContextManager[Connection]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Stages:
    """The stages of a family, and how far they work ahead."""

    family: Family
    clients: Mapping[str, StageConnector]
    pacer: Pacer


Emit = Callable[[str, list[StageMessage], Record], None]
"""Takes what a stage made for the client, and the record that belongs to it."""


class Attempt:
    """``run`` it once. ``playback`` is that of the client; None: nobody plays it as it comes, and nothing is held back.
    ``emit`` is called once all stages have accepted, and ``on_accepted`` right before."""

    def __init__(
        self,
        stages: Stages,
        requests: Mapping[str, StageRequest],
        *,
        playback: Playback | None,
        emit: Emit,
        on_accepted: Callable[[], None],
    ) -> None:
        self.accepted: set[str] = set()  # stages that have begun to work on it
        self._stages = stages
        self._requests = requests
        self._playback = playback
        self._emit = emit
        self._on_accepted = on_accepted
        self._held: list[tuple[str, list[StageMessage], Record]] = []  # until all stages have accepted
        self._inputs: dict[str, asyncio.Queue[StageMessage]] = {name: asyncio.Queue() for name in requests}
        self._first_audio_wait_over = asyncio.Event()  # set with the first audio, or when waiting for it timed out
        if playback is None or playback.seconds:
            self._first_audio_wait_over.set()
        # Seconds of audio, since the start of playback, that each stage has made or been fed.
        self._audio = dict.fromkeys(requests, playback.seconds if playback else 0.0)

    async def run(self) -> None:
        """To the end of the request. Raises :class:`RequestRefused`, :class:`ReplyFailed` and :class:`StageError`."""
        try:
            async with asyncio.TaskGroup() as group:
                for spec in self._stages.family.stages:
                    if spec.name in self._requests:
                        group.create_task(self._run_stage(spec))
        except BaseExceptionGroup as failures:
            raise _most_specific(failures) from failures

    async def _run_stage(self, spec: StageSpec) -> None:
        request = self._requests[spec.name]
        open_ends = set(spec.end_types(speak=request.request.speak))
        async with self._stages.clients[spec.name].connect() as connection:
            await connection.send(request)
            async with asyncio.TaskGroup() as group:
                # An engine accepts between two steps: fed only after that, it would make another step before it has
                # anything for this request.
                feeding = group.create_task(self._feed(spec, connection))
                await connection.accepted()
                self._accept(spec)
                async for output in connection:
                    self._route(spec, output)
                    open_ends -= {type(message) for message in output.messages if is_final(message)}
                feeding.cancel()
        if open_ends:
            raise StageLost(spec.name, "it ended before its part of the reply did")

    def _accept(self, spec: StageSpec) -> None:
        self.accepted.add(spec.name)
        if len(self.accepted) == len(self._requests):
            self._on_accepted()
            for emitted in self._held:
                self._emit(*emitted)
            self._held.clear()

    def _route(self, spec: StageSpec, output: StageOutput) -> None:
        for_client: list[StageMessage] = []
        for message in output.messages:
            consumer = self._stages.family.consumer(message)
            if consumer is None:
                if isinstance(message, AudioChunk):
                    self._first_audio_wait_over.set()
                for_client.append(message)
                continue
            self._audio[spec.name] += self._units_seconds(message)
            self._inputs[consumer.name].put_nowait(message)
        # The next stage's input is queued by now, but no task runs in between: what is made from it is emitted later.
        if len(self.accepted) == len(self._requests):
            self._emit(spec.name, for_client, output.record)
        else:
            self._held.append((spec.name, for_client, output.record))

    async def _feed(self, spec: StageSpec, connection: Connection) -> None:
        while True:
            message = await self._inputs[spec.name].get()
            while self._is_ahead(spec):
                await asyncio.sleep(_PACE_SECONDS)
            await connection.send(message)
            self._audio[spec.name] += self._units_seconds(message)
            if AudioChunk not in spec.speech_end_types:
                await self._wait_for_first_audio()

    async def _wait_for_first_audio(self) -> None:
        """At most ``first_audio_seconds``, and once: the first chunk of audio may need more than one message."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._stages.pacer.first_audio_seconds):
                await self._first_audio_wait_over.wait()
        self._first_audio_wait_over.set()

    def _is_ahead(self, spec: StageSpec) -> bool:
        if self._playback is None:
            return False
        return not self._stages.pacer.allows(self._audio[spec.name] - self._playback.played())

    def _units_seconds(self, message: StageMessage) -> float:
        rate = next(iter(self._requests.values())).units_per_second
        return len(message.ids) / rate if isinstance(message, Units) else 0.0


def _most_specific(failures: BaseExceptionGroup) -> BaseException:
    """What ended the attempt: of several failures that which says most about the request."""
    errors: list[BaseException] = []
    for error in failures.exceptions:
        errors.append(_most_specific(error) if isinstance(error, BaseExceptionGroup) else error)
    return min(errors, key=_rank)


def _rank(error: BaseException) -> int:
    match error:
        case RequestRefused():
            return 1
        case ReplyFailed():
            return 2
        case StageFailed():
            return 3
        case StageBusy():
            return 5
        case StageError():
            return 4
        case _:  # an unexpected error
            return 0
