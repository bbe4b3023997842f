"""Decoder directories: ``config.yaml`` or ``config.json``, a flow and a vocoder (``hift``), as ``.pt`` or safetensors.

Published vocoders are weight-normalised; the normalisation is folded into plain weights when they are loaded.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.files import open_tensors, read_json, value, write_tensors
from opens2s_core.checkpoint.modules import assign, build_empty, check_tensors
from opens2s_core.checkpoint.tagged_yaml import read_yaml
from opens2s_core.checkpoint.weight_norm import plain_weights
from opens2s_core.config import ConfigError, Token2WavConfig, config_to_dict, parse_config
from opens2s_core.models.flow import Flow
from opens2s_core.models.vocoder import Vocoder, unfold_weight_norm

FLOW, HIFT = "flow", "hift"
_SECTIONS = (FLOW, HIFT, "trained")
_TAGS = {
    "flow": "!new:cosyvoice.flow.flow.MaskedDiffWithXvec",
    "flow.encoder": "!new:cosyvoice.transformer.encoder.BlockConformerEncoder",
    "flow.length_regulator": "!new:cosyvoice.flow.length_regulator.InterpolateRegulator",
    "flow.decoder": "!new:cosyvoice.flow.flow_matching.ConditionalCFM",
    "flow.decoder.cfm_params": "!new:omegaconf.DictConfig",
    "flow.decoder.estimator": "!new:cosyvoice.flow.decoder.ConditionalDecoder",
    "hift": "!new:cosyvoice.hifigan.generator.HiFTGenerator",
    "hift.f0_predictor": "!new:cosyvoice.hifigan.f0_predictor.ConvRNNF0Predictor",
}
"""The tag of each section in the published file: the class that the published code builds. Not interpreted here."""


def read_token2wav_config(directory: str | Path) -> Token2WavConfig:
    """The ``flow`` and ``hift`` sections; a published file has others, which are ignored.

    Raises :class:`CheckpointError` for a file that cannot be read, :class:`ConfigError` for settings of a model that is
    not supported.
    """
    path = Path(directory) / "config.yaml"
    if path.exists():
        values = read_yaml(path, _SECTIONS)
    else:
        path = path.with_suffix(".json")
        if not path.exists():
            raise CheckpointError(f"{directory}: expected config.yaml or config.json")
        values = {key: value for key, value in read_json(path).items() if key in _SECTIONS}
    if missing := [section for section in (FLOW, HIFT) if not isinstance(values.get(section), dict)]:
        raise CheckpointError(f"{path}: expected sections of settings {missing}")
    return parse_config(Token2WavConfig, {**values, FLOW: _flow_values(values[FLOW], str(path))}, str(path))


def load_token2wav(directory: str | Path, dtype: torch.dtype | None = None) -> tuple[Flow, Vocoder]:
    """Flow and vocoder of a decoder directory, in eval mode, in the types of the files or all in ``dtype``.

    Raises :class:`CheckpointError` that lists missing, unknown and mis-shaped tensors.
    """
    path = Path(directory)
    config = read_token2wav_config(path)
    flow = build_empty(lambda: Flow(config.flow))
    vocoder = build_empty(lambda: Vocoder(config.hift))
    flow_files, hift_files = (plain_weights(open_tensors(path, stem)) for stem in (FLOW, HIFT))
    check_tensors(flow_files, flow.state_dict(), path / FLOW)
    check_tensors(hift_files, vocoder.state_dict(), path / HIFT)
    flow_state, hift_state = (
        {name: value(tensor, dtype) for name, tensor in files.items()} for files in (flow_files, hift_files)
    )
    return assign(flow, flow_state), assign(vocoder, hift_state)


def save_token2wav(flow: Flow, vocoder: Vocoder, config: Token2WavConfig, directory: str | Path) -> None:
    """``config.yaml``, ``flow.safetensors`` and ``hift.safetensors``."""
    path = Path(directory)
    write_tensors(flow.state_dict(), path, FLOW)
    write_tensors(vocoder.state_dict(), path, HIFT)
    (path / "config.yaml").write_text(yaml.safe_dump(config_to_dict(config), sort_keys=False))


def published_flow(flow: Flow) -> dict[str, Tensor]:
    """Tensors under their published names."""
    return dict(flow.state_dict())


def published_vocoder(vocoder: Vocoder) -> dict[str, Tensor]:
    """Tensors under their published names, weight-normalised."""
    return unfold_weight_norm(vocoder.state_dict())


def save_published_token2wav(flow: Flow, vocoder: Vocoder, config: Token2WavConfig, directory: str | Path) -> None:
    """``config.yaml`` with the published tags, ``flow.pt`` and ``hift.pt``."""
    path = Path(directory)
    path.mkdir(parents=True, exist_ok=True)
    for stem, state in ((FLOW, published_flow(flow)), (HIFT, published_vocoder(vocoder))):
        torch.save({name: tensor.clone() for name, tensor in state.items()}, path / f"{stem}.pt")
    (path / "config.yaml").write_text(_published_yaml(config))


def _flow_values(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The flow's settings in the names of :class:`FlowConfig`, without the published wrapping."""
    flow = dict(values)
    if isinstance(regulator := flow.get("length_regulator"), dict):
        regulator = flow["length_regulator"] = dict(regulator)
        channels, out_channels = regulator.get("channels"), regulator.pop("out_channels", None)
        if out_channels not in (None, channels):
            raise ConfigError(
                f"{where}: flow.length_regulator.out_channels: expected channels, {channels}, got {out_channels!r}"
            )
    if isinstance(decoder := flow.get("decoder"), dict):
        params = decoder.get("cfm_params")
        if isinstance(params, dict) and params.keys() == {"content"}:
            flow["decoder"] = decoder | {"cfm_params": params["content"]}
    return flow


class _Tagged(dict[str, Any]):
    def __init__(self, tag: str, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.tag = tag


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(_Tagged, lambda dumper, node: dumper.represent_mapping(node.tag, node))


def _published_yaml(config: Token2WavConfig) -> str:
    values = config_to_dict(config)
    decoder = values[FLOW]["decoder"]
    decoder["cfm_params"] = {"content": decoder["cfm_params"]}
    sections = {key: _tagged(key, values[key]) for key in (FLOW, HIFT)}
    ours = {} if config.trained else {"trained": False}
    return yaml.dump({"sample_rate": config.hift.sampling_rate, **sections, **ours}, Dumper=_Dumper, sort_keys=False)


def _tagged(place: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = {k: _tagged(f"{place}.{k}", v) if isinstance(v, dict) else v for k, v in values.items()}
    return _Tagged(_TAGS[place], inner) if place in _TAGS else inner
