"""Floating-point operations of a training step, counted from parameters and positions, and the peak of a device."""

from collections.abc import Sequence

import torch
from torch import nn

from opens2s_core.prompt import IGNORED
from opens2s_core.training.batch import Batch
from opens2s_core.training.objective import Objective

_PEAKS = {"B200": 2.25e15, "H200": 9.89e14, "H100": 9.89e14, "A100": 3.12e14, "L40S": 3.62e14, "L4": 1.21e14}
"""Dense bfloat16 FLOP/s by a part of the device's name, from the vendor's data sheets."""


def peak_flops(device: torch.device) -> float | None:
    """FLOP/s in bfloat16; None for a device that is not in the table."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in _PEAKS.items() if part in name), None)


def step_flops(objective: Objective, batches: Sequence[Batch]) -> float:
    """FLOPs of forward and backward passes over some micro-batches.

    Per position and parameter 2 for the forward pass, 2 more where the gradient passes through, 2 more where the
    parameter is trained. Attention over positions, adapter and heads are not counted, nor is the second forward pass of
    activation checkpointing; dummies are not counted either.
    """
    stage, thinker = objective.stage, objective.model.thinker
    lm = objective.model.speech_decoder.tts_lm_model
    trained = stage.rates.keys()
    through_llm = bool(trained & {"audio_encoder", "adapter", "llm"}) and stage.uses_llm
    total = 0.0
    for batch in batches:
        if stage.uses_audio and not batch.audio_is_dummy:
            total += _flops(
                thinker.audio_encoder_model, (sum(batch.audio.segment_frames()) + 1) // 2, "audio_encoder" in trained
            )
        if stage.uses_llm:
            total += _flops(thinker.llm_model.model.layers, len(batch.input_ids), "llm" in trained, through_llm)
            labels = int((batch.labels != IGNORED).sum()) if "text" in stage.losses else 0
            total += _flops(thinker.llm_model.lm_head, labels, "llm" in trained, through_llm)
        if "units" in stage.losses:
            learned = int((batch.replies.labels != IGNORED).sum())
            if learned:
                total += _flops(lm.model.layers, len(batch.replies.order), "speech_decoder" in trained)
                total += _flops(lm.lm_head, learned, "speech_decoder" in trained)
    return total


def _flops(module: nn.Module, positions: int, is_trained: bool, passes_gradient: bool = False) -> float:
    parameters = sum(getattr(parameter, "ds_numel", parameter.numel()) for parameter in module.parameters())
    return positions * parameters * (2.0 + 2.0 * (is_trained or passes_gradient) + 2.0 * is_trained)
