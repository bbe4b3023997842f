"""Text from an endpoint with OpenAI's chat completions."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import openai

from data_pipeline.records import RejectedRow, Unavailable
from data_pipeline.steps.continuation import MAX_NEW_TOKENS

_OF_THE_JOB = (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError)
"""Errors that every row would get: they end the job."""
_TEMPORARY = (openai.APIConnectionError, openai.RateLimitError, openai.InternalServerError)
"""Errors that may be gone when the job runs again."""
_RETRIED = (408, 409, 429)
"""Status codes below 500 after which the client retries."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenAIGeneratorConfig:
    """``base_url`` ends with the version, as in ``http://host:8000/v1``.

    ``retries`` are made after status 408, 409, 429 or 5xx, a lost connection, or ``timeout_seconds`` without an answer,
    each after a longer wait, or the wait that the server requests. ``template_thinking`` turns thinking off by the chat
    template, as vLLM and SGLang do; other servers may reject the field.
    """

    base_url: str
    model: str
    concurrency: int = 16
    retries: int = 5
    timeout_seconds: float = 120.0
    max_new_tokens: int = MAX_NEW_TOKENS
    template_thinking: bool = True

    def __post_init__(self) -> None:
        if self.concurrency < 1 or self.retries < 0 or self.timeout_seconds <= 0 or self.max_new_tokens < 1:
            raise ValueError(
                "expected concurrency >= 1, retries >= 0, timeout_seconds > 0 and max_new_tokens >= 1, got "
                f"{self.concurrency}, {self.retries}, {self.timeout_seconds:g} and {self.max_new_tokens}"
            )


class OpenAIGenerator:
    """A :class:`~data_pipeline.steps.continuation.TextGenerator`. The key is ``OPENAI_API_KEY`` in the environment,
    ``none`` where it is not set."""

    def __init__(self, config: OpenAIGeneratorConfig) -> None:
        self._config = config
        self._client = openai.OpenAI(
            base_url=config.base_url,
            api_key=os.environ.get("OPENAI_API_KEY") or "none",
            max_retries=config.retries,
            timeout=config.timeout_seconds,
        )

    def generate(self, prompts: Sequence[str]) -> list[str | RejectedRow]:
        """Up to ``concurrency`` requests at once. A prompt that the server refuses, or does not answer after all
        retries, is rejected (``no answer``); a refused key or an unknown model is an ``openai.APIStatusError``."""
        with ThreadPoolExecutor(self._config.concurrency) as pool:
            return list(pool.map(self._answer, prompts))

    def _answer(self, prompt: str) -> str | RejectedRow:
        config = self._config
        thinking = {"chat_template_kwargs": {"enable_thinking": False}}
        try:
            response = self._client.chat.completions.create(
                model=config.model,
                messages=[{"role": "user", "content": prompt}],
                temperature=0,
                max_tokens=config.max_new_tokens,
                extra_body=thinking if config.template_thinking else None,
            )
        except _OF_THE_JOB:
            raise
        except _TEMPORARY as error:
            return Unavailable(f"no answer: {config.base_url}, {self._describe(error)}")
        except openai.APIError as error:
            return RejectedRow(f"no answer: {config.base_url}, {self._describe(error)}")
        if not response.choices:
            return RejectedRow(f"no answer: {config.base_url} returned no choice, expected one")
        return response.choices[0].message.content or ""

    def _describe(self, error: openai.APIError) -> str:
        retried = f"after {self._config.retries} retries: "
        if not isinstance(error, openai.APIStatusError):
            return retried + error.message
        code = error.status_code
        return f"{retried if code in _RETRIED or code >= 500 else ''}status {code}: {error.message[:200]}"
