"""Suites: published evaluation sets and their scores, and recognition over prepared data."""

from evaluation.suites.registry import SUITES, open_suite

__all__ = ["SUITES", "open_suite"]
