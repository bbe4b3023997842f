"""Speech to text: Whisper, PocketSphinx, and endpoints with OpenAI's transcriptions."""

from data_pipeline.synthesis.recognisers.opening import open_recogniser

__all__ = ["open_recogniser"]
