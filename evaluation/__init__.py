"""Evaluation of speech-to-speech models: suites of items, models that answer them, judges, scores and reports."""
