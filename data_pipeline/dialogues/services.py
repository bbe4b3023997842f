"""Services that do not answer, and those that refuse every request."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import httpx
import openai

from data_pipeline.dataset import ShardContent
from data_pipeline.records import RejectedRow, Unavailable
from data_pipeline.report import Report
from data_pipeline.runner import Make
from data_pipeline.steps.rejects import UNANSWERED

In = TypeVar("In")
Out = TypeVar("Out")
_OUTAGE = 3
"""Rows without an answer, one after the other and each after all retries, that end a task."""


class _TaskError(ValueError):
    """Its text is ``reason``: to ``args``, Ray Data adds advice of its own."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class ServiceError(_TaskError):
    """A service refuses every request, such as for a wrong address, key or model."""


class UnansweredError(_TaskError):
    """A service gave no answer for some rows; started again, the job asks for them again."""


@contextmanager
def service_errors() -> Iterator[None]:
    """Raises :class:`ServiceError` for the errors of HTTP clients, which cannot be sent between processes."""
    try:
        yield
    except (openai.APIStatusError, httpx.HTTPStatusError) as error:
        response = error.response
        raise ServiceError(
            f"{response.request.url}: status {response.status_code}: {response.text.strip()[:200]!r}; "
            f"expected a server with this path and model that accepts the key in OPENAI_API_KEY"
        ) from None


def make_answered(inputs: str, *, make: Make) -> ShardContent:
    """``make`` of a shard. Raises :class:`ServiceError`, and :class:`UnansweredError` where no row got an answer."""
    with service_errors():
        content = make(inputs)
    report = content.report
    if unanswered_rows(report) == report.rows_in > 0:
        raise UnansweredError(content.rejects["reason"][0].as_py())
    return content


def unanswered_rows(report: Report) -> int:
    """The number of rows for which a service gave no answer."""
    return sum(rows for kind, rows in report.rejected.items() if kind.endswith(f": {UNANSWERED}"))


def until_outage(use: Callable[[In], Out]) -> Callable[[In], Out]:
    """``use``, but :class:`UnansweredError` instead of the third :class:`Unavailable` in a row: to wait for each of
    thousands of rows until a server that is down has not answered would take days."""
    unanswered = 0

    def attempt(item: In) -> Out:
        nonlocal unanswered
        try:
            result = use(item)
        except Unavailable as error:
            unanswered += 1
            if unanswered == _OUTAGE:
                raise UnansweredError(str(error)) from None
            raise
        except RejectedRow:
            unanswered = 0
            raise
        unanswered = 0
        return result

    return attempt
