"""ZeRO under the training loop."""

from pathlib import Path
from typing import Any

import deepspeed
import torch
from torch import Tensor

from opens2s_core.checkpoint.files import write_json
from opens2s_core.checkpoint.lora import ADAPTER_CONFIG, read_lora_config
from opens2s_core.models.lora import has_lora, lora_config, lora_parts, merge_weight, plain_lora_config
from opens2s_core.models.opens2s import OpenS2S
from opens2s_core.training.batch import Batch
from opens2s_core.training.fit import TrainConfig, prepare_model
from opens2s_core.training.losses import LossModel, LossSums

_TAG = "state"


class DeepSpeedBackend:
    """One rank of a ZeRO run (stage 0 to 2) over the process group that Ray Train has set up."""

    def __init__(self, model: OpenS2S, config: TrainConfig, *, rank: int, world: int, zero_stage: int) -> None:
        self.model, self.rank, self.world = prepare_model(model, config), rank, world
        self._micro_batches = config.plan.micro_batches_per_step
        # On CPUs DeepSpeed would first compile an extension of its own, which needs a compiler and most of a minute.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        settings: dict[str, Any] = {
            "train_micro_batch_size_per_gpu": 1,
            "gradient_accumulation_steps": self._micro_batches // world,
            "gradient_clipping": config.max_grad_norm,
            "zero_optimization": {"stage": zero_stage},
            "zero_allow_untested_optimizer": True,
        }
        wrapped = LossModel(model)
        self._engine, *_ = deepspeed.initialize(model=wrapped, optimizer=config.optimizer(wrapped), config=settings)

    def losses(self, batch: Batch) -> LossSums:
        return self._engine(batch)

    def backward(self, loss: Tensor, *, last: bool) -> None:
        # DeepSpeed averages over micro-batches and ranks; the loop's losses are shares of one sum.
        self._engine.backward(loss * self._micro_batches)
        if not last:
            self._engine.step()  # only counts the micro-batch; the optimizer step follows the last one

    def step(self, learning_rate: float) -> None:
        for group in self._engine.optimizer.param_groups:
            group["lr"] = learning_rate
        self._engine.step()

    def save(self, directory: Path, step: int) -> None:
        """Write this rank's part of a checkpoint; all ranks must call it."""
        self._engine.save_checkpoint(str(directory), tag=_TAG, client_state={"step": step})
        if self.rank == 0 and has_lora(self.model.thinker):
            write_json(directory / ADAPTER_CONFIG, lora_config(self.model.thinker))

    def load(self, directory: Path) -> int:
        """Restore this rank from a merged checkpoint; returns the steps it has done.

        ``ValueError`` where the run began with another LoRA than this one has.
        """
        thinker = self.model.thinker
        own = plain_lora_config(lora_config(thinker), "this run") if has_lora(thinker) else {}
        if (saved := _saved_lora(directory)) != own:
            raise ValueError(
                f"{directory}: expected the LoRA that the run began with, {saved or None}, got {own or None}"
            )
        _, state = self._engine.load_checkpoint(str(directory), tag=_TAG)
        return int(state["step"])


def load_zero_weights(directory: Path) -> dict[str, Tensor]:
    """Full-precision weights of a merged checkpoint directory, in the names of :class:`OpenS2S`.

    LoRA is added to the weights that it belongs to. The tensors may share the file's memory map.
    """
    # Every rank holds all weights up to ZeRO-2, frozen ones among them, which DeepSpeed's own reader forgets in ZeRO-1.
    saved = torch.load(directory / _TAG / "mp_rank_00_model_states.pt", weights_only=True, mmap=True)["module"]
    if other := sorted({str(value.dtype) for value in saved.values()} - {"torch.float32"}):
        raise ValueError(
            f"{directory}: expected weights in float32, got {other}: the full-precision ones are elsewhere"
        )
    state = {name.removeprefix("model."): value for name, value in saved.items()}
    config = _saved_lora(directory)
    return {
        name: merge_weight(name, [state[part] for part in parts], config) for name, parts in lora_parts(state).items()
    }


def _saved_lora(directory: Path) -> dict[str, Any]:
    return read_lora_config(directory) if (directory / ADAPTER_CONFIG).exists() else {}
