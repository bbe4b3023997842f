"""One reply on its way to its client: resumed when a stage is lost, paced by playback, counted, and logged."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from opens2s_core.inference.messages import AudioChunk, Finish, ReplyRequest, StageMessage, TextDelta
from opens2s_core.inference.records import Record
from serve_app.errors import ApiError, StageBusy, StageError, as_api_error, internal_error
from serve_app.gateway.attempt import Attempt, Stages
from serve_app.gateway.resume import ResumeState, RetryPolicy
from serve_app.observability.metrics import GatewayMetrics
from serve_app.observability.reply_stats import ReplyStats
from serve_app.stages.messages import StageRequest

_logger = logging.getLogger("ray.serve")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplyContext:
    """What replies have in common, or need to know of their request. ``field`` of the request is named when a stage
    refuses it. A reply that is ``played`` as it comes is made no further ahead of playback than its stages may be.
    ``on_complete`` is called with the text of a whole reply before its client learns that it is whole."""

    stages: Stages
    metrics: GatewayMetrics
    id: str
    request_id: str
    sample_rate: int
    units_per_second: float
    played: bool
    field: str = "messages"
    log_transcript: bool = False
    on_complete: Callable[[str], None] = lambda _: None


class Reply:
    """The messages of ``requests``, one after the other: one reply, of which each request makes a part. Iterating
    raises :class:`ApiError`. Work starts at construction; :meth:`aclose` must be called."""

    def __init__(self, requests: Sequence[ReplyRequest], context: ReplyContext) -> None:
        self.stats = ReplyStats(context.sample_rate)
        self.requests = requests
        self._context = context
        self._messages: asyncio.Queue[StageMessage | None] = asyncio.Queue()  # None at the end
        self._first: list[StageMessage | None] = []
        self._finishes: list[Finish] = []
        self._cut = False
        self._transcript: list[str] = []
        self._spoken = ExitStack()
        self._without_audio = ExitStack()
        self._started = self._closed = False
        self._outcome = "aborted"
        self._error: ApiError | None = None
        context.metrics.waits()
        self._task = asyncio.create_task(self._run())

    @property
    def finish(self) -> Finish | None:
        """How the reply ended, None until then: the counts of its parts together, and "length" where the text or the
        speech of any was cut."""
        if len(self._finishes) < len(self.requests):
            return None
        cut = self._cut or any(finish.reason == "length" for finish in self._finishes)
        return Finish(
            "length" if cut else "stop",
            sum(finish.prompt_tokens for finish in self._finishes),
            sum(finish.completion_tokens for finish in self._finishes),
        )

    @property
    def transcript(self) -> str:
        return "".join(self._transcript)

    async def start(self) -> None:
        """Returns once there is something for the client: what fails until then can still be answered by a status."""
        self._first.append(await self._messages.get())
        if self._error is not None:
            raise self._error

    async def __aiter__(self) -> AsyncIterator[StageMessage]:
        while (message := self._first.pop() if self._first else await self._messages.get()) is not None:
            yield message
        if self._error is not None:
            raise self._error

    async def aclose(self) -> None:
        """End it, whatever its state; returns once the connections to all stages are closed."""
        if self._closed:
            return
        self._closed = True
        self._task.cancel()
        try:
            await asyncio.wait({self._task})
        finally:  # also where this is cancelled itself
            self._context.metrics.ends(self.stats, self._outcome, started=self._started)
            _logger.info(json.dumps(self._log_line()))

    async def _run(self) -> None:
        try:
            if any(request.speak for request in self.requests):
                self._spoken.enter_context(self._context.stages.pacer.spoken())
                self._without_audio.enter_context(self._context.stages.pacer.first_audio())
            for number, request in enumerate(self.requests):
                await self._make(request, number)
            if self._closed:
                return
            self._context.on_complete(self.transcript)
            self._outcome = "completed"
        except Exception as error:  # noqa: BLE001  the one place where errors become answers
            self._fail(error)
        except asyncio.CancelledError:
            self._error = internal_error()  # for a client that still reads: a reply never just ends
            raise
        finally:
            self._without_audio.close()
            self._spoken.close()
            self._messages.put_nowait(None)

    async def _make(self, request: ReplyRequest, number: int) -> None:
        """All of one part, however many attempts it takes."""
        state, retry, attempts = ResumeState(self._context.stages.family, request), RetryPolicy(), 0

        def emit(stage: str, messages: list[StageMessage], record: Record) -> None:
            new = state.accept(stage, messages, record)
            if new:
                retry.progress()
            for message in new:
                self._emit(message)

        while not state.complete:
            attempts += 1
            attempt = Attempt(
                self._context.stages,
                self._stage_requests(request, f"{self._context.id}.{number}.{attempts}", state),
                playback=self.stats.playback if self._context.played else None,
                emit=emit,
                on_accepted=self._start,
            )
            try:
                await attempt.run()
            except StageError as error:
                if self._closed:  # an error on the way out hides the cancellation; nobody wants another attempt
                    return
                if isinstance(error, StageBusy) and not self._started:
                    raise
                pause = retry.pause(error, accepted=error.stage in attempt.accepted)
                self.stats.resumes += 1
                self._context.metrics.resumed(error.stage)
                await asyncio.sleep(pause)

    def _stage_requests(self, request: ReplyRequest, name: str, state: ResumeState) -> dict[str, StageRequest]:
        records = state.records()
        return {
            spec.name: StageRequest(
                id=name,
                # The conversation, which may be large, is only for the stage that reads it.
                request=request if spec.input_type is None else replace(request, messages=()),
                sample_rate=self._context.sample_rate,
                units_per_second=self._context.units_per_second,
                record=records.get(spec.name),
            )
            for spec in self._context.stages.family.stages_for(speak=request.speak)
        }

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._context.metrics.starts()

    def _emit(self, message: StageMessage) -> None:
        self.stats.note(message)
        if self.stats.first_audio is not None:
            self._without_audio.close()
        match message:
            case TextDelta(text):
                self._transcript.append(text)
            case Finish():
                self._finishes.append(message)
            case AudioChunk(finish="length" | "loop" as reason):
                self._cut = True
                self._context.metrics.cut(reason)
        self._messages.put_nowait(message)

    def _fail(self, error: Exception) -> None:
        self._error = as_api_error(error, self._context.field)
        self._outcome = self._error.code or "failed"
        if self._error.code in ("stage_failed", "reply_failed"):
            line = {"event": "reply_failed", "request_id": self._context.request_id, "why": str(error)}
            _logger.warning(json.dumps(line))
        elif self._error.code == "internal_error":
            line = {"event": "internal_error", "request_id": self._context.request_id}
            _logger.error(json.dumps(line), exc_info=error)

    def _log_line(self) -> dict[str, Any]:
        stats = self.stats
        line: dict[str, Any] = {"event": "reply", "request_id": self._context.request_id, "outcome": self._outcome}
        times = {
            "first_text_s": stats.first_text,
            "first_audio_s": stats.first_audio,
            "whole_s": stats.elapsed(),
            "audio_s": stats.audio,
            "underrun_s": stats.underrun,
            "longest_gap_s": stats.longest_gap,
        }
        line |= {name: round(seconds, 3) for name, seconds in times.items() if seconds is not None}
        line["resumes"] = stats.resumes
        if (finish := self.finish) is not None:
            tokens = {"prompt_tokens": finish.prompt_tokens, "completion_tokens": finish.completion_tokens}
            line |= {"finish_reason": finish.reason, **tokens}
        if self._context.log_transcript:
            line["transcript"] = self.transcript
        return line
