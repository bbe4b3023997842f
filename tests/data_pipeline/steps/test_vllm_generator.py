import importlib.util
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from data_pipeline.steps.vllm_generator import VLLMGenerator, VLLMGeneratorConfig


class RecordingModel:
    """What vLLM's ``LLM`` takes and returns."""

    calls: list[dict[str, Any]]

    def __init__(self, **settings: Any) -> None:
        RecordingModel.calls = [settings]

    def chat(self, messages: list[list[dict[str, str]]], sampling: Any, **settings: Any) -> list[SimpleNamespace]:
        RecordingModel.calls.append({"sampling": sampling, **settings})
        texts = [f"echo: {chat[0]['content']}" for chat in messages]
        return [SimpleNamespace(outputs=[SimpleNamespace(text=text)]) for text in texts]


def test_prompts_are_answered_greedily_without_thinking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(LLM=RecordingModel, SamplingParams=dict))
    generator = VLLMGenerator(VLLMGeneratorConfig(model="m", max_new_tokens=9))
    assert generator.generate(["a", "b"]) == ["echo: a", "echo: b"]
    opened, asked = RecordingModel.calls
    assert (opened["model"], opened["max_model_len"]) == ("m", 4096)
    assert asked["sampling"] == {"temperature": 0.0, "max_tokens": 9}
    assert asked["chat_template_kwargs"] == {"enable_thinking": False}


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_the_error_says_what_to_do() -> None:
    with pytest.raises(ImportError, match="vLLM, which should run m, is not installed: install `vllm`, or use"):
        VLLMGenerator(VLLMGeneratorConfig(model="m"))
