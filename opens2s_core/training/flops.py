"""Floating-point operations of a training step, counted from parameters and positions, and the peak of a device."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import nn

from opens2s_core.prompt import IGNORED
from opens2s_core.training.batch import Batch
from opens2s_core.training.objective import Objective

PEAKS = {"B200": 2.25e15, "H200": 9.89e14, "H100": 9.89e14, "A100": 3.12e14, "L40S": 3.62e14, "L4": 1.21e14}
"""Dense bfloat16 FLOP/s by a part of the device's name, from the vendor's data sheets."""


def peak_flops(device: torch.device) -> float | None:
    """FLOP/s in bfloat16; None for a device that is not in the table."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in PEAKS.items() if part in name), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What a micro-batch takes of each part of the model."""

    frames: int  # of the audio encoder's layers (50 Hz)
    positions: int  # of the LLM
    text_labels: int
    speech_positions: int
    unit_labels: int

    def __add__(self, other: "Work") -> "Work":
        return Work(**{own.name: getattr(self, own.name) + getattr(other, own.name) for own in fields(Work)})


def work_of(batch: Batch) -> Work:
    """Without padding and dummies."""
    units = int((batch.replies.labels != IGNORED).sum())
    return Work(
        frames=0 if batch.audio_is_dummy else (sum(batch.audio.segment_frames()) + 1) // 2,
        positions=len(batch.input_ids),
        text_labels=int((batch.labels != IGNORED).sum()),
        speech_positions=len(batch.replies.order) if units else 0,
        unit_labels=units,
    )


def step_flops(objective: Objective, batches: Sequence[Batch]) -> float:
    """FLOPs of forward and backward passes over some micro-batches, see :func:`flops`."""
    return sum(flops(objective, work_of(batch)) for batch in batches)


def flops(objective: Objective, work: Work) -> float:
    """FLOPs of forward and backward passes.

    Per position and parameter 2 for the forward pass, 2 more where the gradient passes through, 2 more where the
    parameter is trained. Attention over positions, adapter, heads and LoRA are not counted, nor is the second forward
    pass of activation checkpointing. A teacher's forward pass is taken to have the student's positions, a little more
    than it has.
    """
    stage, thinker = objective.stage, objective.model.thinker
    lm = objective.model.speech_decoder.tts_lm_model
    trained = stage.rates.keys()
    llm_is_trained = "llm" in trained and stage.lora is None
    through_llm = bool(trained & {"audio_encoder", "adapter", "llm"})
    total = 0.0
    if stage.uses_audio:
        total += _flops(thinker.audio_encoder_model, work.frames, "audio_encoder" in trained)
    if stage.uses_llm:
        total += _flops(thinker.llm_model.model.layers, work.positions, llm_is_trained, through_llm)
        if stage.losses.keys() & {"text", "distillation"}:
            total += _flops(thinker.llm_model.lm_head, work.text_labels, llm_is_trained, through_llm)
        if stage.distillation is not None:
            total += _flops(objective.teacher.model.layers, work.positions, False)
            total += _flops(objective.teacher.lm_head, work.text_labels, False)
    if "units" in stage.losses:
        total += _flops(lm.model.layers, work.speech_positions, "speech_decoder" in trained)
        total += _flops(lm.lm_head, work.unit_labels, "speech_decoder" in trained)
    return total


def _flops(module: nn.Module, positions: int, is_trained: bool, passes_gradient: bool = False) -> float:
    parameters = sum(getattr(parameter, "ds_numel", parameter.numel()) for parameter in module.parameters())
    return positions * parameters * (2.0 + 2.0 * (is_trained or passes_gradient) + 2.0 * is_trained)
