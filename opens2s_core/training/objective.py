"""The losses of a training stage as one module, for wrappers of training frameworks.

Every module that a stage uses runs on every rank in every micro-batch, whatever the samples: with ZeRO-3 a rank that
skips one would stop all others.
"""
# T positions, D width, N labels

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import Qwen3ForCausalLM

from opens2s_core.config import ConfigError
from opens2s_core.models.lora import add_lora, lora_layers
from opens2s_core.models.opens2s import OpenS2S
from opens2s_core.models.speech_decoder import SpeechLM
from opens2s_core.prompt import AUDIO_SLOT, IGNORED
from opens2s_core.training.batch import Batch, TeacherText
from opens2s_core.training.distillation import DistillationConfig, distillation_sum
from opens2s_core.training.emotions import EMOTIONS
from opens2s_core.training.heads import CTCHead, EmotionHead, ctc_errors, ctc_sum, emotion_hits, emotion_sum
from opens2s_core.training.losses import BLOCKS, cross_entropy_sum, llm_hidden_states, speech_inputs
from opens2s_core.training.packing import packed_hidden_states
from opens2s_core.training.schedule import freeze_except, parameter_groups
from opens2s_core.training.stages import StageConfig

_PARTS: dict[str, tuple[str, ...]] = {
    "audio_encoder": ("model.thinker.audio_encoder_model",),
    "adapter": ("model.thinker.audio_adapter",),
    "llm": ("model.thinker.llm_model",),
    "projection": ("model.speech_decoder.llm2tts", "model.speech_decoder.llm_ln"),
    "speech_decoder": ("model.speech_decoder.tts_lm_model",),
    "ctc_head": ("ctc_head",),
    "emotion_head": ("emotion_head",),
}


class Objective(nn.Module):
    """A model with the heads of a stage; parameters of parts that the stage does not train are frozen.

    ``seed`` initialises heads and LoRA. ``teacher`` is the LLM of a stage with an external teacher, needed to compute
    its losses alone; it moves with the objective to devices and types but is no part of it: its weights are in no state
    and belong to no optimizer.
    """

    def __init__(
        self, model: OpenS2S, stage: StageConfig, *, seed: int, teacher: Qwen3ForCausalLM | None = None
    ) -> None:
        super().__init__()
        if teacher is not None and not stage.external_teacher:
            raise ConfigError(f"{stage.name}: expected no teacher, external_teacher is {stage.external_teacher}")
        self.model, self.stage = model, stage
        self._teacher = () if teacher is None else (teacher.eval().requires_grad_(False),)  # a tuple: no submodule
        encoder, llm = model.config.audio_encoder.d_model, model.config.llm.hidden_size
        if "ctc" in stage.losses:
            self.ctc_head = CTCHead(encoder, seed=seed)
        if "emotion" in stage.losses:
            width = encoder if stage.emotion_from == "audio_encoder" else llm
            self.emotion_head = EmotionHead(width, len(EMOTIONS), seed=seed)
        freeze_except(self, [name for part in stage.rates for name in _PARTS[part]])
        if stage.lora is not None:
            add_lora(model.thinker, stage.lora, seed=seed)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Objective":
        """What ``to`` and its kin call: the teacher follows."""
        for teacher in self._teacher:
            teacher._apply(fn, recurse)
        super()._apply(fn, recurse)
        return self

    def train(self, mode: bool = True) -> "Objective":
        """Frozen parts have no dropout."""
        super().train(mode)
        for part in _PARTS.keys() - self.stage.rates.keys():
            for name in _PARTS[part]:
                if hasattr(self, name.partition(".")[0]):
                    self.get_submodule(name).eval()
        # Gradients may pass through a frozen LLM. Its activations are checkpointed if the layers themselves (not what
        # is in them) are in training mode.
        for layer in self.model.thinker.llm_model.model.layers:
            layer.training = mode
        return self

    def checkpoint_activations(self) -> None:
        """Keep the inputs of transformer layers alone, and compute the layers again in the backward pass."""
        for model in (self.model.thinker.audio_encoder_model, self.model.thinker.llm_model, self._speech_lm):
            model.gradient_checkpointing_enable({"use_reentrant": False})
            # It lets the outputs of embeddings require gradients, and then those of a frozen LLM would be computed.
            model.disable_input_require_grads()

    @property
    def teacher(self) -> Qwen3ForCausalLM:
        """The LLM whose probabilities are learned in distillation: the model's own one, or another."""
        (teacher,) = self._teacher or (self.model.thinker.llm_model,)
        return teacher

    @property
    def _speech_lm(self) -> SpeechLM:
        return self.model.speech_decoder.tts_lm_model

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """The trained parameters by part, see :func:`~opens2s_core.training.schedule.parameter_groups`."""
        parts: dict[str, nn.Module] = {
            part: nn.ModuleList(map(self.get_submodule, _PARTS[part])) for part in self.stage.rates
        }
        return parameter_groups(parts, self.stage.rates, weight_decay)

    def counts(self, batch: Batch) -> dict[str, int]:
        """The number of labels of each loss of the stage in a batch."""
        counts = batch.counts()
        if self.stage.text_of == "written":
            counts["text"] = int((_written_labels(batch) != IGNORED).sum())
        return {loss: counts[loss] for loss in self.stage.losses}

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Each loss of the stage summed over its labels, scalars with gradient. A loss without labels is zero, with
        zero gradient.

        Without gradients, as in validation, there are also ``ctc_errors``, see
        :func:`~opens2s_core.training.heads.ctc_errors`, and ``emotion_hits``, the clips whose emotion is recognised.
        """
        stage, thinker = self.stage, self.model.thinker
        sums: dict[str, Tensor] = {}
        audio: list[Tensor] = []
        if stage.uses_audio:
            frames = thinker.audio_encoder_model.encode(batch.audio)
            if "ctc" in stage.losses:
                transcripts = batch.transcripts or [b""]
                sums["ctc"] = ctc_sum(self.ctc_head, frames, transcripts)
                if not torch.is_grad_enabled():
                    sums["ctc_errors"] = sums["ctc"].new_tensor(ctc_errors(self.ctc_head, frames, transcripts))
            if stage.uses_adapter:
                audio = thinker.audio_adapter.adapt(frames)
            if "emotion" in stage.losses:
                sums |= self._emotion(frames if stage.emotion_from == "audio_encoder" else audio, batch)
        return sums | self.given_audio(batch, audio)

    def given_audio(self, batch: Batch, audio: list[Tensor]) -> dict[str, Tensor]:
        """The losses behind the adapter: ``audio`` is a list of (audio_positions, D_llm) for the clips of ``batch``."""
        stage, thinker = self.stage, self.model.thinker
        sums: dict[str, Tensor] = {}
        hidden = llm_hidden_states(thinker, batch, audio) if stage.uses_llm else None
        if "text" in stage.losses:
            assert hidden is not None
            labels = batch.labels if stage.text_of == "all" else _written_labels(batch)
            sums["text"] = cross_entropy_sum(hidden, labels, thinker.llm_model.lm_head)
        if stage.distillation is not None:
            assert hidden is not None
            assert batch.teacher is not None
            sums["distillation"] = self._distillation(hidden, batch.teacher, stage.distillation)
        if "units" in stage.losses:
            lm = self._speech_lm
            inputs = speech_inputs(self.model.speech_decoder, hidden, batch.replies)
            spoken = packed_hidden_states(lm.model, inputs, batch.replies.packing)
            sums["units"] = cross_entropy_sum(spoken, batch.replies.labels, lm.lm_head)
        return sums

    def _emotion(self, clips: list[Tensor], batch: Batch) -> dict[str, Tensor]:
        logits = self.emotion_head(torch.cat(clips), [len(clip) for clip in clips])
        emotions = batch.emotions if len(batch.emotions) else torch.full((1,), IGNORED, device=logits.device)
        sums = {"emotion": emotion_sum(logits, emotions)}
        if not torch.is_grad_enabled():
            sums["emotion_hits"] = logits.new_tensor(emotion_hits(logits, emotions)[0])
        return sums

    def _distillation(self, hidden: Tensor, text: TeacherText, config: DistillationConfig) -> Tensor:
        llm = self.model.thinker.llm_model
        if self.stage.external_teacher and not self._teacher:
            raise ConfigError(f"{self.stage.name}: expected a teacher, external_teacher is True")
        teacher = self.teacher
        with torch.no_grad(), without_lora(teacher):
            embeddings = teacher.get_input_embeddings()(text.input_ids)
            states = packed_hidden_states(teacher.model, embeddings, text.packing).index_select(0, text.predicts)
        student = hidden.index_select(0, text.student)
        heads = (teacher.lm_head, llm.lm_head)
        blocks = zip(states.tensor_split(BLOCKS), student.tensor_split(BLOCKS), strict=True)
        sums = [checkpoint(_block_distillation, *heads, *block, config, use_reentrant=False) for block in blocks]
        return torch.stack(sums).sum()


def _block_distillation(
    teacher_head: nn.Module, head: nn.Module, teacher: Tensor, student: Tensor, config: DistillationConfig
) -> Tensor:
    with torch.no_grad():
        teacher_logits = teacher_head(teacher)
    return distillation_sum(teacher_logits, head(student), config)


def _written_labels(batch: Batch) -> Tensor:
    """The labels (T,) of samples without clips; those of others are IGNORED."""
    lengths = batch.packing.starts.diff().long()
    sample = torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)
    has_clip = torch.zeros_like(lengths).index_add(0, sample, (batch.input_ids == AUDIO_SLOT).long()) > 0
    return batch.labels.masked_fill(has_clip[sample], IGNORED)


@contextmanager
def without_lora(llm: Qwen3ForCausalLM) -> Iterator[None]:
    """Within the block the LLM computes as before LoRA was added to it."""
    layers = list(lora_layers(llm).values()) if hasattr(llm, "peft_config") else []
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)
