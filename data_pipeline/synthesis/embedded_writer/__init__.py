"""A writer that needs no model: a grammar of everyday topics, and replies that depend on words and emotion."""

from data_pipeline.synthesis.embedded_writer.scene import EMOTIONS, TONES
from data_pipeline.synthesis.embedded_writer.system_prompts import SYSTEM_PROMPTS
from data_pipeline.synthesis.embedded_writer.writer import EmbeddedWriter

__all__ = ["EMOTIONS", "SYSTEM_PROMPTS", "TONES", "EmbeddedWriter"]
