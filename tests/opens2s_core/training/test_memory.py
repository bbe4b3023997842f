"""The plan of a step's memory against what torch really keeps."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.opens2s import load_opens2s, read_config
from opens2s_core.checkpoint.vocabulary import read_vocabulary
from opens2s_core.models.lora import LoraSettings
from opens2s_core.prompt import PromptBuilder
from opens2s_core.training.batch import Batch, CollateConfig, ReplyLayout, collate
from opens2s_core.training.distillation import DistillationConfig
from opens2s_core.training.engine import Precision, TorchEngine
from opens2s_core.training.flops import Work, flops, step_flops, work_of
from opens2s_core.training.memory import full_micro_batch, plan_memory, planned_objective
from opens2s_core.training.objective import Objective
from opens2s_core.training.plan import PlanConfig
from opens2s_core.training.stages import STAGE0, STAGE1A, STAGE2A, STAGE2B, STAGE3, StageConfig
from tests.opens2s_core.threads import one_thread  # noqa: F401  # a fixture
from tests.opens2s_core.training.samples import kinds_of_samples

LORA = replace(STAGE3, name="lora", lora=LoraSettings(rank=4))
ALL = replace(STAGE3, name="all", rates={**STAGE3.rates, "audio_encoder": 1.0})
STAGES = {stage.name: stage for stage in (STAGE0, STAGE1A, STAGE2A, STAGE2B, STAGE3, LORA, ALL)}
LAYOUTS: tuple[ReplyLayout, ...] = ("interleaved", "prefix")
stages = pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)


@pytest.fixture(scope="module")
def build(tiny_bundle: Path) -> Callable[[StageConfig], Objective]:
    model = load_opens2s(tiny_bundle / OPENS2S)
    return lambda stage: Objective(copy.deepcopy(model), stage, seed=0)


@pytest.fixture(scope="module")
def batch(tiny_bundle: Path) -> Callable[[StageConfig], Batch]:
    vocabulary = read_vocabulary(tiny_bundle / OPENS2S)
    samples = list(kinds_of_samples(PromptBuilder(vocabulary.tokenizer, "training")).values())
    config = read_config(tiny_bundle / OPENS2S)
    layouts = {layout: collate(samples, config, vocabulary, CollateConfig(reply_layout=layout)) for layout in LAYOUTS}
    return lambda stage: layouts[stage.reply_layout]


def sizes(tensors: list[torch.Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


@stages
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_weights_masters_and_moments_are_those_of_the_engine(
    tiny_bundle: Path,
    build: Callable[[StageConfig], Objective],
    batch: Callable[[StageConfig], Batch],
    stage: StageConfig,
    precision: Precision,
) -> None:
    engine = TorchEngine(build(stage), weight_decay=0.1, max_grad_norm=1.0, precision=precision)
    engine.backward(torch.stack(list(engine.losses(batch(stage)).values())).sum(), last=True)
    engine.step(1e-3)
    weights = {parameter.data_ptr() for parameter in engine.objective.parameters()}
    masters = [master for master in engine._masters.values() if master.data_ptr() not in weights]
    states = [value for state in engine._optimizer.state.values() for key, value in state.items() if key != "step"]

    planned = plan_memory(
        planned_objective(read_config(tiny_bundle / OPENS2S), stage),
        work_of(batch(stage)),
        zero_stage=0,
        workers=1,
        precision=precision,
    )

    assert planned.weights == sizes(list(engine.objective.parameters()))
    assert planned.masters == sizes(masters)
    assert planned.moments == sizes(states)


@stages
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_backward_pass_needs_at_most_the_planned_activations(
    build: Callable[[StageConfig], Objective],
    batch: Callable[[StageConfig], Batch],
    stage: StageConfig,
    precision: Precision,
    checkpointing: bool,
) -> None:
    objective = build(stage).to(dtype=getattr(torch, precision)).train()
    if checkpointing:
        objective.checkpoint_activations()
    kept = kept_bytes(objective, batch(stage))
    planned = plan_memory(
        objective,
        work_of(batch(stage)),
        zero_stage=0,
        workers=1,
        precision=precision,
        activation_checkpointing=checkpointing,
    )
    assert kept <= planned.activations
    if not checkpointing and stage is ALL:  # everything is kept
        assert planned.activations <= 1.25 * kept


def kept_bytes(objective: Objective, batch: Batch) -> int:
    """What autograd keeps of a forward pass, without parameters."""
    parameters = {parameter.untyped_storage().data_ptr() for parameter in objective.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        objective(batch)
    return sum(tensor.untyped_storage().nbytes() for address, tensor in kept.items() if address not in parameters)


@pytest.mark.parametrize("stage", [STAGE1A, STAGE2B, STAGE3], ids=lambda stage: stage.name)
def test_checkpointing_keeps_less_with_a_frozen_llm_too(
    build: Callable[[StageConfig], Objective], batch: Callable[[StageConfig], Batch], stage: StageConfig
) -> None:
    plain, checkpointed = build(stage).train(), build(stage)
    checkpointed.checkpoint_activations()
    checkpointed.train()
    assert kept_bytes(checkpointed, batch(stage)) < 0.6 * kept_bytes(plain, batch(stage))


def test_a_frozen_llm_above_frozen_parts_has_no_gradient(
    build: Callable[[StageConfig], Objective], batch: Callable[[StageConfig], Batch]
) -> None:
    objective = build(STAGE2B).train()
    objective.checkpoint_activations()
    passed: list[bool] = []
    llm = objective.model.thinker.llm_model.model
    llm.register_forward_hook(lambda module, given, output: passed.append(output.last_hidden_state.requires_grad))
    objective(batch(STAGE2B))
    assert passed == [False]


def test_zero_shares_optimizer_then_gradients_then_weights(tiny_bundle: Path) -> None:
    objective = planned_objective(read_config(tiny_bundle / OPENS2S), STAGE3)
    work = Work(frames=0, positions=1, text_labels=1, speech_positions=1, unit_labels=1)
    none, optimizer, gradients, weights = (
        plan_memory(objective, work, zero_stage=stage, workers=4) for stage in range(4)
    )
    nearly_a_quarter = pytest.approx(0.25, rel=0.01)
    assert optimizer.moments / none.moments == optimizer.masters / none.masters == nearly_a_quarter
    assert (optimizer.weights, optimizer.gradients) == (none.weights, none.gradients)
    assert gradients.gradients / none.gradients == nearly_a_quarter
    assert gradients.weights == none.weights
    assert weights.weights / none.weights == nearly_a_quarter


def test_frozen_modules_are_weights_alone(tiny_bundle: Path) -> None:
    objective = planned_objective(read_config(tiny_bundle / OPENS2S), STAGE1A)
    trained = sum(parameter.numel() for parameter in objective.model.thinker.audio_adapter.parameters())
    planned = plan_memory(
        objective,
        Work(frames=0, positions=1, text_labels=1, speech_positions=0, unit_labels=0),
        zero_stage=0,
        workers=1,
    )
    assert planned.weights == 2 * sum(parameter.numel() for parameter in objective.parameters())
    assert (planned.gradients, planned.masters, planned.moments) == (2 * trained, 4 * trained, 8 * trained)


def test_a_full_micro_batch_has_what_the_stage_computes(tiny_bundle: Path) -> None:
    config, plan = (
        read_config(tiny_bundle / OPENS2S),
        PlanConfig(micro_batch_positions=100, micro_batch_speech_positions=300),
    )
    work = {name: full_micro_batch(config, stage, plan, clips=2) for name, stage in STAGES.items()}
    assert work["stage3"] == Work(frames=800, positions=100, text_labels=100, speech_positions=300, unit_labels=300)
    assert work["stage1a"] == replace(work["stage3"], speech_positions=0, unit_labels=0)
    assert work["stage2a"] == replace(work["stage3"], frames=0, positions=0, text_labels=0)
    padded = full_micro_batch(replace(config, audio_padding="full"), STAGE3, plan, clips=2)
    assert padded.frames == 2 * 1500


def test_flops_are_counted_from_what_a_batch_has(
    build: Callable[[StageConfig], Objective], batch: Callable[[StageConfig], Batch]
) -> None:
    objective, frozen, lora = build(STAGE3), build(STAGE2B), build(LORA)
    layers = sum(parameter.numel() for parameter in objective.model.thinker.llm_model.model.layers.parameters())
    one, two = (Work(frames=0, positions=n, text_labels=0, speech_positions=0, unit_labels=0) for n in (1, 2))
    assert flops(objective, two) == 2 * flops(objective, one) == 2 * 6 * layers
    assert flops(frozen, one) == 2 * layers
    own = sum(parameter.numel() for parameter in lora.model.thinker.llm_model.model.layers.parameters())
    assert flops(lora, one) == 4 * own
    taught = replace(STAGE1A, losses={"distillation": 1.0}, distillation=DistillationConfig(loss="kl"))
    assert flops(build(taught), one) == flops(build(STAGE1A), one) + 2 * layers
    both = [batch(STAGE3), batch(STAGE3)]
    assert step_flops(objective, both) == flops(objective, work_of(both[0]) + work_of(both[1]))
