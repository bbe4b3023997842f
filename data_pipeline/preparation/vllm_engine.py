"""vLLM, where it is installed, as ray.data.llm runs it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ray.data.llm import ChatTemplateStageConfig, ProcessorConfig, vLLMEngineProcessorConfig

from data_pipeline.preparation.models import PoolConfig
from data_pipeline.steps.continuation import MAX_NEW_TOKENS


@dataclass(frozen=True, kw_only=True, slots=True)
class VLLMGeneratorConfig:
    """``model`` is a directory or a name on the hub; the other fields are arguments of vLLM."""

    model: str
    tensor_parallel_size: int = 1
    gpu_memory_utilization: float = 0.9
    max_model_len: int = 4096
    max_new_tokens: int = MAX_NEW_TOKENS


@dataclass(frozen=True, slots=True)
class VLLMEngine:
    """A :class:`~data_pipeline.preparation.llm.ChatEngine`.

    An engine takes ``tensor_parallel_size`` GPUs, whatever the pool says.
    """

    config: VLLMGeneratorConfig

    def processor(self, pool: PoolConfig) -> ProcessorConfig:
        config = self.config
        alone = config.tensor_parallel_size == 1
        return vLLMEngineProcessorConfig(
            model_source=config.model,
            engine_kwargs={
                "tensor_parallel_size": config.tensor_parallel_size,
                "gpu_memory_utilization": config.gpu_memory_utilization,
                "max_model_len": config.max_model_len,
            },
            batch_size=pool.batch_rows,
            concurrency=(pool.min_actors, pool.max_actors),
            # With several GPUs, Ray Data places its actor, which takes a CPU, beside workers with a GPU each.
            placement_group_config={"bundle_per_worker": {"CPU": pool.cpus if alone else 1, "GPU": 1}},
            # A prompt that is too long is an error of its row. Where the engine is dead its actor is replaced.
            should_continue_on_error=True,
            chat_template_stage=ChatTemplateStageConfig(
                concurrency=1, num_cpus=0, chat_template_kwargs={"enable_thinking": False}
            ),
            # vLLM does both itself; each would be an actor through which all clips pass.
            tokenize_stage=False,
            detokenize_stage=False,
        )

    def request(self, prompt: str) -> dict[str, Any]:
        return {
            "messages": [{"role": "user", "content": prompt}],
            "sampling_params": {"temperature": 0.0, "max_tokens": self.config.max_new_tokens},
        }

    def answer(self, columns: Mapping[str, Any]) -> str:
        text: str = columns["generated_text"]
        return text
