"""ZeRO in this process alone: what it learns and saves, whatever the stage. Two workers: tests/e2e/test_training.py."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.opens2s import load_opens2s, load_state
from opens2s_core.checkpoint.vocabulary import read_vocabulary
from opens2s_core.models.lora import LoraSettings, merge_lora
from opens2s_core.models.opens2s import OpenS2S
from opens2s_core.prompt import PromptBuilder
from opens2s_core.training.fit import Backend, StepReport, TorchBackend, TrainConfig, fit
from opens2s_core.training.plan import PlanConfig
from tests.opens2s_core.training.samples import ListedSamples, kinds_of_samples

RUN = TrainConfig(
    steps=4,
    warmup_steps=1,
    learning_rate=5e-3,
    weight_decay=0.0,
    plan=PlanConfig(micro_batches_per_step=2, micro_batch_positions=300),
    lora=LoraSettings(rank=4, dropout=0.3),
)


@pytest.fixture(scope="module", autouse=True)
def alone() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("DS_ACCELERATOR", "cpu")
        patched.setenv("LOCAL_RANK", "0")
        torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
        yield
        torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def start(tiny_bundle: Path) -> OpenS2S:
    return load_opens2s(tiny_bundle / OPENS2S)


def train(
    tiny_bundle: Path,
    backend: Backend,
    config: TrainConfig,
    *,
    first_step: int = 0,
    after_step: Callable[[StepReport], None] = lambda report: None,
) -> None:
    vocabulary = read_vocabulary(tiny_bundle / OPENS2S)
    prompts = PromptBuilder(vocabulary.tokenizer, "training")
    samples = ListedSamples(list(kinds_of_samples(prompts).values()), backend.model.config)
    fit(config, samples, vocabulary, backend, first_step=first_step, after_step=after_step)


def zero(model: OpenS2S, config: TrainConfig, stage: int) -> Any:
    from ray_jobs.deepspeed_backend import DeepSpeedBackend

    return DeepSpeedBackend(copy.deepcopy(model), config, rank=0, world=1, zero_stage=stage)


@pytest.mark.parametrize("lora", [RUN.lora, None])
@pytest.mark.parametrize("stage", [0, 1, 2])
def test_every_stage_saves_what_plain_torch_learns(
    tiny_bundle: Path, tmp_path: Path, start: OpenS2S, stage: int, lora: LoraSettings | None
) -> None:
    from ray_jobs.deepspeed_backend import load_zero_weights

    run = replace(RUN, lora=lora)
    plain = TorchBackend(copy.deepcopy(start), run)
    train(tiny_bundle, plain, run)
    if lora is not None:
        merge_lora(plain.model.thinker)
    backend = zero(start, run, stage)
    train(tiny_bundle, backend, run)
    backend.save(tmp_path, run.steps)
    weights = load_state(tiny_bundle / OPENS2S, load_zero_weights(tmp_path)).state_dict()
    for name, value in plain.model.state_dict().items():  # Adam makes much of the last bit of a small gradient
        torch.testing.assert_close(weights[name], value, atol=2e-4, rtol=1e-4, msg=name)
    assert not torch.equal(
        weights["thinker.llm_model.model.layers.0.self_attn.q_proj.weight"],
        start.thinker.llm_model.model.layers[0].self_attn.q_proj.weight,
    )
    frozen = "thinker.llm_model.model.embed_tokens.weight"
    assert torch.equal(weights[frozen], start.state_dict()[frozen]) == (lora is not None)


@pytest.mark.parametrize(("began", "goes_on"), [(RUN.lora, None), (None, RUN.lora), (RUN.lora, LoraSettings(rank=2))])
def test_a_run_goes_on_with_the_lora_it_began_with(
    tmp_path: Path, start: OpenS2S, began: LoraSettings | None, goes_on: LoraSettings | None
) -> None:
    zero(start, replace(RUN, lora=began), 2).save(tmp_path, 1)
    with pytest.raises(ValueError, match="expected the LoRA that the run began with"):
        zero(start, replace(RUN, lora=goes_on), 2).load(tmp_path)


def test_a_resumed_lora_goes_on_bit_for_bit(tiny_bundle: Path, tmp_path: Path, start: OpenS2S) -> None:
    whole = zero(start, RUN, 2)
    train(tiny_bundle, whole, RUN, after_step=lambda done: whole.save(tmp_path, 2) if done.step == 2 else None)
    torch.manual_seed(1234)  # another process would have other random numbers
    resumed = zero(start, RUN, 2)
    assert resumed.load(tmp_path) == 2
    train(tiny_bundle, resumed, RUN, first_step=2)
    state = resumed.model.state_dict()
    assert all(torch.equal(state[name], value) for name, value in whole.model.state_dict().items())
