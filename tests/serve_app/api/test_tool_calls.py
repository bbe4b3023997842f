import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opens2s_core.prompt import ToolCall
from serve_app.api.tool_calls import parse_tool_calls

ULM, COLOGNE = '{"name": "weather", "arguments": {"city": "Ulm"}}', '{"arguments":{"days":2},"name":"forecast"}'
WORDS = st.text().filter(lambda text: "<" not in text)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just("</tool_call> <tool_call>"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
CALLS = st.lists(st.tuples(st.text(), st.dictionaries(st.text(), VALUES, max_size=3)), max_size=3)


def written(name: str, arguments: object) -> str:
    """As Qwen's template has the model write it."""
    return "<tool_call>\n" + json.dumps({"name": name, "arguments": arguments}) + "\n</tool_call>"


@given(words=WORDS, calls=CALLS)
def test_calls_are_read_as_they_were_written(words: str, calls: list[tuple[str, dict[str, object]]]) -> None:
    rest, found = parse_tool_calls("\n".join([words, *(written(name, arguments) for name, arguments in calls)]))
    assert rest == words.strip()
    assert [(call.name, json.loads(call.arguments)) for call in found] == calls
    assert [call.id for call in found] == [f"call_{i}" for i in range(len(calls))]


def test_words_before_between_and_behind_calls_stay_text() -> None:
    rest, calls = parse_tool_calls(
        f" First <tool_call>{ULM}</tool_call>, then <tool_call> {COLOGNE} </tool_call> done.\n"
    )
    assert rest == "First , then  done."
    assert calls == [ToolCall("call_0", "weather", '{"city": "Ulm"}'), ToolCall("call_1", "forecast", '{"days": 2}')]


def test_an_empty_text_stands_for_no_arguments() -> None:
    assert parse_tool_calls(written("weather", "")) == ("", [ToolCall("call_0", "weather", "{}")])


MALFORMED = [
    f"<tool_call>{ULM}",
    f"{ULM}</tool_call>",
    f"<tool_call>{ULM} and more</tool_call>",
    f"<tool_call>{ULM[:-1]}</tool_call>",
    "<tool_call></tool_call>",
    '<tool_call>["weather"]</tool_call>',
    '<tool_call>{"name": "weather"}</tool_call>',
    '<tool_call>{"name": 1, "arguments": {}}</tool_call>',
    '<tool_call>{"name": "weather", "arguments": "Ulm"}</tool_call>',
    '<tool_call>{"name": "weather", "arguments": {"days": NaN}}</tool_call>',
    r'<tool_call>{"name": "weather", "arguments": {"city": "\ud800"}}</tool_call>',
    "<tool_call>" + '{"name":' * 100_000,
]


@pytest.mark.parametrize("text", MALFORMED, ids=lambda text: text[:60])
def test_what_is_not_well_formed_stays_text(text: str) -> None:
    assert parse_tool_calls(text) == (text, [])
    assert parse_tool_calls(f"{text}\n{written('weather', {})}") == (text, [ToolCall("call_0", "weather", "{}")])


def test_nesting_is_read_or_stays_text() -> None:
    for depth in range(100, 2_000, 100):
        text = '<tool_call>{"name": "f", "arguments": ' + '{"a": ' * depth + "1" + "}" * (depth + 1) + "</tool_call>"
        rest, calls = parse_tool_calls(text)
        assert (rest, len(calls)) in ((text, 0), ("", 1))
