"""The language model that writes continuations, by the kind of its configuration."""

from data_pipeline.steps.continuation import ContinuationKind, Continuations, TextGenerator
from data_pipeline.steps.openai_generator import OpenAIGenerator, OpenAIGeneratorConfig
from data_pipeline.steps.transformers_generator import TransformersGenerator, TransformersGeneratorConfig
from data_pipeline.steps.vllm_generator import VLLMGenerator, VLLMGeneratorConfig

GeneratorConfig = OpenAIGeneratorConfig | TransformersGeneratorConfig | VLLMGeneratorConfig


def load_continuations(config: GeneratorConfig, kind: ContinuationKind) -> Continuations:
    return Continuations(_load(config), kind)


def _load(config: GeneratorConfig) -> TextGenerator:
    if isinstance(config, OpenAIGeneratorConfig):
        return OpenAIGenerator(config)
    if isinstance(config, VLLMGeneratorConfig):
        return VLLMGenerator(config)
    return TransformersGenerator(config)
