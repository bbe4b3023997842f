"""One reply on its way to a client: its messages in order, how it went, and one line in the log."""

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

from opens2s_core.inference.messages import Finish, ReplyRequest, StageMessage, TextDelta
from serve_app.errors import ApiError, as_api_error
from serve_app.gateway.calls import Crowd
from serve_app.gateway.chain import AskStage
from serve_app.gateway.resuming import ResumingReply
from serve_app.observability.figures import ReplyFigures
from serve_app.observability.metrics import IngressMetrics

_logger = logging.getLogger("ray.serve")


class Reply:
    """Iterating raises :class:`ApiError`. ``close`` ends it, whatever its state; it must be called.

    It was asked for in the field ``asked_in`` of the request. The log line holds numbers, and with ``log_transcript``
    the words of the reply.
    """

    def __init__(
        self,
        request: ReplyRequest,
        ask: AskStage,
        metrics: IngressMetrics,
        *,
        name: str,
        request_id: str,
        sample_rate: int,
        lead: float | None,
        crowd: Crowd,
        asked_in: str,
        log_transcript: bool,
    ) -> None:
        self.figures = ReplyFigures(sample_rate)
        self._metrics = metrics
        self._request_id = request_id
        self._asked_in = asked_in
        self._transcript: list[str] | None = [] if log_transcript else None
        self._held: StageMessage | None = None
        self._begun = self._closed = False
        self._outcome = "aborted"
        metrics.waits()
        self._source = ResumingReply(
            request,
            ask,
            name=name,
            sample_rate=sample_rate,
            lead=lead,
            crowd=crowd,
            taken=self._taken,
            resumed=self._resumed,
        )
        self._messages = aiter(self._source)

    @property
    def finish(self) -> Finish | None:
        """How the text ended; None while it goes on."""
        return self.figures.finish

    async def begin(self) -> None:
        """Wait until the reply is under way: what stops it until now can still be told by a status."""
        self._held = await anext(self)

    def __aiter__(self) -> AsyncIterator[StageMessage]:
        return self

    async def __anext__(self) -> StageMessage:
        if self._held is not None:
            message, self._held = self._held, None
            return message
        try:
            message = await anext(self._messages)
        except StopAsyncIteration:
            self._outcome = "completed"
            raise
        except Exception as error:
            raise self._refuse(error) from error
        self.figures.note(message)
        if self._transcript is not None and isinstance(message, TextDelta):
            self._transcript.append(message.text)
        return message

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._source.cancel()
        self._metrics.ends(self.figures, self._outcome, begun=self._begun)
        _logger.info(json.dumps(self._line()))

    def _refuse(self, error: Exception) -> ApiError:
        refusal = as_api_error(error, self._asked_in)
        self._outcome = refusal.code or "failed"
        if refusal.code in ("stage_failed", "reply_failed"):
            _logger.warning(json.dumps({"event": "reply_failed", "request_id": self._request_id, "why": str(error)}))
        elif refusal.code == "internal_error":
            _logger.error(json.dumps({"event": "internal_error", "request_id": self._request_id}), exc_info=error)
        return refusal

    def _taken(self) -> None:
        if not self._begun and not self._closed:
            self._begun = True
            self._metrics.begins()

    def _resumed(self, stage: str) -> None:
        self.figures.resumes += 1
        self._metrics.resumed(stage)

    def _line(self) -> dict[str, Any]:
        figures = self.figures
        line: dict[str, Any] = {"event": "reply", "request_id": self._request_id, "outcome": self._outcome}
        times = {
            "first_text_s": figures.first_text,
            "first_audio_s": figures.first_audio,
            "whole_s": figures.elapsed(),
            "audio_s": figures.audio,
            "underrun_s": figures.underrun,
            "longest_gap_s": figures.longest_gap,
        }
        line |= {name: round(seconds, 3) for name, seconds in times.items() if seconds is not None}
        line["resumes"] = figures.resumes
        if (finish := self.finish) is not None:
            tokens = {"prompt_tokens": finish.prompt_tokens, "completion_tokens": finish.completion_tokens}
            line |= {"finish_reason": finish.reason, **tokens}
        if self._transcript is not None:
            line["transcript"] = "".join(self._transcript)
        return line
