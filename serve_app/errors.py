"""What can go wrong with a request, and how clients are answered."""

from typing import Any

RETRY_AFTER_SECONDS = 2
"""After which a client that met a full or failed server should try again; a failed replica is replaced in seconds."""


class RequestRefused(ValueError):
    """A stage cannot serve this request, whenever it is sent. ``code`` says why in one word for clients."""

    def __init__(self, message: str, code: str = "refused") -> None:
        super().__init__(message)
        self.code = code


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
    """It has no free slot."""


class StageLost(StageError):
    """Its replica cannot be reached, is silent, or ended before its part was complete; or its engine stalled."""


class StageFailed(StageError):
    """Its engine failed while it worked on the request, which may be the cause."""


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
    """An unexpected error: its details go to the log, not to the client."""
    return ApiError(500, "internal error", code="internal_error")


def overloaded() -> ApiError:
    """All slots are taken, and all that may wait for one."""
    return ApiError(503, "the server is full: try again soon", code="overloaded")


def as_api_error(error: BaseException, field: str) -> ApiError:
    """The response to a client whose reply failed with ``error``; it names ``field`` if a stage refused the request."""
    match error:
        case ApiError():
            return error
        case RequestRefused():
            return ApiError(400, str(error), param=field, code=error.code)
        case StageBusy():
            return overloaded()
        case StageError():
            return ApiError(503, "a stage failed and is being replaced: try again soon", code="stage_failed")
        case ReplyFailed():
            return ApiError(500, "the model could not make this reply", code="reply_failed")
        case _:
            return internal_error()
