from pathlib import Path

import pytest

from data_pipeline.synthesis.protocols import Speech
from evaluation.suites import SUITES, open_suite
from evaluation.suites.uro_sets import URO_SETS
from opens2s_core.config import ConfigError

NEEDS_A_CLASSIFIER = {name for name, uro_set in URO_SETS.items() if uro_set.mode == "emotional speech"}


@pytest.mark.parametrize("name", [name for name in SUITES if name not in {*NEEDS_A_CLASSIFIER, "mapped"}])
def test_every_suite_opens_by_its_name(name: str) -> None:
    suite = open_suite(name)
    assert suite.name == name
    names = [metric.name for metric in suite.metrics]
    assert names
    assert len(set(names)) == len(names)


def test_the_names_of_the_published_sets() -> None:
    assert {
        "voicebench-alpacaeval",
        "voicebench-alpacaeval_full",
        "voicebench-commoneval",
        "voicebench-wildvoice",
        "voicebench-ifeval",
        "uro-underemotion-en",
        "uro-underemotion-zh",
        "uro-genemotion-en",
        "uro-genemotion-zh",
        "asr",
        "ser",
    } <= set(SUITES)


def test_an_unknown_name_is_an_error_that_lists_the_names() -> None:
    with pytest.raises(ValueError, match="unknown suite 'voicebench', expected one of voicebench-alpacaeval, "):
        open_suite("voicebench")


def test_a_setting_that_a_suite_does_not_have_is_an_error() -> None:
    with pytest.raises(TypeError, match="prompt_file"):
        open_suite("asr", prompt_file="prompt.txt")


class Calm:
    """A classifier that finds every clip calm."""

    name = "calm"

    def probabilities(self, speech: Speech) -> dict[str, float]:
        return {"calm": 1.0}


def test_classifiers_are_named_by_a_function_or_a_file(tmp_path: Path) -> None:
    data = tmp_path / "pairs.jsonl"
    suite = open_suite("speech", classifier=f"{__name__}:Calm")
    assert "tone_similarity" in {metric.name for metric in suite.metrics}
    with pytest.raises(FileNotFoundError):
        open_suite("speech", classifier=str(data))
    with pytest.raises(ValueError, match="expected MODULE:FUNCTION"):
        open_suite("speech", classifier=f"{__name__}:Nobody")
    with pytest.raises(ValueError, match="expected an object with name and probabilities"):
        open_suite("speech", classifier="builtins:list")


def test_a_mapping_of_ones_own_is_a_suite(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("{name: own, title: Own, source: here, files: ['*'], text: '{q}', rubric: {criteria: []}}")
    with pytest.raises(ConfigError, match=r"own\.yaml"):
        open_suite("mapped", mapping=str(path))
