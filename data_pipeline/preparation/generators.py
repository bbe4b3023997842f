"""The stage of the language model that writes continuations, by the kind of its configuration."""

from functools import partial
from importlib.util import find_spec

from data_pipeline.preparation.llm import ProcessorStage
from data_pipeline.preparation.models import ActorStage, ModelStage, PoolConfig
from data_pipeline.preparation.vllm_engine import VLLMEngine, VLLMGeneratorConfig
from data_pipeline.steps.continuation import ContinuationKind, Continuations, TextGenerator
from data_pipeline.steps.openai_generator import OpenAIGenerator, OpenAIGeneratorConfig
from data_pipeline.steps.transformers_generator import TransformersGenerator, TransformersGeneratorConfig

GeneratorConfig = OpenAIGeneratorConfig | TransformersGeneratorConfig | VLLMGeneratorConfig

_CONTINUATION = "continuation"


def missing_software(config: GeneratorConfig) -> str | None:
    """What has to be installed for a generator, and is not."""
    if isinstance(config, VLLMGeneratorConfig) and find_spec("vllm") is None:
        return (
            f"vLLM, which should run {config.model}, is not installed: install `vllm`, or use the generator by "
            "transformers or by an endpoint"
        )
    return None


def continuation_stage(
    config: GeneratorConfig, kind: ContinuationKind, pool: PoolConfig, fingerprint: str
) -> ModelStage:
    if isinstance(config, VLLMGeneratorConfig):
        return ProcessorStage(
            name=_CONTINUATION,
            field=_CONTINUATION,
            pool=pool,
            fingerprint=fingerprint,
            kind=kind,
            engine=VLLMEngine(config),
        )
    return ActorStage(
        name=_CONTINUATION,
        field=_CONTINUATION,
        pool=pool,
        fingerprint=fingerprint,
        build=partial(_load_continuations, config, kind),
    )


def _load_continuations(
    config: OpenAIGeneratorConfig | TransformersGeneratorConfig, kind: ContinuationKind
) -> Continuations:
    return Continuations(_load(config), kind)


def _load(config: OpenAIGeneratorConfig | TransformersGeneratorConfig) -> TextGenerator:
    if isinstance(config, OpenAIGeneratorConfig):
        return OpenAIGenerator(config)
    return TransformersGenerator(config)
