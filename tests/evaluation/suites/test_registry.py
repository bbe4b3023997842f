import pytest

from evaluation.suites import SUITES, open_suite
from evaluation.suites.uro_sets import URO_SETS

NEEDS_A_SCORER = {name for name, uro_set in URO_SETS.items() if uro_set.mode == "emotional speech"}


@pytest.mark.parametrize("name", [name for name in SUITES if name not in NEEDS_A_SCORER])
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
