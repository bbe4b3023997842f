"""The model that a run has trained, from what the run started with and its last checkpoint."""

import json
from dataclasses import dataclass, replace
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
from opens2s_core.training.folder import Folder
from opens2s_core.training.objective import Objective
from opens2s_core.training.run import IDENTITY, Run, RunError
from opens2s_core.training.stages import StageConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class StageRun:
    """A run of a stage. ``units_per_token``: of the data of the speech decoder, None where it is not trained.
    ``transcription_prompt``: the text before the clips whose transcripts are trained on, None where none are: then that
    of the start is kept."""

    run: Run
    stage: StageConfig
    seed: int
    units_per_token: float | None
    transcription_prompt: str | None = None

    @classmethod
    def read(cls, directory: str | Path) -> "StageRun":
        """The run in ``directory``, finished or not. Raises :class:`RunError` for a directory without such a run."""
        run = Run(Folder.at(directory))
        try:
            values = json.loads(run.folder.read(IDENTITY))
            return cls(
                run=run,
                stage=parse_config(StageConfig, values["config"]["stage"], "stage"),
                seed=values["config"]["plan"]["seed"],
                units_per_token=values["units_per_token"],
                transcription_prompt=values.get("transcription_prompt"),
            )
        except (FileNotFoundError, ValueError, LookupError, TypeError) as error:
            raise RunError(f"{run.folder.url}: expected a training run of a stage of OpenS2S: {error}") from error

    def load(self, start: Path) -> OpenS2S:
        """The OpenS2S at ``start``, a bundle or a directory of OpenS2S, with the weights of the last checkpoint.

        LoRA is merged. The dtypes are those of ``start``. Raises :class:`CheckpointError` for a run without a
        checkpoint, or of other weights than those of ``start``.
        """
        checkpoint = self.run.checkpoints.latest()
        if checkpoint is None:
            raise CheckpointError(f"{self.run.folder.url}: expected a training run with a checkpoint")
        objective = Objective(load_opens2s(opens2s_directory(start)), self.stage, seed=self.seed)
        parameters = trained(objective)
        with checkpoint.open() as state, torch.no_grad():
            weights, _ = split_state(state, parameters)
            for name, parameter in parameters.items():
                parameter.copy_(value(weights[name]))
        model = objective.model
        if self.stage.lora is not None:
            merge_lora(model.thinker)
        if self.units_per_token is not None:
            model.config = replace(model.config, units_per_token=self.units_per_token)
        if self.transcription_prompt is not None:
            model.config = replace(model.config, transcription_prompt=self.transcription_prompt)
        return model.requires_grad_(True)

    def export(self, start: Path, directory: Path) -> None:
        """Write ``start`` with the trained weights into ``directory``, in the layout of ``start``."""
        opens2s = opens2s_directory(start)
        replaced = weight_files(opens2s)
        copy_files(start, directory, skip=replaced.__contains__)
        save_opens2s(self.load(start), directory / opens2s.relative_to(start))
