"""What all clients of an endpoint with OpenAI's API share: how it is opened, and what its errors mean for a row."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import openai

from data_pipeline.records import RejectedRow, Unavailable

_OF_THE_JOB = (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError)
"""Errors that every row would get: they end the job."""
_TEMPORARY = (openai.APIConnectionError, openai.RateLimitError, openai.InternalServerError)
"""Errors that may be gone when the job runs again."""
_RETRIED = (408, 409, 429)
"""Status codes below 500 after which the client retries."""


def open_client(
    base_url: str, *, retries: int, timeout_seconds: float, http_client: openai.DefaultHttpxClient | None = None
) -> openai.OpenAI:
    """The key is ``OPENAI_API_KEY`` in the environment, ``none`` where it is not set."""
    return openai.OpenAI(
        base_url=base_url,
        api_key=os.environ.get("OPENAI_API_KEY") or "none",
        max_retries=retries,
        timeout=timeout_seconds,
        http_client=http_client,
    )


@contextmanager
def request_errors(kind: str, base_url: str, retries: int) -> Iterator[None]:
    """Raises for a failed request a :class:`RejectedRow` of ``kind``, :class:`Unavailable` where there was no answer
    after all ``retries``. A wrong key or an unknown model is an ``openai.APIStatusError``."""
    try:
        yield
    except _OF_THE_JOB:
        raise
    except openai.APIError as error:
        rejected = Unavailable if isinstance(error, _TEMPORARY) else RejectedRow
        raise rejected(f"{kind}: {base_url}, {_describe(error, retries)}") from error


def _describe(error: openai.APIError, retries: int) -> str:
    retried = f"after {retries} retries: "
    if not isinstance(error, openai.APIStatusError):
        return retried + error.message
    code = error.status_code
    return f"{retried if code in _RETRIED or code >= 500 else ''}status {code}: {error.message[:200]}"
