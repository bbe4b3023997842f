"""Judges: asking them, what it costs, comparison of two models by them, and how far two judges agree."""
