from collections.abc import Sequence

import pytest

from data_pipeline.records import RejectedRow
from data_pipeline.steps.continuation import ContinuationKind, Continuations
from data_pipeline.steps.row import PreparedRow
from tests.data_pipeline.steps.rows import row, utterance


class EchoGenerator:
    """Answers with the prompt, and as it is told to for some."""

    def __init__(self, **answers: str | RejectedRow) -> None:
        self.answers = answers
        self.prompts: list[str] = []

    def generate(self, prompts: Sequence[str]) -> list[str | RejectedRow]:
        self.prompts += prompts
        return [self.answers.get(prompt.split()[-1], prompt) for prompt in prompts]


def spoken(text: str, emotion: str = "", original: str = "") -> PreparedRow:
    return row(utterance(text=text, emotion=emotion, original_emotion=original))


@pytest.mark.parametrize(
    ("kind", "prompt"),
    [
        ("semantic", "Continue the following sentence in a coherent style: It rained."),
        (
            "emotional",
            "Continue the following sentence that reflects a 'sad' emotion tone in a coherent style: It rained.",
        ),
    ],
)
def test_the_prompts_are_those_of_the_alignment_stages(kind: ContinuationKind, prompt: str) -> None:
    generator = EchoGenerator()
    assert Continuations(generator, kind)([spoken("It rained.", "sad")]) == [{"continuation": prompt}]
    assert generator.prompts == [prompt]


def test_rows_are_rejected_singly_and_the_others_keep_their_answers() -> None:
    refused = RejectedRow("no answer: the server is busy")
    generator = EchoGenerator(
        two="Two.", three=refused, four=" \n", five="<think>\n\n</think>\n\nFive. ", six="<think>hm"
    )
    rows = [spoken(text) for text in ("", "one", "two", "three", "four", "five", "six")]
    no_text, one, two, three, four, five, six = Continuations(generator, "semantic")(rows)
    assert one == {"continuation": "Continue the following sentence in a coherent style: one"}
    assert (two, three, five) == ({"continuation": "Two."}, refused, {"continuation": "Five."})
    assert [str(no_text), str(four), str(six)] == [
        "no text: expected a transcript",
        r"empty continuation: got ' \n', expected text",
        "empty continuation: got '<think>hm', expected text",
    ]
    assert len(generator.prompts) == 6


def test_without_a_known_emotion_there_is_no_emotional_continuation() -> None:
    (result,) = Continuations(EchoGenerator(), "emotional")([spoken("It rained.", "", "xxx")])
    assert isinstance(result, RejectedRow)
    assert str(result).startswith("unknown emotion: in the corpus 'xxx', expected one of neutral, happy")
