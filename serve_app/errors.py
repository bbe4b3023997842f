"""What can go wrong with a request, and how clients are told."""

from typing import Any

RETRY_AFTER_SECONDS = 2
"""What a client that met a full or failed stage is told to wait; a failed replica is replaced in a few seconds."""


class RequestRefused(ValueError):
    """A stage cannot serve this request, whenever it is sent (its prompt is too long, say)."""


class StageFailed(RuntimeError):
    """A stage died under the request; Serve replaces it."""


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
        return {"Retry-After": str(RETRY_AFTER_SECONDS)} if self.status in (429, 503) else {}

    def body(self) -> dict[str, Any]:
        """The JSON that OpenAI's clients expect of an error."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}
