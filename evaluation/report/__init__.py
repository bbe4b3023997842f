"""Reports of evaluations: one of a run, and one that compares runs, each as a JSON file and an HTML page."""

from evaluation.report.build import build_report
from evaluation.report.comparison import compare

__all__ = ["build_report", "compare"]
