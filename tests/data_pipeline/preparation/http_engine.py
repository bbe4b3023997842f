"""The endpoint of ``model_server`` as ray.data.llm calls it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ray.data.llm import HttpRequestProcessorConfig, HttpRequestStageConfig, ProcessorConfig

from data_pipeline.preparation.models import PoolConfig


@dataclass(frozen=True, slots=True)
class HttpEngine:
    """A :class:`~data_pipeline.preparation.llm.ChatEngine`."""

    url: str

    def processor(self, pool: PoolConfig) -> ProcessorConfig:
        return HttpRequestProcessorConfig(
            url=f"{self.url}/chat/completions",
            batch_size=pool.batch_rows,
            concurrency=(pool.min_actors, pool.max_actors),
            http_request_stage=HttpRequestStageConfig(num_cpus=pool.cpus),
        )

    def request(self, prompt: str) -> dict[str, Any]:
        return {"payload": {"model": "m", "messages": [{"role": "user", "content": prompt}]}}

    def answer(self, columns: Mapping[str, Any]) -> str:
        text: str = columns["http_response"]["choices"][0]["message"]["content"]
        return text
