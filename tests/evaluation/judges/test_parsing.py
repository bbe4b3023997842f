from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.records import RejectedRow
from evaluation.judges.parsing import parse_value
from evaluation.scores import Question


def parse(text: str, scale: Any = "1-5", *choices: str) -> float:
    return parse_value(text, Question(id="q", item="i", messages=(), scale=scale, choices=choices))


FORMS = [
    "{}",
    " {}\n",
    "**{}**",
    "({})",
    "{}.",
    "[[{}]]",
    "Rating: [[{}]]",
    "Score: {}",
    "score={}",
    "**Score:** {}",
    "**Score**: **{}**",
    "Score (1-5): {}",
    "## Score\n{}",
    "Score:\n\n{}",
    "| Score | {} |",
    "<score>{}</score>",
    "{}/5",
    "{} / 5",
    "{} out of 5",
    "I think that it deserves {}/5 in the end.",
    "Score: {} (out of 5)",
    "On a scale of 1 to 5, I would rate this response a {}.",
    "The final score is {}.",
    "{}\n\nThe reply is kind.",
    "{} - the reply is kind",
    "{}, because the reply is kind",
    "The reply is kind.\n\n{}",
    "1. It is kind.\n2. It is short.\n\nScore: {}",
    "Empathy score: 1\nFluency score: 5\nOverall score: {}",
    "A score of 1 has no warmth, a score of 5 has much. Score: {}",
    '{{"score": {}}}',
    '```json\n{{"reason": "2 of 3", "Score": "{}"}}\n```',
    '{{"overall_score": {}, "reason": "Score: 1"}}',
    "<think>Is it 2? Score: 1</think>Score: {}",
    "Score: 1\n</think>\n\n{}",
    "评分：{}分",
    "评分：{}（满分5分）",
    "我给{}分。",
    "这个回复可以打{}分，很温暖。",
    "总分：{}",
    "最终评分为{}",
    "{}分",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", ["1", "4", "5", "4.5", "3.25"])
def test_a_rating_is_found_in_the_forms_that_judges_use(form: str, value: str) -> None:
    assert parse(form.format(value)) == float(value)


@pytest.mark.parametrize("form", [form for form in FORMS if "5" not in form])
@pytest.mark.parametrize("value", ["0", "85", "100", "62.5"])
def test_so_is_one_of_a_hundred(form: str, value: str) -> None:
    assert parse(form.format(value), "0-100") == float(value)


@pytest.mark.parametrize(
    "text", ["85%", "85/100", "Score (0-100): 85", "得分：85分（满分100分）", "８５", "评分：８５分"]
)
def test_forms_of_a_hundred(text: str) -> None:
    assert parse(text, "0-100") == 85


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "no value"),
        ("Maybe", "no value"),
        ("There are 3 reasons why it is bad", "no value"),
        ("The reply gives 2 suggestions.", "no value"),
        ("Overall, it gives 2 suggestions.", "no value"),
        ("It has a total of 3 sentences.", "no value"),
        ("3 of 5 points were good.", "no value"),
        ("它给出3个建议。", "no value"),
        ("Score: four", "no value"),
        ("1-5", "no value"),
        ("8/10", "no value"),
        ("Score: 8/10", "no value"),
        ("4 out of 10", "no value"),
        ("80%", "no value"),
        ("扣1分", "no value"),
        ("4,5", "no value"),
        ("Score: 4 or 5", "no value"),
        ("Score: 3-4", "no value"),
        ("3到4分", "no value"),
        ("4th", "no value"),
        ("1. The reply is kind.", "no value"),
        ("Let me find the score\n\n1. The reply is kind.\n2. It is short.", "no value"),
        ("7", "out of range"),
        ("0", "out of range"),
        ("Score: -4", "out of range"),
        ("[[5.01]]", "out of range"),
        ("Score: 10/5", "out of range"),
        ('{"score": 50}\nScore: 5', "out of range"),
        ("9" * 400, "out of range"),
        ("4\n\n5", "ambiguous"),
        ("[[4]] or [[5]]", "ambiguous"),
        ("Empathy score: 3\nFluency score: 4", "ambiguous"),
        ('{"score": 3} {"score": 4}', "ambiguous"),
        ("<think>It is 4", "thinking"),
    ],
)
def test_what_is_no_rating_is_refused(text: str, kind: str) -> None:
    with pytest.raises(RejectedRow, match=f"^{kind}: "):
        parse(text)


def test_an_error_names_the_text_and_what_was_expected() -> None:
    with pytest.raises(RejectedRow, match=r"^no value: 'I am sorry\.', expected a number of 1 to 5$"):
        parse("I am sorry.")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Yes", 1),
        ("**no**", 0),
        ("No, it is not.", 0),
        ("Yes\n\nIt is kind.", 1),
        ("It is kind.\nYes.", 1),
        ("Answer: Yes because it is kind", 1),
        ("Yes, at first.\nFinal answer: no", 0),
        ('{"answer": true}', 1),
        ('{"verdict": "No"}', 0),
        ("[[no]]", 0),
        ("是的，因为很温暖", 1),
        ("答案：否", 0),
        ("不是。", 0),
    ],
)
def test_yes_and_no_are_found(text: str, value: float) -> None:
    assert parse(text, "yes-no") == value


@pytest.mark.parametrize("text", ["Yes and no", "Yes/No", "yes or no", "No doubt", "Yesterday", "Maybe", "是一个", "1"])
def test_what_is_neither_yes_nor_no_is_refused(text: str) -> None:
    with pytest.raises(RejectedRow, match=r"^no value: .*expected yes or no$"):
        parse(text, "yes-no")


@pytest.mark.parametrize(
    "text",
    [
        "B",
        "(b)",
        "B.",
        "B) sad",
        "B. sad",
        "**B**",
        "Answer: B",
        "The correct answer is **B**.",
        "[[B]]",
        "I choose B",
        '{"choice": "b"}',
        "答案是B",
        "选择：Ｂ",
        "A is wrong, C too.\nAnswer: B",
    ],
)
def test_a_choice_is_found(text: str) -> None:
    assert parse(text, "choice", "A", "B", "C") == 1


@pytest.mark.parametrize("text", ["A or B", "A/B", "Answer: A, B", "答案：A和B", "Answer: A reply that", "D", "not B"])
def test_what_is_no_choice_is_refused(text: str) -> None:
    with pytest.raises(RejectedRow, match=r"^no value: .*expected one of A, B, C$"):
        parse(text, "choice", "A", "B", "C")


@pytest.mark.parametrize(
    ("text", "index"), [("Happy", 0), ("very sad", 2), ("Answer: sad", 1), ("答案：不高兴", 4), ("生气（愤怒）", 5)]
)
def test_a_choice_may_be_a_part_of_another(text: str, index: int) -> None:
    assert parse(text, "choice", "happy", "sad", "very sad", "高兴", "不高兴", "生气（愤怒）") == index


@pytest.mark.parametrize("choices", [(), ("A", "a"), ("", "B")])
def test_impossible_choices_are_refused(choices: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="question 'q': expected different choices"):
        parse("A", "choice", *choices)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[[A]]", 1),
        ("Both are kind. [[B]]", 0),
        ("[[C]]", 0.5),
        ("[[A>>B]]", 1),
        ("[[B>A]]", 0),
        ("[[A=B]]", 0.5),
        ("Verdict: A is better", 1),
        ("Winner: Assistant B", 0),
        ("Answer: tie", 0.5),
        ("The answer is a tie.", 0.5),
        ("TİE", 0.5),  # the Turkish letter is i for re.IGNORECASE, not for str.casefold
        ("平局", 0.5),
        ("结论：回答乙", 0),
    ],
)
def test_the_better_of_two_is_found(text: str, value: float) -> None:
    assert parse(text, "pair") == value


@pytest.mark.parametrize(("text", "kind"), [("[[A]] or [[B]]", "ambiguous"), ("Both", "no value"), ("", "no value")])
def test_what_is_no_verdict_is_refused(text: str, kind: str) -> None:
    with pytest.raises(RejectedRow, match=f"^{kind}: "):
        parse(text, "pair")


ALLOWED = {
    "1-5": lambda value: 1 <= value <= 5,
    "0-100": lambda value: 0 <= value <= 100,
    "yes-no": lambda value: value in (0, 1),
    "choice": lambda value: value in (0, 1, 2),
    "pair": lambda value: value in (0, 0.5, 1),
}
FRAGMENTS = [
    *(
        "Score",
        ":",
        "final",
        "评分",
        "答案",
        "分",
        "满分",
        "answer",
        "is",
        "A",
        "B",
        "C",
        "yes",
        "no",
        "是",
        "[[",
        "]]",
    ),
    *("{", "}", '"', "/", "5", "100", "4", ".", "-", "0", "9", "out of", "or", "a", " ", "\n", "<think>", "</think>"),
]
any_text = st.text() | st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join)


@given(scale=st.sampled_from(sorted(ALLOWED)), text=any_text)
def test_any_text_has_a_value_in_range_or_an_error(scale: str, text: str) -> None:
    try:
        value = parse(text, scale, *("A", "B", "C") * (scale == "choice"))
    except RejectedRow:
        return
    assert ALLOWED[scale](value)


@given(value=st.floats(allow_nan=False, allow_infinity=False).filter(lambda value: not 1 <= value <= 5))
def test_no_number_out_of_range_is_a_rating(value: float) -> None:
    with pytest.raises(RejectedRow):
        parse(f"Score: {value:f}")


@given(tenths=st.integers(10, 50), prose=st.text(st.sampled_from("ab .,\n温暖，。")))
def test_prose_around_an_explicit_rating_does_not_matter(tenths: int, prose: str) -> None:
    assert parse(f"{prose}\nScore: {tenths / 10}\n{prose}") == tenths / 10


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", ["{", '{"a":', "\n", " ", "1 ", "Score ", "Score:", "final ", "*", "[[", "9", "1, "])
def test_long_garbage_takes_no_time(text: str) -> None:
    with pytest.raises(RejectedRow):
        parse(text * 30_000)
