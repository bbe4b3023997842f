"""What can go wrong with a request, and how clients are told."""

from typing import Any

RETRY_AFTER_SECONDS = 2
"""What a client that met a full or failed stage is told to wait; a failed replica is replaced in a few seconds."""


class RequestRefused(ValueError):
    """A stage cannot serve this request, whenever it is sent (its prompt is too long, say)."""


class ReplyFailed(RuntimeError):
    """This reply cannot be made, wherever it is tried again."""


class StageError(RuntimeError):
    """A stage did not do its part of a reply; another attempt may."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(stage, reason)
        self.stage = stage
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.stage}: {self.reason}"


class StageBusy(StageError):
    """All of its places are taken, and those to wait in."""


class StageLost(StageError):
    """Its process went away."""


class CallerLost(StageLost):
    """It does not hear its caller any more, and so there is nobody to tell."""


class StageFailed(StageError):
    """Its engine broke under the request, which may be the cause."""


class ApiError(Exception):
    """An answer other than 200. ``param`` is the path of the offending field, e.g. ``messages[0].content``."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code

    @property
    def headers(self) -> dict[str, str]:
        if self.status == 401:
            return {"WWW-Authenticate": "Bearer"}
        return {"Retry-After": str(RETRY_AFTER_SECONDS)} if self.status in (429, 503) else {}

    def body(self) -> dict[str, Any]:
        """The JSON that OpenAI's clients expect of an error."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


def internal_error() -> ApiError:
    """What nobody expected: the client learns nothing of our insides, the log does."""
    return ApiError(500, "internal error", code="internal_error")


def as_api_error(error: Exception, asked_in: str) -> ApiError:
    """How a client is told what became of its reply, which it asked for in the field ``asked_in``."""
    match error:
        case RequestRefused():
            return ApiError(400, str(error), param=asked_in, code="refused")
        case StageBusy():
            return ApiError(503, "all places are taken: try again soon", code="overloaded")
        case StageError():
            return ApiError(503, "a stage failed and is being replaced: try again soon", code="stage_failed")
        case ReplyFailed():
            return ApiError(500, "the model could not make this reply", code="reply_failed")
        case _:
            return internal_error()
