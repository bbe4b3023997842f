"""What ray.data.llm makes of the settings. vLLM itself is not installed where these tests run."""

import importlib.util
from pathlib import Path

import pytest
import ray.data
from ray.data.llm import build_processor

from data_pipeline.preparation.generators import missing_software
from data_pipeline.preparation.models import PoolConfig
from data_pipeline.preparation.vllm_engine import VLLMEngine, VLLMGeneratorConfig
from opens2s_core.training.from_scratch import train_text_tokenizer

POOL = PoolConfig(min_actors=1, max_actors=4, batch_rows=8, cpus=0.5, gpus=1)
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
)

pytestmark = pytest.mark.ray


def engine(model: str, gpus: int = 1) -> VLLMEngine:
    return VLLMEngine(VLLMGeneratorConfig(model=model, tensor_parallel_size=gpus, max_new_tokens=9))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("tokenizer")
    tokenizer = train_text_tokenizer([TEMPLATE], 300)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(directory)
    return str(directory)


def test_an_engine_of_one_gpu_runs_in_an_autoscaling_pool(ray_local: str, tmp_path: Path) -> None:
    processor = build_processor(engine(str(tmp_path)).processor(POOL))
    assert processor.list_stage_names() == ["ChatTemplateStage", "vLLMEngineStage"]
    settings = processor.get_stage_by_name("vLLMEngineStage").map_batches_kwargs
    assert (settings["compute"].min_size, settings["compute"].max_size) == (1, 4)
    assert (settings["num_cpus"], settings["num_gpus"]) == (0.5, 1)


def test_an_engine_of_several_gpus_places_its_workers(ray_local: str, tmp_path: Path) -> None:
    stage = build_processor(engine(str(tmp_path), gpus=2).processor(POOL)).get_stage_by_name("vLLMEngineStage")
    assert stage.fn_constructor_kwargs["engine_kwargs"]["tensor_parallel_size"] == 2
    *_, placement = stage.map_batches_kwargs["ray_remote_args_fn"].args
    assert placement["bundles"] == [{"CPU": 1, "GPU": 1}] * 2
    assert stage.map_batches_kwargs["num_gpus"] == 0


def test_chats_reach_the_engine_without_thinking_and_with_greedy_sampling(ray_local: str, tokenizer: str) -> None:
    processor = build_processor(
        engine(tokenizer).processor(POOL),
        preprocess=lambda row: engine(tokenizer).request(row["prompt"]),
        postprocess=lambda row: {"prompt": row["prompt"], "sampling_params": row["sampling_params"]},
    )
    del processor.stages["vLLMEngineStage"]
    (row,) = processor(ray.data.from_items([{"prompt": "It rained."}])).take_all()
    assert row["prompt"] == "<|im_start|>user\nIt rained.<|im_end|>\n<|im_start|>assistant\n<think></think>"
    assert row["sampling_params"] == {"temperature": 0.0, "max_tokens": 9}


def test_the_answer_is_the_generated_text() -> None:
    assert engine("m").answer({"generated_text": "And cold.", "prompt": "It rained."}) == "And cold."


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_the_error_says_what_to_do() -> None:
    missing = missing_software(VLLMGeneratorConfig(model="m"))
    assert missing is not None
    assert missing.startswith("vLLM, which should run m, is not installed: install `vllm`, or use")
