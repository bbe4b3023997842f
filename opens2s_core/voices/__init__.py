"""The voice that is part of the package, for models without a trained voice."""

from pathlib import Path

SLT = Path(__file__).parent / "slt"
"""``speech_tokenizer/``, ``token2wav/`` and a model card: flite's voice ``slt``, trained with ``voice-tiny``."""
HELD_OUT = SLT / "held_out"
"""A speech corpus of sentences outside its training data."""
