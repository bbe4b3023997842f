"""The memory of a training step on one GPU, from sizes alone: no weights, no GPU.

Weights, gradients and optimizer states are counted from the parameters, activations from what autograd keeps of each
layer. The buffers are those of DeepSpeed 0.19 with its default settings.
"""
# T positions, D width, A and G widths of all query and all key heads, F width of the feed-forward layer

from dataclasses import dataclass

from torch import nn
from transformers import Qwen2AudioEncoderConfig, Qwen3Config, Qwen3ForCausalLM

from opens2s_core.audio import SEGMENT_FRAMES
from opens2s_core.checkpoint.modules import build_empty
from opens2s_core.models.opens2s import OpenS2S
from opens2s_core.models.opens2s_config import OpenS2SConfig
from opens2s_core.training.engine import Precision
from opens2s_core.training.flops import Work
from opens2s_core.training.losses import BLOCKS
from opens2s_core.training.objective import Objective
from opens2s_core.training.plan import PlanConfig
from opens2s_core.training.stages import StageConfig

_BYTES: dict[Precision, int] = {"float32": 4, "bfloat16": 2}
_FRAMES_PER_POSITION = 8
"""Frames of the audio encoder's layers (50 Hz) for an LLM position of audio (6.25 Hz)."""
_BUCKET = 500_000_000  # elements of DeepSpeed's buffer for the reduction of gradients
_LIVE = 1_000_000_000  # elements of the weights that ZeRO 3 keeps gathered
_SUB_GROUP = 1_000_000_000  # elements of a rank that ZeRO 3 updates at a time


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryPlan:
    """Bytes on one GPU. ``start`` is the peak while the engine is built; CUDA's own memory is not counted."""

    weights: int
    teacher: int  # the weights of an external teacher, which ZeRO does not share
    gradients: int
    masters: int  # the trained weights in float32
    moments: int  # of Adam
    communication: int  # buffers of DeepSpeed
    activations: int  # at most, in forward and backward passes
    logits: int  # at most, and their gradients
    update: int  # float32 gradients and temporary values of the optimizer's step
    start: int

    @property
    def states(self) -> int:
        """What stays from step to step."""
        return self.weights + self.teacher + self.gradients + self.masters + self.moments

    @property
    def total(self) -> int:
        """The peak."""
        step = self.states + self.communication + max(self.activations + self.logits, self.update)
        return max(step, self.start)


def planned_objective(config: OpenS2SConfig, stage: StageConfig, teacher: Qwen3Config | None = None) -> Objective:
    """The objective of a stage without values, on the meta device; ``teacher`` has the sizes of an external teacher."""

    def build() -> Objective:
        return Objective(OpenS2S(config), stage, seed=0, teacher=None if teacher is None else Qwen3ForCausalLM(teacher))

    return build_empty(build)


def full_micro_batch(config: OpenS2SConfig, stage: StageConfig, plan: PlanConfig, clips: int) -> Work:
    """The most that a micro-batch of samples within the budgets takes. ``clips`` counts where each is padded to 30 s.

    A sample that exceeds a budget alone, and so gets a micro-batch of its own, takes more.
    """
    positions = plan.micro_batch_positions if stage.uses_audio else 0
    speech = plan.micro_batch_speech_positions if "units" in stage.losses else 0
    return Work(
        frames=encoder_frames(config, clips, positions) if stage.uses_audio else 0,
        positions=positions if stage.uses_llm else 0,
        text_labels=positions if "text" in stage.losses else 0,
        speech_positions=speech,
        unit_labels=speech,
    )


def encoder_frames(config: OpenS2SConfig, clips: int, positions: int) -> int:
    """The frames that the audio encoder's layers compute for ``clips`` of up to 30 s, which take at most ``positions``
    of the LLM."""
    if config.audio_padding == "full":
        return clips * SEGMENT_FRAMES // 2
    return positions * _FRAMES_PER_POSITION


def plan_memory(
    objective: Objective,
    work: Work,
    *,
    zero_stage: int,
    workers: int,
    precision: Precision = "bfloat16",
    activation_checkpointing: bool = True,
) -> MemoryPlan:
    """The memory of each of ``workers`` GPUs for micro-batches of at most ``work``."""
    size = _BYTES[precision]
    parameters = list(objective.parameters())
    trained = [parameter.numel() for parameter in parameters if parameter.requires_grad]
    whole = sum(parameter.numel() for parameter in parameters) * size
    shared = 1 if zero_stage == 0 else workers
    own = sum(_share(numel, shared) for numel in trained)
    groups = [
        sum(parameter.numel() for parameter in group["params"])
        for group in objective.parameter_groups(weight_decay=0.1)
    ]
    has_masters = precision != "float32" or zero_stage > 0  # without ZeRO, float32 weights are their own
    weights = sum(_share(parameter.numel(), workers) for parameter in parameters) * size if zero_stage == 3 else whole
    masters = own * 4 if has_masters else 0
    teacher = 0
    if objective.stage.external_teacher:
        teacher = sum(parameter.numel() for parameter in objective.teacher.parameters()) * size
    return MemoryPlan(
        weights=weights,
        teacher=teacher,
        gradients=(sum(trained) if zero_stage < 2 else own) * size,
        masters=masters,
        moments=own * 8,
        communication=_communication(parameters, zero_stage, size),
        activations=_activations(objective, work, size, activation_checkpointing),
        logits=_logits(objective, work, size),
        update=_update(sum(trained), own, groups, zero_stage, workers),
        # ZeRO 3 shares weights that are on the GPU.
        start=whole + teacher + masters + (weights if zero_stage == 3 else 0),
    )


def _share(numel: int, workers: int) -> int:
    return -(-numel // workers)


def _communication(parameters: list[nn.Parameter], zero_stage: int, size: int) -> int:
    if zero_stage == 0:
        return 0
    # A gradient above the size of the buffer is reduced by itself.
    buffers = max(_BUCKET, *(parameter.numel() for parameter in parameters)) * size
    if zero_stage < 3:
        return buffers
    live = min(_LIVE, sum(parameter.numel() for parameter in parameters)) * size
    return 2 * buffers + live  # ZeRO 3 fills one buffer while it reduces the other


def _update(trained: int, own: int, groups: list[int], zero_stage: int, workers: int) -> int:
    """Gradients in float32, and the roots of the second moments of the parameters that are updated together."""
    if zero_stage == 0:
        return 4 * trained + 4 * max(groups)
    together = _share(max(groups), workers) if zero_stage < 3 else min(own, _SUB_GROUP)
    return 8 * together


def _logits(objective: Objective, work: Work, size: int) -> int:
    """Of one block of labels: logits, in float32 too, their log softmax, and the gradients of logits."""
    stage, config = objective.stage, objective.model.config
    each = size + 4 + 4 + 4 + size if size < 4 else 12
    text = _share(work.text_labels, BLOCKS) * config.llm.vocab_size * each
    if stage.distillation is not None:  # those of the teacher, and the distribution between both
        vocabularies = config.llm.vocab_size + objective.teacher.config.vocab_size
        text = _share(work.positions, BLOCKS) * vocabularies * each
    return max(text, _share(work.unit_labels, BLOCKS) * config.speech_decoder.vocab_size * each)


def _activations(objective: Objective, work: Work, size: int, checkpointing: bool) -> int:
    """What the backward pass needs: of all layers, or of one layer and the inputs of the others."""
    config, stage = objective.model.config, objective.stage
    trained = stage.rates.keys()
    trains_encoder = "audio_encoder" in trained
    below_llm = bool({"audio_encoder", "adapter", "llm"} & trained) and stage.uses_llm
    encoder, llm, decoder = config.audio_encoder, config.llm, config.speech_decoder
    parts = [  # bytes of a layer and of its input for each position, layers, positions, whether gradients pass
        (_encoder_layer(encoder, size), encoder.d_model * size, encoder.encoder_layers, work.frames, trains_encoder),
        (_qwen3_layer(llm, size), llm.hidden_size * size, llm.num_hidden_layers, work.positions, below_llm),
        (
            _qwen3_layer(decoder, size),
            decoder.hidden_size * size,
            decoder.num_hidden_layers,
            work.speech_positions,
            "units" in stage.losses,
        ),
    ]
    kept, passing = 0, 0
    for layer, inputs, layers, positions, has_gradient in parts:
        if has_gradient:
            kept += layers * positions * (inputs if checkpointing else layer)
        if checkpointing or not has_gradient:
            passing = max(passing, positions * layer)
    if stage.external_teacher:
        passing = max(passing, work.positions * _qwen3_layer(objective.teacher.config, size))
    adapter = _adapter(config, size) * work.frames // 2 if stage.uses_adapter and below_llm else 0
    return kept + passing + adapter + _around_layers(config, work, size)


def _qwen3_layer(config: Qwen3Config, size: int) -> int:
    """Bytes for each position: two norms and those of queries and keys, each in float32 and in its own type, the
    inputs of the linear layers, attention and the gated feed-forward layer."""
    width, ffn = config.hidden_size, config.intermediate_size
    head = config.head_dim or width // config.num_attention_heads
    queries, keys = config.num_attention_heads * head, (config.num_key_value_heads or config.num_attention_heads) * head
    norms = 2 * width * (4 + 2 * size) + (queries + keys) * (4 + size)
    return norms + size * (2 * queries + 2 * keys + 4 * ffn)


def _encoder_layer(config: Qwen2AudioEncoderConfig, size: int) -> int:
    """Bytes for each frame: two norms with their inputs, queries, keys, values, attention, two linear layers."""
    return size * (8 * config.d_model + 2 * config.encoder_ffn_dim)


def _adapter(config: OpenS2SConfig, size: int) -> int:
    """Bytes for each frame of 25 Hz: inputs and outputs of the convolutions, GLU, bottleneck, norm."""
    encoder, llm = config.audio_encoder.d_model, config.llm.hidden_size
    return size * (2 * encoder + 2 * encoder + (encoder + 6 * llm + 3 * config.adapter_inner_dim) // 2)


def _around_layers(config: OpenS2SConfig, work: Work, size: int) -> int:
    """Embeddings, log-mel features and convolutions before the encoder's layers, last norms, inputs of the speech
    decoder, and the states at labels."""
    llm, decoder = config.llm.hidden_size, config.speech_decoder.hidden_size
    return (
        work.frames * size * (6 * config.audio_encoder.d_model + 2 * config.audio_encoder.num_mel_bins)
        + work.positions * llm * (4 + 5 * size)
        + work.speech_positions * decoder * (4 + 7 * size)
    )
