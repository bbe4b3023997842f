"""LoRA in files, written and read by peft itself."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor

from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.files import open_tensors
from opens2s_core.checkpoint.lora import load_lora, merge_lora_tensors, save_lora
from opens2s_core.checkpoint.opens2s import load_thinker
from opens2s_core.config import ConfigError
from opens2s_core.models.lora import LoraSettings, add_lora, has_lora, lora_parameters, merge_lora
from opens2s_core.models.thinker import Thinker
from tests.opens2s_core.models.test_lora import (
    GOLDEN,
    SETTINGS,
    logits,
    same_but_for_rounding,
    state_of,
    stir,
    with_lora,
)

A = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


@pytest.fixture
def thinker() -> Thinker:
    return load_thinker(GOLDEN.path)


def change(directory: Path, file: str, **changes: Any) -> None:
    values = json.loads((directory / file).read_text())
    (directory / file).write_text(json.dumps(values | changes))


def test_peft_loads_what_we_save(thinker: Thinker, tmp_path: Path) -> None:
    stock = copy.deepcopy(thinker.llm_model)
    save_lora(with_lora(thinker), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    assert A in load_file(tmp_path / "adapter_model.safetensors")
    assert torch.equal(logits(PeftModel.from_pretrained(stock, str(tmp_path))), logits(thinker.llm_model))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_rslora": True, "lora_dropout": 0.1, "init_lora_weights": "gaussian"},
        {"target_modules": r".*\.(up|down)_proj", "rank_pattern": {"up_proj": 2}, "layers_to_transform": None},
        {"target_modules": ["k_proj"], "layers_to_transform": [0]},
    ],
)
def test_we_load_what_peft_saves(thinker: Thinker, tmp_path: Path, options: dict[str, Any]) -> None:
    config = LoraConfig(**{"r": 4, "lora_alpha": 12, "target_modules": ["q_proj", "o_proj"], **options})
    peft = get_peft_model(copy.deepcopy(thinker.llm_model), config).eval()
    stir(parameter for name, parameter in peft.named_parameters() if ".lora_" in name)
    peft.save_pretrained(str(tmp_path))
    change(tmp_path, "adapter_config.json", base_model_name_or_path="/somewhere/that/is/not")
    load_lora(thinker, tmp_path)
    assert torch.equal(logits(thinker.llm_model), logits(peft))
    merge_lora(thinker)
    same_but_for_rounding(logits(thinker.llm_model), logits(peft))


def test_saving_and_loading_is_bit_exact_and_trains_on(thinker: Thinker, tmp_path: Path) -> None:
    save_lora(with_lora(thinker), tmp_path / "first")
    again = load_thinker(GOLDEN.path)
    load_lora(again, tmp_path / "first")
    assert torch.equal(logits(again.llm_model), logits(thinker.llm_model))
    trained = {name for name, parameter in again.llm_model.named_parameters() if parameter.requires_grad}
    assert trained == {name for name in again.llm_model.state_dict() if ".lora_" in name}
    save_lora(again, tmp_path / "second")
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def test_missing_unknown_and_misshaped_tensors_are_listed(thinker: Thinker, tmp_path: Path) -> None:
    save_lora(with_lora(load_thinker(GOLDEN.path)), tmp_path)
    state = load_file(tmp_path / "adapter_model.safetensors")
    width = state[A].shape[1]
    state["base_model.model.model.layers.99.self_attn.q_proj.lora_A.weight"] = state.pop(A.replace("lora_A", "lora_B"))
    state[A] = torch.zeros(4, width + 1)
    save_file(state, tmp_path / "adapter_model.safetensors")
    keys = list(thinker.state_dict())
    with pytest.raises(CheckpointError) as error:
        load_lora(thinker, tmp_path)
    for problem in (
        "missing base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight",
        "unknown base_model.model.model.layers.99.self_attn.q_proj.lora_A.weight",
        f"{A} has shape (4, {width + 1}), expected (4, {width})",
    ):
        assert problem in str(error.value)
    assert list(thinker.state_dict()) == keys
    assert not has_lora(thinker)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"target_modules": ["q_proj", "q_norm"]}, ConfigError),
        ({"target_modules": ["gate_proj"]}, CheckpointError),  # the tensors are of other layers
    ],
)
def test_a_failure_leaves_the_llm_as_it_was(
    thinker: Thinker, tmp_path: Path, changes: dict[str, Any], error: type[ValueError]
) -> None:
    save_lora(with_lora(load_thinker(GOLDEN.path)), tmp_path)
    change(tmp_path, "adapter_config.json", **changes)
    thinker.llm_model.model.embed_tokens.requires_grad_(False)
    before, expected = state_of(thinker), logits(thinker.llm_model)
    with pytest.raises(error):
        load_lora(thinker, tmp_path)
    assert state_of(thinker) == before
    assert torch.equal(logits(thinker.llm_model), expected)
    add_lora(thinker, SETTINGS, seed=0)


def test_a_lora_that_is_there_stays(thinker: Thinker, tmp_path: Path) -> None:
    save_lora(with_lora(thinker), tmp_path)
    expected = logits(thinker.llm_model)
    with pytest.raises(ConfigError, match="expected an LLM without LoRA"):
        load_lora(thinker, tmp_path)
    assert torch.equal(logits(thinker.llm_model), expected)


def test_lora_outside_the_blocks_is_refused(thinker: Thinker, tmp_path: Path) -> None:
    config = LoraConfig(r=2, target_modules=["q_proj", "lm_head"])
    peft = get_peft_model(copy.deepcopy(thinker.llm_model), config)
    peft.save_pretrained(str(tmp_path), save_embedding_layers=False)
    with pytest.raises(ConfigError, match=r"LoRA on \['lm_head'\]"):
        load_lora(thinker, tmp_path)
    assert not has_lora(thinker)


def test_targets_that_the_llm_has_not_are_named(thinker: Thinker, tmp_path: Path) -> None:
    save_lora(with_lora(load_thinker(GOLDEN.path)), tmp_path)
    change(tmp_path, "adapter_config.json", target_modules=["query_key_value"])
    with pytest.raises(ConfigError, match="query_key_value"):
        load_lora(thinker, tmp_path)
    assert not has_lora(thinker)


def test_an_incomplete_directory_says_what_it_lacks(thinker: Thinker, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"adapter_config\.json"):
        load_lora(thinker, tmp_path)
    save_lora(with_lora(load_thinker(GOLDEN.path)), tmp_path)
    (tmp_path / "adapter_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"adapter_model\.safetensors"):
        load_lora(thinker, tmp_path)


@pytest.fixture
def attached(tmp_path: Path) -> Path:
    """The golden checkpoint as the published code saves it while LoRA is attached."""
    directory = shutil.copytree(GOLDEN.path, tmp_path / "attached")
    thinker = with_lora(load_thinker(directory))
    files = open_tensors(directory)
    state = {name: files[name].read().clone() for name in files if not name.startswith("llm_model.")}
    for name, value in thinker.llm_model.state_dict().items():
        if name != "lm_head.weight" or "llm_model.lm_head.weight" in files:  # tied heads are not saved
            state[f"llm_model.model.{name}"] = value.clone()
    for path in directory.glob("model*.safetensors*"):
        path.unlink()
    save_file(state, directory / "model.safetensors")
    config = LoraConfig(r=4, lora_alpha=12, lora_dropout=0.05, target_modules=list(SETTINGS.targets)).to_dict()
    change(directory, "config.json", lora_config=config | {"target_modules": sorted(SETTINGS.targets)})
    return directory


def merged(directory: Path) -> dict[str, Tensor]:
    config = json.loads((directory / "config.json").read_text())["lora_config"]
    return {name: t.read() for name, t in merge_lora_tensors(open_tensors(directory), config, str(directory)).items()}


def test_a_checkpoint_with_lora_attached_reads_as_the_merged_model(thinker: Thinker, attached: Path) -> None:
    state = merged(attached)
    assert state.keys() == open_tensors(GOLDEN.path).keys()
    attached_logits = logits(with_lora(thinker).llm_model)
    merge_lora(thinker)
    for name, value in thinker.llm_model.state_dict().items():
        torch.testing.assert_close(state.get(f"llm_model.{name}", value), value, atol=1e-6, rtol=0)
    loaded = load_thinker(attached)
    assert loaded.state_dict().keys() == thinker.state_dict().keys()
    same_but_for_rounding(logits(loaded.llm_model), attached_logits)


def test_a_checkpoint_without_lora_reads_as_it_is() -> None:
    files = open_tensors(GOLDEN.path)
    assert merge_lora_tensors(files, None, "here") == dict(files)


def test_lora_of_a_checkpoint_needs_its_settings_and_both_factors(attached: Path) -> None:
    change(attached, "config.json", lora_config=None)
    with pytest.raises(CheckpointError, match=r"expected a lora_config for the LoRA of .*q_proj.*, got None"):
        merged(attached)
    change(attached, "config.json", lora_config={"r": 4, "lora_alpha": 12, "target_modules": ["q_proj"]})
    state = load_file(attached / "model.safetensors")
    layer = "llm_model.model.model.layers.0.self_attn.q_proj"
    b = state.pop(f"{layer}.lora_B.default.weight")
    save_file(state, attached / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"missing \['llm_model.*q_proj.lora_B.default.weight'\]"):
        merged(attached)
    save_file(state | {f"{layer}.lora_B.default.weight": b[:, :-1].clone()}, attached / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"expected A .* for \['llm_model.model.layers.0.self_attn.q_proj"):
        merged(attached)


def test_settings_of_a_second_lora_are_refused(thinker: Thinker, tmp_path: Path) -> None:
    save_lora(with_lora(thinker), tmp_path)
    with pytest.raises(ConfigError, match="expected an LLM without LoRA"):
        load_lora(thinker, tmp_path)
    assert lora_parameters(thinker)


def test_half_precision_stays_what_it_is(tmp_path: Path) -> None:
    thinker = load_thinker(GOLDEN.path)
    thinker.llm_model.bfloat16()
    add_lora(thinker, LoraSettings(rank=4), seed=0)
    save_lora(thinker, tmp_path)
    assert {value.dtype for value in load_file(tmp_path / "adapter_model.safetensors").values()} == {torch.bfloat16}
