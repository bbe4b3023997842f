"""Text from a causal language model of transformers, in this process."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from data_pipeline.records import RejectedRow
from data_pipeline.steps.continuation import MAX_NEW_TOKENS


@dataclass(frozen=True, kw_only=True, slots=True)
class TransformersGeneratorConfig:
    """``model`` is a directory or a name on the hub, with a chat template. Prompts of a batch are padded on the left,
    ``batch_size`` at a time."""

    model: str
    device: str = "cpu"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    batch_size: int = 16
    max_new_tokens: int = MAX_NEW_TOKENS

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.max_new_tokens < 1:
            raise ValueError(
                f"expected batch_size >= 1 and max_new_tokens >= 1, got {self.batch_size} and {self.max_new_tokens}"
            )


class TransformersGenerator:
    """A :class:`~data_pipeline.steps.continuation.TextGenerator`."""

    def __init__(self, config: TransformersGeneratorConfig) -> None:
        self._config = config
        self._tokenizer = AutoTokenizer.from_pretrained(config.model, padding_side="left")
        if self._tokenizer.chat_template is None:
            raise ValueError(f"{config.model}: the tokenizer has no chat template: expected a chat model")
        self._model = AutoModelForCausalLM.from_pretrained(config.model, dtype=getattr(torch, config.dtype)).eval()
        self._model.to(torch.device(config.device))
        end = self._model.generation_config.eos_token_id
        ends = end if isinstance(end, list) else [self._tokenizer.eos_token_id if end is None else end]
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token_id = ends[0]
        self._generation = GenerationConfig(
            do_sample=False,
            max_new_tokens=config.max_new_tokens,
            eos_token_id=ends,
            pad_token_id=self._tokenizer.pad_token_id,
        )

    @torch.inference_mode()
    def generate(self, prompts: Sequence[str]) -> list[str | RejectedRow]:
        """Answers without special tokens."""
        answers: list[str | RejectedRow] = []
        for start in range(0, len(prompts), self._config.batch_size):
            chats = [
                [{"role": "user", "content": prompt}] for prompt in prompts[start : start + self._config.batch_size]
            ]
            inputs: Any = self._tokenizer.apply_chat_template(
                chats,
                add_generation_prompt=True,
                enable_thinking=False,
                padding=True,
                return_tensors="pt",
                return_dict=True,
            )
            inputs = inputs.to(self._config.device)
            ids = self._model.generate(**inputs, generation_config=self._generation)
            new = ids[:, inputs["input_ids"].shape[1] :]
            answers += self._tokenizer.batch_decode(new, skip_special_tokens=True)
        return answers
