"""The largest request that can be served at all."""

from dataclasses import replace

from opens2s_core.checkpoint.bundle import BundleInfo
from serve_app.config import Limits, ServeConfig

_CHARS_PER_TOKEN = 16
"""More than text has on average in any language: only what cannot fit is refused here, the thinker knows exactly."""


def fitting_limits(config: ServeConfig, info: BundleInfo) -> Limits:
    """The configured limits, but no more than fits the context of the stage that reads the conversation."""
    limits = config.limits
    first = next(spec.name for spec in config.model_family.stages if spec.input_type is None)
    context = min(config.stages[first].context, info.context or config.stages[first].context)
    seconds = context / info.audio_positions if info.audio_positions else limits.max_audio_seconds
    return replace(
        limits,
        max_audio_seconds=min(limits.max_audio_seconds, seconds),
        max_text_chars=min(limits.max_text_chars, context * _CHARS_PER_TOKEN),
        max_tokens=min(limits.max_tokens, context),
    )
