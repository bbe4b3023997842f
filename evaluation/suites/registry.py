"""The suites by name."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from evaluation.scores import Suite
from evaluation.suites.feeling_swap import FeelingSwapSuite
from evaluation.suites.mapped import MappedSuite
from evaluation.suites.mapping import known_mappings
from evaluation.suites.recognition import EmotionRecognition, SpeechRecognition
from evaluation.suites.speech import SpeechSuite
from evaluation.suites.tiny import TinySuite
from evaluation.suites.uro_bench import open_uro
from evaluation.suites.uro_sets import URO_SETS
from evaluation.suites.voicebench import open_voicebench
from evaluation.suites.voicebench_files import ROWS

Factory = Callable[..., Suite]

SUITES: Mapping[str, Factory] = {
    **{f"voicebench-{subset}": partial(open_voicebench, subset) for subset in ROWS},
    **{name: partial(open_uro, name) for name in URO_SETS},
    "asr": SpeechRecognition,
    "ser": EmotionRecognition,
    SpeechSuite.name: SpeechSuite,
    FeelingSwapSuite.name: FeelingSwapSuite,
    TinySuite.name: TinySuite,
    **{name: partial(MappedSuite, mapping) for name, mapping in known_mappings().items()},
}
"""Functions that open a suite; their keyword arguments are its settings."""


def open_suite(name: str, **settings: Any) -> Suite:
    """The suite ``name``. Raises ``ValueError`` for an unknown name, ``TypeError`` for a setting it does not have."""
    if name not in SUITES:
        raise ValueError(f"unknown suite {name!r}, expected one of {', '.join(SUITES)}")
    return SUITES[name](**settings)
