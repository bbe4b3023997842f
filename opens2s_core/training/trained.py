"""The model that a run has trained, from what the run started with and its last checkpoint."""

import json
from dataclasses import replace
from pathlib import Path

import torch

from opens2s_core.checkpoint.bundle import opens2s_directory
from opens2s_core.checkpoint.errors import CheckpointError
from opens2s_core.checkpoint.files import value, weight_files
from opens2s_core.checkpoint.opens2s import load_opens2s, save_opens2s
from opens2s_core.config import parse_config
from opens2s_core.models.lora import merge_lora
from opens2s_core.models.opens2s import OpenS2S
from opens2s_core.storage import copy_files
from opens2s_core.training.engine import split_state, trained
from opens2s_core.training.objective import Objective
from opens2s_core.training.run import IDENTITY, Run, RunError
from opens2s_core.training.stages import StageConfig


def read_stage(run: Run) -> tuple[StageConfig, int]:
    """The stage that a run trains, and its seed. Raises :class:`RunError` for a directory that has no such run."""
    try:
        config = json.loads(run.folder.read(IDENTITY))["config"]
        return parse_config(StageConfig, config["stage"], "stage"), int(config["plan"]["seed"])
    except (FileNotFoundError, ValueError, LookupError, TypeError) as error:
        raise RunError(f"{run.folder.url}: expected a training run of a stage of OpenS2S: {error}") from error


def load_trained(run: Run, start: Path, stage: StageConfig, seed: int) -> OpenS2S:
    """The OpenS2S at ``start``, a bundle or a directory of OpenS2S, with the weights of the last checkpoint.

    LoRA is merged. The dtypes are those of ``start``. Raises :class:`CheckpointError` for a run without a checkpoint."""
    checkpoint = run.checkpoints.latest()
    if checkpoint is None:
        raise CheckpointError(f"{run.folder.url}: expected a run with a checkpoint")
    objective = Objective(load_opens2s(opens2s_directory(start)), stage, seed=seed)
    parameters = trained(objective)
    with checkpoint.open() as state, torch.no_grad():
        weights, _ = split_state(state, parameters)
        for name, parameter in parameters.items():
            parameter.copy_(value(weights[name]))
    if stage.lora is not None:
        merge_lora(objective.model.thinker)
    return objective.model.requires_grad_(True)


def write_trained(
    run: Run, start: Path, stage: StageConfig, seed: int, units_per_token: float | None, directory: Path
) -> None:
    """Write ``start`` with the trained weights into ``directory``, in the layout of ``start``.

    ``units_per_token`` are those of the data that the speech decoder was trained on, None if it was not."""
    opens2s = opens2s_directory(start)
    replaced = weight_files(opens2s)
    copy_files(start, directory, skip=replaced.__contains__)
    model = load_trained(run, start, stage, seed)
    if units_per_token is not None:
        model.config = replace(model.config, units_per_token=units_per_token)
    save_opens2s(model, directory / opens2s.relative_to(start))
