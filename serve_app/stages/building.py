"""From the configuration of a stage to its engine, inside the stage's replica."""

from opens2s_core.inference.engine import Engine
from opens2s_core.inference.lm_settings import LMSettings
from opens2s_core.inference.loading import EngineSettings, build_engine
from serve_app.config import StageConfig


def build_stage_engine(stage: str, bundle: str, config: StageConfig) -> Engine:
    """The engine of one stage of the bundle, a directory or URL."""
    settings = LMSettings(context=config.context, prefill_tokens=config.prefill_tokens, fixed_width=config.fixed_width)
    return build_engine(
        stage,  # type: ignore[arg-type]
        bundle,
        capacity=config.capacity,
        settings=EngineSettings(thinker=settings, speech_decoder=settings),
    )
