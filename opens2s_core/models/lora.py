"""LoRA for the LLM (arXiv 2106.09685), with peft's layers and names.

peft is imported where it is used: models without LoRA need only torch and transformers.
"""
# O outputs, I inputs, r rank

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers import Qwen3ForCausalLM

from opens2s_core.config import ConfigError
from opens2s_core.models.seeding import seeded
from opens2s_core.models.thinker import Thinker

_ADAPTER = "default"
_KINDS: dict[str, type | tuple[type, ...]] = {
    "r": int,
    "lora_alpha": (int, float),
    "lora_dropout": (int, float),
    "target_modules": (list, str),
    "layers_to_transform": (list, int),
    "layers_pattern": (list, str),
    "rank_pattern": dict,
    "alpha_pattern": dict,
    "use_rslora": bool,
}
"""The keys of a peft configuration that plain LoRA uses."""

_INERT = {
    "task_type",
    "base_model_name_or_path",
    "revision",
    "auto_mapping",
    "inference_mode",
    "peft_version",
    "megatron_core",
    "qalora_group_size",
}
"""Keys without effect."""

_PLAIN = {"peft_type": ("LORA",), "bias": ("none",), "init_lora_weights": (True, "gaussian")}
"""The values of plain LoRA; some other initialisations of A and B change the base weights."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoraSettings:
    """The defaults are those of the published training tool. ``targets`` are names of linear layers of the LLM; biases
    stay frozen."""

    rank: int = 16
    alpha: int = 16
    dropout: float = 0.05
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")


def add_lora(thinker: Thinker, settings: LoraSettings, *, seed: int) -> None:
    """Freeze the LLM and add trainable LoRA layers to it, in place. B is zero, so the output does not change.

    ``seed`` initialises A. Raises :class:`ConfigError` for an unknown target and for an LLM with LoRA.
    """
    _expect_no_lora(thinker)
    modules = thinker.llm_model.model.named_modules()
    known = {name.rpartition(".")[2] for name, module in modules if isinstance(module, nn.Linear)}
    if unknown := sorted(set(settings.targets) - known):
        raise ConfigError(f"LoRA targets {unknown}: not in the LLM, which has {sorted(known)}")
    config = {
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "lora_dropout": settings.dropout,
        "target_modules": list(settings.targets),
    }
    attach_lora(thinker, config, seed=seed)


def attach_lora(thinker: Thinker, config: Mapping[str, Any], *, seed: int = 0) -> None:
    """As :func:`add_lora`, from a configuration returned by :func:`plain_lora_config`.

    Raises :class:`ConfigError` also if the configuration matches no layer of the LLM, or other layers than the linear
    ones of its blocks; the LLM is then unchanged.
    """
    from peft import LoraConfig, inject_adapter_in_model

    llm = thinker.llm_model
    with unchanged_on_failure(thinker), seeded(seed):
        try:
            inject_adapter_in_model(LoraConfig(**config), llm, _ADAPTER)  # initialised on the CPU, also on a GPU
        except (ValueError, re.error) as error:
            raise ConfigError(f"LoRA cannot be added to the LLM: {error}") from error
        layers = lora_layers(llm)
        if outside := [name for name in layers if not name.startswith("model.layers.")]:
            raise ConfigError(f"LoRA on {outside}: expected only linear layers of the LLM's blocks")
        for layer in layers.values():
            layer.train(llm.training)  # new layers start in training mode


@contextmanager
def unchanged_on_failure(thinker: Thinker) -> Iterator[None]:
    """Remove LoRA from the LLM and restore ``requires_grad`` of its parameters if the block raises.

    Raises :class:`ConfigError` for an LLM with LoRA.
    """
    _expect_no_lora(thinker)
    llm = thinker.llm_model
    trainable = [(parameter, parameter.requires_grad) for parameter in llm.parameters()]
    with ExitStack() as on_failure:
        on_failure.callback(lambda: [parameter.requires_grad_(before) for parameter, before in trainable])
        on_failure.callback(_remove_layers, llm)
        yield
        on_failure.pop_all()


def has_lora(thinker: Thinker) -> bool:
    return hasattr(thinker.llm_model, "peft_config")


def lora_config(thinker: Thinker) -> dict[str, Any]:
    """The configuration of the attached LoRA as plain data with peft's names (``adapter_config.json``)."""
    configs: dict[str, Any] = thinker.llm_model.peft_config
    [config] = configs.values()
    used = {key: value for key, value in config.to_dict().items() if key in _KINDS}
    if not isinstance(used["target_modules"], str):
        used["target_modules"] = sorted(used["target_modules"])
    return {"peft_type": "LORA", "task_type": "CAUSAL_LM", "bias": "none", **used}


def plain_lora_config(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The keys of a peft configuration that plain LoRA uses. Models and paths in it are ignored.

    Raises :class:`ConfigError` for anything but plain LoRA on linear layers (DoRA, trained biases, whole saved
    modules, …) and for values that are missing or of another type.
    """
    others = {key: value for key, value in values.items() if key not in _KINDS and key not in _INERT}
    if beyond := {key: value for key, value in others.items() if value and value not in _PLAIN.get(key, ())}:
        raise ConfigError(f"{where}: expected plain LoRA, got {beyond}")
    if missing := sorted({"r", "lora_alpha", "target_modules"} - set(values)):
        raise ConfigError(f"{where}: missing keys {missing}")
    used = {key: values[key] for key in _KINDS if values.get(key) is not None}
    if wrong := {key: value for key, value in used.items() if not isinstance(value, _KINDS[key])}:
        raise ConfigError(f"{where}: expected values of peft's types, got {wrong}")
    return used


def lora_parameters(thinker: Thinker) -> dict[str, nn.Parameter]:
    """A (r, I) and B (O, r) of every layer by their names in peft's files."""
    marker = f".{_ADAPTER}."
    return {
        f"base_model.model.{name.replace(marker, '.')}": parameter
        for name, parameter in thinker.llm_model.named_parameters()
        if ".lora_" in name
    }


def merge_lora(thinker: Thinker) -> None:
    """Merge LoRA into the LLM's weights and remove its layers. All parameters of the LLM become trainable.

    Raises :class:`ConfigError` for an LLM without LoRA.
    """
    if not has_lora(thinker):
        raise ConfigError("expected an LLM with LoRA to merge, got one without")
    for layer in lora_layers(thinker.llm_model).values():
        layer.merge()
    _remove_layers(thinker.llm_model)
    thinker.llm_model.requires_grad_(True)


def lora_parts(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Group the tensor names of a model that was saved with LoRA attached, by plain name.

    A group is ``(name,)`` or the names of base weight, A and B. The LLM's names may have the additional level of peft's
    wrapper, as in published checkpoints (``llm_model.model.model.layers.0.self_attn.q_proj.base_layer.weight``). Other
    names are kept.
    """
    names = list(names)
    parts: dict[str, tuple[str, ...]] = {}
    for name in names:
        module, _, leaf = name.rpartition(".base_layer.")
        if module and leaf == "weight":
            factors = [f"{module}.lora_{factor}.{_ADAPTER}.weight" for factor in "AB"]
            parts[_plain_name(f"{module}.{leaf}")] = (name, *factors)
        elif module:
            parts[_plain_name(f"{module}.{leaf}")] = (name,)
    grouped = {name for group in parts.values() for name in group}
    return parts | {_plain_name(name): (name,) for name in names if name not in grouped}


def merge_weight(name: str, parts: list[Tensor], config: Mapping[str, Any]) -> Tensor:
    """The tensor of plain ``name`` from its :func:`lora_parts`: base (O, I), A (r, I), B (O, r) → (O, I)."""
    if len(parts) == 1:
        return parts[0]
    base, a, b = (part.float() for part in parts)
    return (base + b @ a * _scaling(name, len(a), config)).to(parts[0].dtype)


def _expect_no_lora(thinker: Thinker) -> None:
    if has_lora(thinker):
        raise ConfigError(f"expected an LLM without LoRA, got one with {lora_config(thinker)}; merge it first")


def lora_layers(llm: Qwen3ForCausalLM) -> dict[str, Any]:
    """peft's layers by name."""
    from peft.tuners.lora import LoraLayer

    return {name: module for name, module in llm.named_modules() if isinstance(module, LoraLayer)}


def _remove_layers(llm: Qwen3ForCausalLM) -> None:
    """Restore the base layers. peft sets its configuration on the LLM only if it could add all layers."""
    for name, layer in lora_layers(llm).items():
        llm.set_submodule(name, layer.get_base_layer())
    vars(llm).pop("peft_config", None)


def _scaling(name: str, rank: int, config: Mapping[str, Any]) -> float:
    from peft.utils.other import get_pattern_key

    layer = name.rpartition("llm_model.")[2].removesuffix(".weight")
    patterns = config.get("alpha_pattern", {})
    alpha = patterns.get(get_pattern_key(patterns.keys(), layer), config["lora_alpha"])
    return alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank


def _plain_name(name: str) -> str:
    for inside in ("model.", "lm_head."):
        name = name.replace(f"llm_model.model.{inside}", f"llm_model.{inside}")
    return name
