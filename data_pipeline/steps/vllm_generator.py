"""Text from vLLM, in this process, where it is installed."""

from collections.abc import Sequence
from dataclasses import dataclass

from data_pipeline.records import RejectedRow
from data_pipeline.steps.continuation import MAX_NEW_TOKENS


@dataclass(frozen=True, kw_only=True, slots=True)
class VLLMGeneratorConfig:
    """``model`` is a directory or a name on the hub; the other fields are arguments of vLLM."""

    model: str
    tensor_parallel_size: int = 1
    gpu_memory_utilization: float = 0.9
    max_model_len: int = 4096
    max_new_tokens: int = MAX_NEW_TOKENS


class VLLMGenerator:
    """A :class:`~data_pipeline.steps.continuation.TextGenerator`. ``ImportError`` where vLLM is not installed."""

    def __init__(self, config: VLLMGeneratorConfig) -> None:
        try:
            import vllm
        except ImportError as error:
            raise ImportError(
                f"vLLM, which should run {config.model}, is not installed: install `vllm`, or use the generator by "
                "transformers or by an endpoint"
            ) from error
        self._model = vllm.LLM(
            model=config.model,
            tensor_parallel_size=config.tensor_parallel_size,
            gpu_memory_utilization=config.gpu_memory_utilization,
            max_model_len=config.max_model_len,
        )
        self._sampling = vllm.SamplingParams(temperature=0.0, max_tokens=config.max_new_tokens)

    def generate(self, prompts: Sequence[str]) -> list[str | RejectedRow]:
        """All prompts at once: vLLM batches them."""
        outputs = self._model.chat(
            [[{"role": "user", "content": prompt}] for prompt in prompts],
            self._sampling,
            use_tqdm=False,
            chat_template_kwargs={"enable_thinking": False},
        )
        return [output.outputs[0].text for output in outputs]
