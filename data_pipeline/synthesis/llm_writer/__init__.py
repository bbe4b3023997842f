"""Dialogues written by a language model behind an OpenAI-compatible endpoint."""

from data_pipeline.synthesis.llm_writer.topics import TOPICS as TOPICS
from data_pipeline.synthesis.llm_writer.writer import LLMWriter as LLMWriter
from data_pipeline.synthesis.llm_writer.writer import LLMWriterConfig as LLMWriterConfig
