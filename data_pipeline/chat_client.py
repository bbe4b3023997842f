"""A client of OpenAI's chat completions: concurrent requests at a bounded rate, with retries."""

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import openai

from data_pipeline.openai_endpoint import open_client, request_errors
from data_pipeline.records import RejectedRow, Unavailable

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointConfig:
    """``base_url`` ends with the version, as in ``http://host:8000/v1``.

    ``retries`` are made after status 408, 409, 429 or 5xx, a lost connection, or ``timeout_seconds`` without an answer,
    each after a longer wait, or the wait that the server requests, up to two minutes. ``requests_per_minute`` bounds
    the rate of one process, retries included; None: no bound. ``template_thinking`` turns thinking on or off by the
    chat template, as vLLM and SGLang do; other servers may reject the field.
    """

    base_url: str
    model: str
    concurrency: int = 16
    retries: int = 5
    timeout_seconds: float = 300.0
    requests_per_minute: float | None = None
    template_thinking: bool = True

    def __post_init__(self) -> None:
        if self.concurrency < 1 or self.retries < 0 or self.timeout_seconds <= 0:
            raise ValueError(
                "expected concurrency >= 1, retries >= 0 and timeout_seconds > 0, got "
                f"{self.concurrency}, {self.retries} and {self.timeout_seconds:g}"
            )
        if self.requests_per_minute is not None and self.requests_per_minute <= 0:
            raise ValueError(f"expected requests_per_minute > 0 or None, got {self.requests_per_minute:g}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How an answer is generated. ``temperature`` 0 is greedy. ``max_tokens`` includes those of the thought."""

    max_tokens: int
    temperature: float = 0.0
    top_p: float | None = None  # None: the server's default
    thinking: bool = False

    def __post_init__(self) -> None:
        if self.max_tokens < 1 or self.temperature < 0 or not (self.top_p is None or 0 < self.top_p <= 1):
            raise ValueError(
                "expected max_tokens >= 1, temperature >= 0 and top_p in (0, 1] or None, got "
                f"{self.max_tokens}, {self.temperature:g} and {self.top_p}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """``text`` is without a thought that the server returns in a field of its own. ``cut``: it ended at
    ``max_tokens``. Tokens as the server counted them, those of the thought included; None: it did not state them."""

    text: str
    cut: bool
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class ChatClient:
    """Safe to use from several threads. The key is ``OPENAI_API_KEY`` in the environment, ``none`` where it is not
    set."""

    def __init__(self, config: EndpointConfig) -> None:
        self._config = config
        self._limiter = RateLimiter(config.requests_per_minute)
        self._pool = ThreadPoolExecutor(config.concurrency)
        self._client = open_client(
            config.base_url,
            retries=config.retries,
            timeout_seconds=config.timeout_seconds,
            http_client=openai.DefaultHttpxClient(event_hooks={"request": [lambda _: self._limiter.wait()]}),
        )

    def map(self, use: Callable[[In], Out], items: Iterable[In]) -> list[Out | RejectedRow]:
        """``use`` of each item, in order, in up to ``concurrency`` threads for all callers together; or the
        :class:`RejectedRow` that it raised. ``use`` must not call ``map``."""

        def attempt(item: In) -> Out | RejectedRow:
            try:
                return use(item)
            except RejectedRow as error:
                return error

        return list(self._pool.map(attempt, items))

    def complete(
        self, messages: Sequence[Mapping[str, str]], sampling: Sampling, seed: int | None = None
    ) -> Completion:
        """The answer to ``messages``, which have ``role`` and ``content``.

        Raises :class:`RejectedRow`: ``no answer`` where the server rejects the request, :class:`Unavailable` where it
        does not answer after all retries or not with a completion; ``refused`` where its filter or the model refuses.
        A wrong key or an unknown model is an ``openai.APIStatusError``.
        """
        config = self._config
        thinking = {"chat_template_kwargs": {"enable_thinking": sampling.thinking}}
        with request_errors("no answer", config.base_url, config.retries):
            response = self._client.chat.completions.with_raw_response.create(
                model=config.model,
                messages=list(messages),  # type: ignore[arg-type]
                temperature=sampling.temperature,
                top_p=openai.omit if sampling.top_p is None else sampling.top_p,
                max_tokens=sampling.max_tokens,
                seed=openai.omit if seed is None else seed,
                extra_body=thinking if config.template_thinking else None,
            )
            body = response.http_response.content
        return self._parse(body)

    def _parse(self, body: bytes) -> Completion:
        url = self._config.base_url
        try:
            completion = json.loads(body)
            choices = completion["choices"]
            found = [(choice["message"], choice.get("finish_reason")) for choice in choices]
            answers = [(message.get("content"), message.get("refusal"), reason) for message, reason in found]
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            # Such as the error page of a proxy, with status 200.
            raise Unavailable(f"no answer: {url} returned {body[:200]!r}, expected a chat completion") from None
        if not answers:
            raise RejectedRow(f"no answer: {url} returned no choice, expected one")
        text, refusal, reason = answers[0]
        if refusal or reason == "content_filter":
            raise RejectedRow(f"refused: {str(refusal or reason)[:200]}")
        if not isinstance(text, str | None):
            raise RejectedRow(f"no answer: {url} returned content {text!r:.200}, expected text")
        usage = completion.get("usage")
        return Completion(
            text=text or "",
            cut=reason == "length",
            prompt_tokens=_token_count(usage, "prompt_tokens"),
            completion_tokens=_token_count(usage, "completion_tokens"),
        )


def _token_count(usage: object, name: str) -> int | None:
    count = usage.get(name) if isinstance(usage, dict) else None
    return count if isinstance(count, int) and count >= 0 else None


class RateLimiter:
    """Spaces calls evenly, so that there are no bursts. Safe to use from several threads."""

    def __init__(self, per_minute: float | None) -> None:
        self._interval = 0.0 if per_minute is None else 60 / per_minute
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Returns when the next call is due."""
        with self._lock:
            now = time.monotonic()
            due = max(now, self._next)
            self._next = due + self._interval
        if due > now:
            time.sleep(due - now)
