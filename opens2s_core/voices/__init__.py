"""The voice that comes with the package, so that a model can speak before anyone has trained a voice."""

from pathlib import Path

SLT = Path(__file__).parent / "slt"
"""``speech_tokenizer/`` and ``token2wav/``, and a card with its scores: flite's ``slt``, learned by ``voice-tiny``."""
HELD_OUT = SLT / "held_out"
"""A spoken corpus of sentences that it never saw."""
