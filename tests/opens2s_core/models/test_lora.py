"""LoRA on the LLM, against peft's own wrapper of the same LLM."""

import copy
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from torch.nn import functional
from transformers import Qwen3ForCausalLM

from opens2s_core.checkpoint.opens2s import load_thinker
from opens2s_core.config import ConfigError
from opens2s_core.models.lora import (
    LoraSettings,
    add_lora,
    attach_lora,
    has_lora,
    lora_config,
    lora_parameters,
    lora_parts,
    merge_lora,
    merge_weight,
    plain_lora_config,
)
from opens2s_core.models.thinker import Thinker
from tests.opens2s_core.parity import Golden

GOLDEN = Golden("opens2s_tiny")
IDS = torch.arange(24).reshape(2, 12)
SETTINGS = LoraSettings(rank=4, alpha=12, targets=("q_proj", "v_proj", "down_proj"))


@pytest.fixture
def thinker() -> Thinker:
    return load_thinker(GOLDEN.path)


def stir(parameters: Any) -> None:
    """Make both factors nonzero."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in parameters:
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)


def with_lora(thinker: Thinker, settings: LoraSettings = SETTINGS) -> Thinker:
    add_lora(thinker, settings, seed=0)
    stir(lora_parameters(thinker).values())
    return thinker


@torch.no_grad()
def logits(llm: Qwen3ForCausalLM | PeftModel) -> Tensor:
    return llm(input_ids=IDS).logits


def same_but_for_rounding(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=1e-5 * max(float(expected.abs().max()), 1.0), rtol=0)


def test_a_new_lora_changes_nothing(thinker: Thinker) -> None:
    before = logits(thinker.llm_model)
    add_lora(thinker, LoraSettings(), seed=0)
    assert torch.equal(logits(thinker.llm_model), before)


def test_the_seed_determines_the_initial_weights() -> None:
    thinkers = [load_thinker(GOLDEN.path) for _ in range(3)]
    state = torch.get_rng_state()
    for thinker, seed in zip(thinkers, (1, 1, 2), strict=True):
        add_lora(thinker, LoraSettings(rank=3), seed=seed)
    assert torch.equal(torch.get_rng_state(), state)
    first, again, other = map(lora_parameters, thinkers)
    assert all(torch.equal(first[name], again[name]) for name in first)
    for name, value in first.items():
        assert torch.equal(value, other[name]) == (".lora_B." in name)
        assert bool(value.any()) == (".lora_A." in name)


def test_it_computes_what_peft_computes(thinker: Thinker) -> None:
    config = LoraConfig(r=4, lora_alpha=12, lora_dropout=0.05, target_modules=["q_proj", "v_proj", "down_proj"])
    peft = get_peft_model(copy.deepcopy(thinker.llm_model), config).eval()
    ours = lora_parameters(with_lora(thinker))
    theirs = {name.replace(".default", ""): p for name, p in peft.named_parameters() if ".lora_" in name}
    assert ours.keys() == theirs.keys()
    for name, parameter in theirs.items():
        parameter.data.copy_(ours[name])
    assert torch.equal(logits(thinker.llm_model), logits(peft))


def test_only_lora_is_trained_in_the_llm(thinker: Thinker) -> None:
    with_lora(thinker)
    trained = {name for name, parameter in thinker.llm_model.named_parameters() if parameter.requires_grad}
    assert trained == {name for name in thinker.llm_model.state_dict() if ".lora_" in name}
    assert all(parameter.requires_grad for parameter in thinker.audio_adapter.parameters())
    # The gradient passes through the frozen LLM to what feeds it.
    embeddings = torch.randn(2, 5, thinker.config.llm.hidden_size, requires_grad=True)
    hidden = thinker.llm_model.model(inputs_embeds=embeddings).last_hidden_state
    functional.cross_entropy(thinker.llm_model.lm_head(hidden).flatten(0, 1), IDS.flatten()[:10]).backward()
    assert bool(embeddings.grad.any())
    for name, parameter in thinker.llm_model.named_parameters():
        assert (parameter.grad is not None and bool(parameter.grad.any())) == (name in trained), name


def test_dropout_is_active_in_training_only(thinker: Thinker) -> None:
    with_lora(thinker, LoraSettings(rank=4, dropout=0.5))
    assert torch.equal(logits(thinker.llm_model), logits(thinker.llm_model))
    thinker.train()
    assert not torch.equal(logits(thinker.llm_model), logits(thinker.llm_model))
    thinker.eval()
    assert torch.equal(logits(thinker.llm_model), logits(thinker.llm_model))


def test_merging_keeps_the_output_and_the_names(thinker: Thinker) -> None:
    keys = list(thinker.state_dict())
    before = logits(thinker.llm_model)
    attached = logits(with_lora(thinker).llm_model)
    merge_lora(thinker)
    assert list(thinker.state_dict()) == keys
    assert not has_lora(thinker)
    assert all(parameter.requires_grad for parameter in thinker.llm_model.parameters())
    same_but_for_rounding(logits(thinker.llm_model), attached)
    assert not torch.allclose(attached, before, atol=1e-3)
    add_lora(thinker, SETTINGS, seed=0)  # and once more


def test_a_tied_head_stays_tied() -> None:
    thinker = load_thinker(GOLDEN.path)
    llm = thinker.llm_model
    llm.lm_head.weight = llm.model.embed_tokens.weight
    merge_lora(with_lora(thinker))
    assert llm.lm_head.weight is llm.model.embed_tokens.weight


def test_merging_needs_lora_and_adding_needs_none(thinker: Thinker) -> None:
    with pytest.raises(ConfigError, match="with LoRA to merge, got one without"):
        merge_lora(thinker)
    with_lora(thinker)
    with pytest.raises(ConfigError, match="expected an LLM without LoRA"):
        add_lora(thinker, SETTINGS, seed=0)


def test_unknown_targets_are_named(thinker: Thinker) -> None:
    keys = list(thinker.state_dict())
    with pytest.raises(ConfigError, match=r"targets \['lm_head', 'query'\]: not in the LLM, which has \['down_proj', "):
        add_lora(thinker, LoraSettings(targets=("q_proj", "query", "lm_head")), seed=0)
    assert list(thinker.state_dict()) == keys
    assert all(parameter.requires_grad for parameter in thinker.llm_model.parameters())


FAILING: list[dict[str, Any]] = [
    {"target_modules": ["q_proj", "q_norm"]},
    {"target_modules": ["q_proj", "lm_head"]},
    {"target_modules": ["q_proj"], "rank_pattern": {"q_proj": 0}},
    {"target_modules": "("},
]
"""Errors that peft raises before, during and after adding layers."""


@pytest.mark.parametrize("change", FAILING)
def test_a_failure_does_not_change_the_llm(thinker: Thinker, change: dict[str, Any]) -> None:
    thinker.llm_model.model.embed_tokens.requires_grad_(False)
    thinker.llm_model.model.norm.train()
    before, expected = state_of(thinker), logits(thinker.llm_model)
    with pytest.raises(ConfigError, match="LoRA"):
        attach_lora(thinker, {"r": 4, "lora_alpha": 4, **change})
    assert state_of(thinker) == before
    assert torch.equal(logits(thinker.llm_model), expected)
    add_lora(thinker, SETTINGS, seed=0)


def state_of(thinker: Thinker) -> tuple[list[str], dict[str, bool], dict[str, bool], set[str]]:
    llm = thinker.llm_model
    learned = {name: parameter.requires_grad for name, parameter in llm.named_parameters()}
    return list(llm.state_dict()), learned, {name: m.training for name, m in llm.named_modules()}, set(vars(llm))


@pytest.mark.parametrize(
    "options",
    [{}, {"use_rslora": True}, {"rank_pattern": {"v_proj": 2}, "alpha_pattern": {r"layers\.0\.self_attn\.v_proj": 30}}],
)
def test_tensors_merge_as_peft_merges_layers(thinker: Thinker, options: dict[str, Any]) -> None:
    config = LoraConfig(r=4, lora_alpha=12, target_modules=["q_proj", "v_proj"], **options)
    peft = get_peft_model(thinker.llm_model, config)
    stir(parameter for name, parameter in peft.named_parameters() if ".lora_" in name)
    # Published checkpoints hold peft's wrapper under llm_model.
    state = {f"llm_model.{name}": value.clone() for name, value in peft.base_model.state_dict().items()}
    plain = plain_lora_config(config.to_dict() | {"target_modules": ["q_proj", "v_proj"]}, "here")
    merged = {
        name: merge_weight(name, [state[part] for part in parts], plain) for name, parts in lora_parts(state).items()
    }
    expected = {f"llm_model.{name}": value for name, value in peft.merge_and_unload().state_dict().items()}
    assert merged.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(merged[name], value, atol=1e-6, rtol=0)


def test_the_configuration_reads_back(thinker: Thinker) -> None:
    config = lora_config(with_lora(thinker))
    assert plain_lora_config(config, "here")["target_modules"] == ["down_proj", "q_proj", "v_proj"]
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (4, 12, 0.05)


PEFT = LoraConfig(r=4, target_modules=["q_proj"]).to_dict() | {"target_modules": ["q_proj"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"use_dora": True}, r"here: expected plain LoRA, got \{'use_dora': True\}"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "all"}, "'bias': 'all'"),
        ({"init_lora_weights": "pissa"}, "pissa"),
        ({"peft_type": "LOHA"}, "LOHA"),
        ({"a_new_trick": 3}, "a_new_trick"),
        ({"r": "4"}, r"of peft's types, got \{'r': '4'\}"),
    ],
)
def test_anything_beyond_plain_lora_is_refused(change: dict[str, Any], message: str) -> None:
    assert plain_lora_config(PEFT, "here")["r"] == 4
    with pytest.raises(ConfigError, match=message):
        plain_lora_config(PEFT | change, "here")


def test_a_configuration_without_ranks_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"here: missing keys \['lora_alpha', 'r'\]"):
        plain_lora_config({"target_modules": ["q_proj"]}, "here")
