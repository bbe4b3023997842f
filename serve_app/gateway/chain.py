"""One attempt at a reply: a call to each stage that it needs, begun together and joined here.

Nothing is told before all stages have taken it: until then it can still be refused. From there on text does not wait
for sound. Each stage works as far as it can by itself, the thinker from the first; only token2wav is held back: it is
handed no more units than the caller grants.

Places are asked for at once, which is soonest, or in a crowd that of token2wav alone, and the others behind it: whoever
waits long or is refused then keeps no other stage busy.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import nullcontext
from typing import Any

from opens2s_core.inference.messages import Hiddens, StageMessage, Units
from serve_app.config import STAGES, StageName
from serve_app.errors import StageLost
from serve_app.gateway.calls import Attempt, Caller, Made, StageCall, ends_a_part, parts, parts_of_stage

_GRANT_SECONDS = 0.1
"""How soon units are handed over after they are granted."""

AskStage = Callable[[StageName], StageCall]
"""Asks a stage for a place."""


class Reservation:
    """Asks for places, for the thinker's already before it is known what for. What is not used for so many ``seconds``
    is given back. To be cancelled."""

    def __init__(self, ask: AskStage, seconds: float) -> None:
        self._ask = ask
        self._thinker: StageCall | None = ask("thinker")
        self._timer = asyncio.get_running_loop().call_later(seconds, self.cancel)

    def ask(self, stage: StageName) -> StageCall:
        if stage == "thinker" and self._thinker is not None:
            reserved, self._thinker = self._thinker, None
            return reserved
        return self._ask(stage)

    def cancel(self) -> None:
        self._timer.cancel()
        if self._thinker is not None:
            self._thinker.cancel()
            self._thinker = None


class Chain:
    """Under way from the start, until it ends or is cancelled. Iterating raises :class:`RequestRefused`,
    :class:`ReplyFailed` and :class:`StageError`."""

    def __init__(self, attempt: Attempt, ask: AskStage, caller: Caller) -> None:
        self._attempt = attempt
        self._caller = caller
        self._ask = ask
        self._calls: dict[StageName, StageCall] = {}
        stages = STAGES if attempt.request.speak else STAGES[:1]  # a written reply needs the thinker alone
        self._to_be_taken = len(stages)
        self._hiddens: asyncio.Queue[Hiddens] = asyncio.Queue()
        self._units: asyncio.Queue[Units] = asyncio.Queue()
        self._made: asyncio.Queue[Made | Exception] = asyncio.Queue()
        self._taken = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._behind_token2wav = STAGES[:2] if attempt.request.speak and caller.crowd.waiting else ()
        for stage in stages:
            if stage not in self._behind_token2wav:
                self._start(self._run(stage))

    async def __aiter__(self) -> AsyncIterator[Made]:
        to_come = parts(self._attempt.request)
        await self._taken.wait()
        while to_come:
            made = await self._made.get()
            if isinstance(made, Exception):
                raise made
            to_come -= sum(map(ends_a_part, made.messages))
            yield made

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        for call in self._calls.values():
            call.cancel()

    async def _run(self, stage: StageName) -> None:
        """One stage's part, from its beginning to its end."""
        call = self._calls[stage] = self._ask(stage)
        with self._caller.crowd.joined() if stage == "token2wav" else nullcontext():
            await call.begin(self._attempt.for_stage(stage))
        self._to_be_taken -= 1
        if not self._to_be_taken:
            self._caller.taken()
            self._taken.set()
        match stage:
            case "speech_decoder":
                self._start(self._feed_hiddens(call))
            case "token2wav":
                self._start(self._feed_units(call))
                for other in self._behind_token2wav:
                    self._start(self._run(other))
        to_come = parts_of_stage(stage, self._attempt.request)
        async for made in call:
            to_come -= sum(map(ends_a_part, made.messages))
            self._hand_on(made)
        if to_come:
            raise StageLost(stage, "it ended before its part of the reply did")

    def _hand_on(self, made: Made) -> None:
        told: list[StageMessage] = []
        for message in made.messages:
            match message:
                case Hiddens():
                    self._hiddens.put_nowait(message)
                case Units():
                    self._units.put_nowait(message)
                case _:
                    told.append(message)
        # The stage is fed first; what it makes of it cannot overtake the record of what it was made from.
        self._made.put_nowait(Made(messages=tuple(told), record=made.record))

    async def _feed_hiddens(self, speech_decoder: StageCall) -> None:
        while True:
            await speech_decoder.send(await self._hiddens.get())

    async def _feed_units(self, token2wav: StageCall) -> None:
        sound = self._attempt.record.sound
        handed = sound.received if sound else 0
        while True:
            units = await self._units.get()
            while handed >= self._caller.granted():
                await asyncio.sleep(_GRANT_SECONDS)
            await token2wav.send(units)
            handed += len(units.ids)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.append(task)
        task.add_done_callback(self._tell_failure)

    def _tell_failure(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            if not self._taken.is_set():  # what was made by now is not told
                self._made = asyncio.Queue()
                self._taken.set()
            self._made.put_nowait(error)
