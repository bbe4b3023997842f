"""The suites by name."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from evaluation.scores import Suite
from evaluation.suites.feeling_swap import FeelingSwapSuite
from evaluation.suites.mapped import MappedSuite, suite_of_mapping
from evaluation.suites.mapping import known_mappings
from evaluation.suites.recognition import EmotionRecognition, SpeechRecognition
from evaluation.suites.speech import SpeechConfig, SpeechSuite
from evaluation.suites.speech_classifiers import SpeechClassifier, open_classifier
from evaluation.suites.tiny import TinySuite
from evaluation.suites.uro_bench import open_uro
from evaluation.suites.uro_sets import URO_SETS
from evaluation.suites.verbatim import Verbatim
from evaluation.suites.voicebench import open_voicebench
from evaluation.suites.voicebench_files import ROWS

Factory = Callable[..., Suite]


def _classifier(spec: str) -> SpeechClassifier | None:
    return open_classifier(spec) if spec else None


def _uro(name: str, *, prompt_file: str | None = None, classifier: str = "", version: str = "") -> Suite:
    return open_uro(name, prompt_file=prompt_file, classifier=_classifier(classifier), version=version)


def _ser(*, language: str = "en", labels: str = "") -> Suite:
    return EmotionRecognition(language=language, labels=tuple(filter(None, labels.split(","))))


def _speech(*, reference: str = "", classifier: str = "") -> Suite:
    return SpeechSuite(SpeechConfig(reference=reference), _classifier(classifier))


def _feeling_swap(*, classifier: str = "") -> Suite:
    return FeelingSwapSuite(_classifier(classifier))


def _mapped(*, mapping: str) -> Suite:
    return suite_of_mapping(Path(mapping))


SUITES: Mapping[str, Factory] = {
    **{f"voicebench-{subset}": partial(open_voicebench, subset) for subset in ROWS},
    **{name: partial(_uro, name) for name in URO_SETS},
    "asr": SpeechRecognition,
    "ser": _ser,
    SpeechSuite.name: _speech,
    FeelingSwapSuite.name: _feeling_swap,
    TinySuite.name: TinySuite,
    Verbatim.name: Verbatim,
    "mapped": _mapped,
    **{name: partial(MappedSuite, mapping) for name, mapping in known_mappings().items()},
}
"""Functions that open a suite; their keyword arguments, all texts, are its settings."""


def open_suite(name: str, **settings: Any) -> Suite:
    """The suite ``name``. Raises ``ValueError`` for an unknown name, ``TypeError`` for a setting it does not have."""
    if name not in SUITES:
        raise ValueError(f"unknown suite {name!r}, expected one of {', '.join(SUITES)}")
    return SUITES[name](**settings)
