import pytest

from data_pipeline.records import Content, RejectedRow
from data_pipeline.steps.filters import FilterConfig, filter_continuation, filter_row
from data_pipeline.steps.row import PreparedRow
from tests.data_pipeline.steps.rows import clip, conversation, row, silence, utterance


def spoken(text: str, seconds: float = 1.0, **fields: str) -> PreparedRow:
    return row(utterance(text=text, **fields), silence(seconds))


def chat(reply: str) -> PreparedRow:
    return row(
        conversation(
            ("user", (Content(text="?", audio=clip("a")),)),
            ("assistant", (Content(text=reply, audio=clip("b")),)),
        )
    )


def test_rows_at_the_bounds_are_kept() -> None:
    config = FilterConfig(
        min_characters=4, max_characters=4, min_seconds_per_character=0.25, max_seconds_per_character=0.25
    )
    for good in (spoken("good"), spoken(" good\n"), chat("good")):
        assert filter_row(good, config) is good


@pytest.mark.parametrize(
    ("bad", "config", "reason"),
    [
        (spoken(" \n"), FilterConfig(), "text too short: 0 characters, expected at least 1"),
        (spoken("a"), FilterConfig(min_characters=2), "text too short: 1 characters, expected at least 2"),
        (spoken("abcde"), FilterConfig(max_characters=4), "text too long: 5 characters, expected at most 4"),
        (chat(" "), FilterConfig(), "text too short: 0 characters, expected at least 1"),
        (chat("abcde"), FilterConfig(max_characters=4), "text too long: 5 characters, expected at most 4"),
        (
            spoken("0123456789"),
            FilterConfig(min_seconds_per_character=0.2),
            r"spoken too fast: 0\.100 s a character, expected at least 0\.2",
        ),
        (spoken("ab", 5), FilterConfig(), r"spoken too slowly: 2\.500 s a character, expected at most 2"),
        (
            spoken("What?", emotion="", original_emotion="xxx"),
            FilterConfig(emotions=("sad", "happy")),
            "unknown emotion: '', in the corpus 'xxx': expected one of sad, happy",
        ),
    ],
)
def test_rows_outside_the_bounds_are_rejected(bad: PreparedRow, config: FilterConfig, reason: str) -> None:
    with pytest.raises(RejectedRow, match=f"^{reason}$"):
        filter_row(bad, config)


def test_text_may_be_unknown_where_none_is_needed() -> None:
    assert filter_row(spoken("", emotion="sad"), FilterConfig(min_characters=0, emotions=("sad",))).reject is None


@pytest.mark.parametrize(
    "text",
    [
        "As an AI language model, I do not have feelings.",
        "Well, as a language model I cannot walk.",
        "I'm sorry, but I can't continue this sentence.",
        "I’m sorry, but I cannot help with that.",
        "I am sorry, but as an AI I don't know.",
        "Sorry, but I can't do that.",
        "I can't assist with that.",
        "I cannot provide medical advice.",
        "I apologize, but I don't understand.",
        "I'm just a large language model.",
        "作为一个人工智能语言模型，我没有感情。",
        "作为AI，我不会感到难过。",
        "我是一个语言模型。",
        "很抱歉，我无法继续这句话。",
        "对不起，但我不能这样做。",
        "我无法提供这样的内容。",
    ],
)
def test_refusals_are_rejected(text: str) -> None:
    with pytest.raises(RejectedRow, match=r"^refusal: the continuation has "):
        filter_continuation(row(utterance(), continuation=text))


@pytest.mark.parametrize(
    "text",
    [
        "and then she said she was sorry, but the door stayed closed.",
        "He worked as an air traffic controller.",
        "so I can't help laughing whenever I think of it.",
        "I'm sorry you had to wait so long.",
        "the AI in the film was as kind as a nurse.",
        "对不起，她轻声说。",
        "作为一个老师，他很耐心。",
        "我无法忘记那一天。",
    ],
)
def test_ordinary_continuations_are_kept(text: str) -> None:
    good = row(utterance(), continuation=text)
    assert filter_continuation(good) is good


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_characters": 3, "max_characters": 2}, "got 3 and 2"),
        ({"min_seconds_per_character": 3.0}, "got 3 and 2"),
        ({"emotions": ("gloomy",)}, r"unknown emotions \['gloomy'\]"),
    ],
)
def test_impossible_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FilterConfig(**settings)
