import copy
from pathlib import Path

import pytest
import torch

from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.opens2s import load_opens2s
from opens2s_core.checkpoint.vocabulary import read_vocabulary
from opens2s_core.models.lora import LoraSettings
from opens2s_core.prompt import PromptBuilder
from opens2s_core.training.fit import StepReport, TorchBackend, TrainConfig, fit
from opens2s_core.training.plan import PlanConfig
from tests.opens2s_core.training.samples import ListedSamples, kinds_of_samples


class OneOfTwo(TorchBackend):
    """Rank 0 or 1 of two: applies nothing, so that the gradients of both can be added up."""

    def __init__(self, *args: object, rank: int) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.rank, self.world = rank, 2

    def step(self, learning_rate: float) -> None:
        pass


@pytest.fixture
def parts(tiny_bundle: Path) -> tuple:
    path = tiny_bundle / OPENS2S
    vocabulary = read_vocabulary(path)
    model = load_opens2s(path)
    prompts = PromptBuilder(vocabulary.tokenizer, "training")
    return model, vocabulary, ListedSamples(list(kinds_of_samples(prompts).values()), model.config)


def config(steps: int, lora: LoraSettings | None = None) -> TrainConfig:
    plan = PlanConfig(micro_batches_per_step=2, micro_batch_positions=300)
    return TrainConfig(steps=steps, warmup_steps=5, learning_rate=5e-3, weight_decay=0.0, lora=lora, plan=plan)


def test_training_lowers_both_losses(parts: tuple) -> None:
    model, vocabulary, samples = parts
    reports: list[StepReport] = []
    run = config(60)
    fit(run, samples, vocabulary, TorchBackend(model, run), first_step=0, after_step=reports.append)
    assert [report.step for report in reports] == list(range(1, 61))
    first, last = reports[:6], reports[-6:]
    assert sum(r.text_loss for r in last) < 0.3 * sum(r.text_loss for r in first)
    assert sum(r.speech_loss for r in last) < 0.6 * sum(r.speech_loss for r in first)


def test_with_lora_the_llm_itself_is_not_changed(parts: tuple) -> None:
    model, vocabulary, samples = parts
    before = copy.deepcopy(model.state_dict())
    reports: list[StepReport] = []
    run = config(30, LoraSettings(rank=4))
    fit(run, samples, vocabulary, TorchBackend(model, run), first_step=0, after_step=reports.append)
    assert sum(r.text_loss for r in reports[-6:]) < 0.9 * sum(r.text_loss for r in reports[:6])
    for name, value in model.state_dict().items():
        plain = name.replace(".base_layer", "")
        if ".lora_" in name:
            assert bool(value.any()), name
        elif plain.startswith("thinker.llm_model."):
            assert torch.equal(value, before[plain]), name
    for learned in ("thinker.audio_adapter", "thinker.audio_encoder_model.conv1", "speech_decoder.llm2tts"):
        name = next(name for name in before if name.startswith(learned))
        assert not torch.equal(model.state_dict()[name], before[name]), name


# Dropout, too, must not depend on which worker computes a micro-batch.
@pytest.mark.parametrize("lora", [None, LoraSettings(rank=4, dropout=0.5)])
def test_the_gradient_of_a_step_is_the_sum_over_workers(parts: tuple, lora: LoraSettings | None) -> None:
    model, vocabulary, samples = parts
    run = config(1, lora)
    gradients = []
    for rank in (0, 1):
        own = copy.deepcopy(model)
        fit(run, samples, vocabulary, OneOfTwo(own, run, rank=rank), first_step=0, after_step=lambda report: None)
        gradients.append({name: p.grad for name, p in own.named_parameters() if p.grad is not None})

    class Keep(TorchBackend):
        def step(self, learning_rate: float) -> None:
            pass

    fit(run, samples, vocabulary, Keep(model, run), first_step=0, after_step=lambda report: None)
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            shares = gradients[0].get(name, 0) + gradients[1].get(name, 0)
            torch.testing.assert_close(parameter.grad, shares, atol=1e-6, rtol=1e-4, msg=name)


def test_training_does_not_change_the_global_random_state(parts: tuple) -> None:
    model, vocabulary, samples = parts
    run = config(2, LoraSettings(rank=4))
    state = torch.get_rng_state()
    fit(run, samples, vocabulary, TorchBackend(model, run), first_step=0, after_step=lambda report: None)
    assert torch.equal(torch.get_rng_state(), state)


def test_workers_must_divide_the_micro_batches(parts: tuple) -> None:
    model, vocabulary, samples = parts
    run = TrainConfig(steps=1, plan=PlanConfig(micro_batches_per_step=3))
    with pytest.raises(ValueError, match="2 workers cannot evenly share 3 micro-batches"):
        fit(run, samples, vocabulary, OneOfTwo(model, run, rank=0), first_step=0, after_step=lambda report: None)


def test_the_learning_rate_warms_up_and_decays() -> None:
    rates = [config(100).learning_rate_at(step) for step in range(100)]
    assert rates[0] < rates[4] == pytest.approx(5e-3)
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] == pytest.approx(5e-4, rel=0.1)
