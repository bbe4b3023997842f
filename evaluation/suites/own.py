"""The suites of this project, and the sets that are read by a mapping."""

from collections.abc import Callable
from functools import partial

from evaluation.scores import Suite
from evaluation.suites.feeling_swap import FeelingSwapSuite
from evaluation.suites.mapped import MappedSuite
from evaluation.suites.mapping import known_mappings
from evaluation.suites.speech import SpeechSuite
from evaluation.suites.tiny import TinySuite

SUITES: dict[str, Callable[[], Suite]] = {
    SpeechSuite.name: SpeechSuite,
    FeelingSwapSuite.name: FeelingSwapSuite,
    TinySuite.name: TinySuite,
    **{name: partial(MappedSuite, mapping) for name, mapping in known_mappings().items()},
}
"""By name."""
