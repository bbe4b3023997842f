from collections import Counter

import pytest

from data_pipeline.synthesis.embedded_writer.general import unknown_turns
from data_pipeline.synthesis.embedded_writer.grammar import Turn, all_turns
from data_pipeline.synthesis.embedded_writer.held_out import HELD_OUT_VOICES, HeldOut
from data_pipeline.synthesis.speakers.embedded import EMBEDDED_VOICES


@pytest.fixture(scope="module")
def turns() -> tuple[Turn, ...]:
    return all_turns()


def test_tests_and_training_share_neither_templates_nor_combinations(turns: tuple[Turn, ...]) -> None:
    held_out = HeldOut()
    tests = [turn for turn in turns if held_out.is_for_tests(turn)]
    training = [turn for turn in turns if held_out.is_for_training(turn)]
    for key in (
        lambda turn: turn.scene.texts[turn.phrasing],
        lambda turn: (turn.scene.texts, turn.fields or turn.text),
    ):
        assert not {key(turn) for turn in tests} & {key(turn) for turn in training}
    assert {turn.topic.name for turn in tests} == {turn.topic.name for turn in training}


def test_one_template_of_each_scene_of_three_or_more_is_held_out(turns: tuple[Turn, ...]) -> None:
    templates = {(turn.scene.texts, turn.phrasing): HeldOut().template(turn) for turn in turns}
    counts = Counter(texts for (texts, _), is_held_out in templates.items() if is_held_out)
    assert all(len(texts) > counts[texts] >= (len(texts) >= 3) for texts, _ in templates)
    assert sum(counts.values()) <= 1.02 * len(counts)  # two scenes have a template in common


def test_a_share_of_the_combinations_is_held_out(turns: tuple[Turn, ...]) -> None:
    combinations = {
        (turn.scene.texts[0], turn.fields): HeldOut(share=0.1).combination(turn) for turn in turns if turn.fields
    }
    assert sum(combinations.values()) / len(combinations) == pytest.approx(0.1, abs=0.01)
    assert not any(HeldOut(share=0).combination(turn) for turn in turns)


def test_the_seed_decides(turns: tuple[Turn, ...]) -> None:
    chosen = [{turn.text for turn in turns if HeldOut(seed=seed).is_for_tests(turn)} for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]


def test_turns_that_are_not_of_the_grammar_are_held_out_too() -> None:
    held_out = HeldOut().unknown_turns()
    assert set(held_out) < set(unknown_turns())
    assert len(held_out) / len(unknown_turns()) == pytest.approx(0.2, abs=0.05)


def test_the_voices_are_embedded_ones_of_adults() -> None:
    assert all(EMBEDDED_VOICES[name].age == "adult" for name in HELD_OUT_VOICES)
    assert {EMBEDDED_VOICES[name].gender for name in HELD_OUT_VOICES} == {"female", "male"}
