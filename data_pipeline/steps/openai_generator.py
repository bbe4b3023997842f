"""Text from an endpoint with OpenAI's chat completions."""

from collections.abc import Sequence
from dataclasses import dataclass

from data_pipeline.chat_client import ChatClient, EndpointConfig, Sampling
from data_pipeline.records import RejectedRow
from data_pipeline.steps.continuation import MAX_NEW_TOKENS


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenAIGeneratorConfig:
    """See :class:`~data_pipeline.chat_client.EndpointConfig`. ``template_thinking`` turns thinking off."""

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
        self._sampling = Sampling(max_tokens=config.max_new_tokens)
        self._client = ChatClient(
            EndpointConfig(
                base_url=config.base_url,
                model=config.model,
                concurrency=config.concurrency,
                retries=config.retries,
                timeout_seconds=config.timeout_seconds,
                template_thinking=config.template_thinking,
            )
        )

    def generate(self, prompts: Sequence[str]) -> list[str | RejectedRow]:
        """Up to ``concurrency`` requests at once. A prompt that the server refuses, or does not answer after all
        retries, is rejected (``no answer``); a refused key or an unknown model is an ``openai.APIStatusError``."""
        return self._client.map(self._answer, prompts)

    def _answer(self, prompt: str) -> str:
        return self._client.complete([{"role": "user", "content": prompt}], self._sampling).text
