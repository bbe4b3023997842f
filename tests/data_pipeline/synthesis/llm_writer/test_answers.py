import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.records import RejectedRow
from data_pipeline.synthesis.llm_writer.answers import (
    count_words,
    parse_list,
    parse_object,
    spoken_text,
    tone_name,
    without_thought,
)

MARKERS = [
    "<think>",
    "</think>",
    "<THINK>",
    "</Think >",
    "< think >",
    "<think type='x'>",
    "<thinking>",
    "</thinking>",
    "<reasoning>",
    "</reasoning>",
    "<thought>",
    "</thought>",
    "<seed:think>",
    "</seed:think>",
    "◁think▷",
    "◁/think▷",
    "[THINK]",
    "[/THINK]",
]
OPENED = [marker for marker in MARKERS if "/" not in marker]
CLOSED = [marker for marker in MARKERS if "/" in marker]
SECRET = "secret"
TEXTS = st.text().filter(lambda text: not any(char in text for char in "<>[]◁▷"))
PARTS = st.lists(st.sampled_from([*MARKERS, SECRET, "a", " ", "\n", '["', '"]', "<", ">", "/", "think"]) | TEXTS)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Hello.", "Hello."),
        ("<think>\n\n</think>\n\nHello.", "Hello."),
        ("<think>She is sad.</think>Hello.", "Hello."),
        ("She is sad.\n</think>\n\nHello.", "Hello."),  # the template has the opening tag
        ("<think>a<think>b</think>c</think> Hello.", "Hello."),
        ("<think>a</think> draft <think>b</think> Hello.", "Hello."),
        ("<Thinking>a</Thinking> Hello.", "Hello."),
        ("◁think▷a◁/think▷Hello.", "Hello."),
        ("[THINK]a[/THINK]Hello.", "Hello."),
        ("<seed:think>a</seed:think>Hello.", "Hello."),
        ("<think>never answered</think>", ""),
    ],
)
def test_a_thought_is_removed(answer: str, expected: str) -> None:
    assert without_thought(answer) == expected


@pytest.mark.parametrize("opened", OPENED)
@pytest.mark.parametrize("before", ["", "Hello. ", "<think>a</think> Hello. "])
def test_a_thought_without_an_end_is_rejected(before: str, opened: str) -> None:
    with pytest.raises(RejectedRow, match=r"^thinking: .* is not closed"):
        without_thought(f"{before}{opened} She is {SECRET}")


@given(PARTS)
def test_no_marker_survives(parts: list[str]) -> None:
    try:
        rest = without_thought("".join(parts))
    except RejectedRow:
        return
    assert not [marker for marker in MARKERS if marker in rest]


@given(st.lists(st.tuples(st.sampled_from(OPENED), TEXTS, st.sampled_from(CLOSED))), TEXTS)
def test_only_what_follows_the_last_thought_is_left(thoughts: list[tuple[str, str, str]], answer: str) -> None:
    text = "".join(f"{opened}{SECRET}{thought}{closed}" for opened, thought, closed in thoughts)
    assert without_thought(text + answer) == answer.strip()


@given(PARTS)
def test_no_marker_survives_in_spoken_text(parts: list[str]) -> None:
    try:
        spoken = spoken_text("".join(parts), "en", 1000)
    except RejectedRow:
        return
    assert not [marker for marker in MARKERS if marker in spoken]
    assert not set("<>[]{}◁▷\n") & set(spoken)


@given(
    st.lists(st.text(), min_size=1, max_size=6),
    st.sampled_from(["", "```json\n", "Sure! Here they are:\n\n", 'Note [1]: {"turns": ']),
    st.sampled_from(["", "\n```", "\n\nI hope this helps [really]!", "}"]),
    st.sampled_from([None, 2]),
    st.booleans(),
)
def test_a_json_list_is_read_within_any_text(
    texts: list[str], before: str, after: str, indent: int | None, ascii_only: bool
) -> None:
    answer = before + json.dumps(texts, indent=indent, ensure_ascii=ascii_only) + after
    assert parse_list(answer) == texts


@given(st.lists(st.text(), min_size=2, max_size=6), st.data())
def test_the_whole_texts_of_a_list_that_breaks_off_are_read(texts: list[str], data: st.DataObject) -> None:
    parts = [json.dumps(text) for text in texts]
    answer = "[" + ", ".join(parts)
    cut = data.draw(st.integers(len("[" + parts[0]), len(answer)))
    found = parse_list(answer[:cut])
    ends = [len("[" + ", ".join(parts[: count + 1])) for count in range(len(parts))]
    assert found == texts[: sum(end <= cut for end in ends)]


LINE = st.from_regex(r"[A-Z][a-z ,']{3,30}[.?]", fullmatch=True)


@given(st.lists(LINE, min_size=1, max_size=6), st.sampled_from(["{}. ", "{}) ", " {}: ", "{}、", "- ", "• ", "* "]))
def test_a_numbered_or_bulleted_list_is_read(texts: list[str], mark: str) -> None:
    lines = [mark.format(number) + text for number, text in enumerate(texts, 1)]
    assert parse_list("Here they are:\n\n" + "\n".join(lines) + "\n\nEnjoy!") == texts


@pytest.mark.parametrize(
    "answer",
    ["", "I'm sorry, but I can't help with that.", "[]", "[1, 2]", '{"a": 1}', "[" * 5000, '["cut of', "null", "[[["],
)
def test_an_answer_without_a_list_is_rejected(answer: str) -> None:
    with pytest.raises(RejectedRow, match=r"^bad answer: got .*expected a JSON list of texts"):
        parse_list(answer)


@given(st.text() | PARTS.map("".join))
def test_any_answer_is_a_list_of_texts_or_rejected(answer: str) -> None:
    try:
        found = parse_list(answer)
    except RejectedRow:
        return
    assert found
    assert all(isinstance(text, str) for text in found)


@given(st.dictionaries(st.text(), st.text() | st.booleans()), st.sampled_from(["", "```json\n", "For {x}: "]))
def test_a_json_object_is_read_within_any_text(values: dict[str, object], before: str) -> None:
    expected = values | {"suitable": True}
    assert parse_object(f"{before}{json.dumps(expected)}\n```", "suitable") == expected


@pytest.mark.parametrize("answer", ["", "no", "{", '{"other": 1}', '["suitable"]', "{" * 5000, '{"suitable": tr'])
def test_an_answer_without_the_object_is_rejected(answer: str) -> None:
    with pytest.raises(RejectedRow, match=r"^bad answer: .*expected a JSON object with suitable, spoken"):
        parse_object(answer, "suitable", "spoken")


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("  I lost my job.  ", "en", "I lost my job."),
        ('"I lost my job."', "en", "I lost my job."),
        ("“I lost my job.”", "en", "I lost my job."),
        ('"Yes," she said, "go."', "en", '"Yes," she said, "go."'),
        ("I lost\nmy  job.\n\nWhat now?", "en", "I lost my job. What now?"),
        ("It's twenty-four euros, isn't it?", "en", "It's twenty-four euros, isn't it?"),
        ("My fiancé said “no” to me…", "en", "My fiancé said “no” to me…"),
        ("「我今天丢了工作。」", "zh", "我今天丢了工作。"),
        ("我在学Python，好难啊！", "zh", "我在学Python，好难啊！"),
        ("你看过《红楼梦》吗？", "zh", "你看过《红楼梦》吗？"),
    ],
)
def test_spoken_text_is_on_one_line_without_quotes(text: str, language: str, expected: str) -> None:
    assert spoken_text(text, language, 40) == expected


@pytest.mark.parametrize(
    ("text", "language", "kind"),
    [
        ("*sighs* I lost my job.", "en", "markup"),
        ("(sighing) I lost my job.", "en", "markup"),
        ("[sad] I lost my job.", "en", "markup"),
        ("（叹气）我丢了工作。", "zh", "markup"),
        ("【难过】我丢了工作。", "zh", "markup"),
        ("＜think＞我丢了工作。", "zh", "markup"),
        ("&lt;think&gt; I lost my job.", "en", "markup"),
        ("I lost my job. 😢", "en", "markup"),
        ("I lost my job 1️⃣ today.", "en", "markup"),
        ("I **lost** my job.", "en", "markup"),
        ("What is `x` again?", "en", "markup"),
        ("What is 3 + 4 again?", "en", "markup"),
        ("What is x = 4 again?", "en", "markup"),
        ("It is 20 °C outside.", "en", "markup"),
        ("Look at https://example.org please.", "en", "markup"),
        ("Look at www.example.org please.", "en", "markup"),
        ("Do this:\n- rest well\n- drink tea", "en", "markup"),
        ("1. Rest well.\n2. Drink tea.", "en", "markup"),
        ("User: I lost my job.", "en", "markup"),
        ("用户：我丢了工作。", "zh", "markup"),
        ("I lost\x00 my job.", "en", "markup"),
        ("I lost\u200b my job.", "en", "markup"),
        ("I lost \ud800 my job.", "en", "markup"),
        ("", "en", "too short"),
        ("Hello.", "en", "too short"),
        ("?! ...", "en", "too short"),
        ("嗯。", "zh", "too short"),
        ("word " * 41, "en", "too long"),
        ("我" * 61, "zh", "too long"),
        ("我今天丢了工作。", "en", "wrong language"),
        ("I lost my job today.", "zh", "wrong language"),
        ("Я потерял работу.", "en", "wrong language"),
        (None, "en", "bad answer"),
        (["I lost my job."], "en", "bad answer"),
    ],
)
def test_what_cannot_be_spoken_is_rejected(text: object, language: str, kind: str) -> None:
    with pytest.raises(RejectedRow, match=f"^{kind}: ") as raised:
        spoken_text(text, language, 40)
    assert "expected" in str(raised.value)


@given(st.text(), st.sampled_from(["en", "zh"]), st.integers(2, 50))
def test_accepted_text_is_short_one_line_and_accepted_again(text: str, language: str, max_words: int) -> None:
    try:
        spoken = spoken_text(text, language, max_words)
    except RejectedRow:
        return
    assert spoken == " ".join(spoken.split())
    assert 2 <= count_words(spoken) <= max_words


def test_words_are_counted_by_language() -> None:
    assert count_words("I don't know, twenty-four?") == 4
    assert count_words("我今天很开心。") == 4
    assert count_words("我在学Python。") == 3


@pytest.mark.parametrize(
    ("answer", "tone"),
    [
        ("warm", "warm"),
        ("Warm and calm.", "warm and calm"),
        ('"warm, gentle"', "warm, gentle"),
        ("**Soft-spoken**", "soft-spoken"),
        ("Tone: cheerful", "cheerful"),
        ("\nlight and a bit playful\n", "light and a bit playful"),
    ],
)
def test_a_tone_is_a_few_words(answer: str, tone: str) -> None:
    assert tone_name(answer) == tone


@pytest.mark.parametrize(
    "answer", ["", "温柔", "The reply should be warm and calm", "warm\ncalm", "<think>", "warm 1", "a" * 61]
)
def test_another_answer_is_no_tone(answer: str) -> None:
    with pytest.raises(RejectedRow, match=r"^bad tone: got "):
        tone_name(answer)
