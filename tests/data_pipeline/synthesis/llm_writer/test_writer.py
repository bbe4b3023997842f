import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest

from data_pipeline.chat_client import EndpointConfig, Sampling
from data_pipeline.records import RejectedRow, Unavailable
from data_pipeline.synthesis.llm_writer import LLMWriter, LLMWriterConfig
from data_pipeline.synthesis.protocols import (
    Person,
    ReplyRequest,
    UserTurnRequest,
    Writer,
    WrittenMessage,
    WrittenReply,
)
from tests.data_pipeline.chat_server import ChatServer, Reply, chat_server

SAD = Person(gender="female", age="elderly", emotion="sad")
FAST = {"retry-after-ms": "10"}
TURNS = ["My sister never calls me.", "Should I write to her first?", "The house is so quiet now."]


@contextmanager
def llm(respond: Callable[[str, int], Reply], **settings: Any) -> Iterator[tuple[LLMWriter, ChatServer]]:
    """A writer by a model that answers the last message, and its server."""
    with chat_server(lambda body, tries: respond(body["messages"][-1]["content"], tries)) as server:
        endpoint = EndpointConfig(base_url=server.url, model="Qwen3-32B", timeout_seconds=0.5, retries=2)
        yield LLMWriter(LLMWriterConfig(endpoint=endpoint, **settings)), server


def wish(topic: str = "brothers and sisters", **fields: Any) -> UserTurnRequest:
    return UserTurnRequest(**({"topic": topic, "person": SAD, "count": 3} | fields))


def dialogue(*texts: str, language: str = "en", seed: int = 0) -> ReplyRequest:
    """Of user and assistant in turn."""
    messages = tuple(
        WrittenMessage(role="assistant", text=text) if index % 2 else WrittenMessage(role="user", text=text, person=SAD)
        for index, text in enumerate(texts)
    )
    return ReplyRequest(messages=messages, language=language, seed=seed)


def is_tone(prompt: str) -> bool:
    return "tone of voice" in prompt or "语气" in prompt


def replying(reply: Reply, tone: Reply | None = None) -> Callable[[str, int], Reply]:
    return lambda prompt, _: (tone or Reply(text="Warm and calm.")) if is_tone(prompt) else reply


def reason(result: object) -> str:
    assert isinstance(result, RejectedRow)
    return str(result)


def test_the_writer_follows_the_protocol_and_names_model_and_prompts() -> None:
    with llm(lambda *_: Reply()) as (writer, _):
        conforming: Writer = writer
        assert conforming.name == "Qwen3-32B (prompts 1)"
        assert len(conforming.topics) >= 40


@pytest.mark.parametrize(
    "answer",
    [
        json.dumps(TURNS),
        "```json\n" + json.dumps(TURNS, indent=2) + "\n```",
        f'<think>Perhaps [1] ["a draft of this"]?</think>\n\nHere they are: {json.dumps(TURNS)} Enjoy!',
        f'["a draft of this"]</think>{json.dumps(TURNS)}',
        "\n".join(f'{number}. "{turn}"' for number, turn in enumerate(TURNS, 1)),
        json.dumps(TURNS)[:-1],  # the bracket is missing
        json.dumps([*TURNS, "one too many turns"]),
        json.dumps([TURNS[0], "*sighs* I am sad.", TURNS[1], TURNS[0].upper(), "x " * 50, TURNS[2]]),
    ],
)
def test_user_turns_are_read_from_any_form_of_list(answer: str) -> None:
    with llm(lambda *_: Reply(text=answer)) as (writer, _):
        assert writer.user_turns([wish()]) == [TURNS]


def test_examples_are_not_turns() -> None:
    with llm(lambda *_: Reply(text=json.dumps(TURNS))) as (writer, _):
        kept, none = writer.user_turns([wish(examples=(TURNS[1].upper(),)), wish(examples=tuple(TURNS))])
    assert kept == [TURNS[0], TURNS[2]]
    assert reason(none) == "no usable turn: of 3, the first: all are examples"


def test_turns_and_replies_have_their_own_sampling_and_the_seed_of_the_request() -> None:
    turns, replies = Sampling(max_tokens=7, temperature=0.9), Sampling(max_tokens=8, temperature=0.5, thinking=True)
    respond = replying(Reply(text=json.dumps(TURNS)[2:27]))
    with llm(respond, turns=turns, replies=replies, edits=Sampling(max_tokens=9)) as (writer, server):
        writer.user_turns([wish(seed=3)])
        assert writer.replies([dialogue("I am alone.", seed=4)]) == [
            WrittenReply(text="My sister never calls me.", tone="warm and calm")
        ]
    sent = [(r["seed"], r["max_tokens"], r["temperature"], r["chat_template_kwargs"]) for r in server.requests]
    thinking, direct = {"enable_thinking": True}, {"enable_thinking": False}
    assert sent == [(3, 7, 0.9, direct), (4, 8, 0.5, thinking), (4, 9, 0.0, direct)]


@pytest.mark.parametrize(
    ("reply", "language", "expected"),
    [
        (Reply(text="<think>She is sad.</think>\n\nI am here for you."), "en", "I am here for you."),
        (Reply(text="She is sad.</think>I am here for you."), "en", "I am here for you."),
        (Reply(text='"I am here for you."', message={"reasoning_content": "She is sad."}), "en", "I am here for you."),
        (Reply(text="<think>\n她很难过。\n</think>\n\n我在这里陪着您。"), "zh", "我在这里陪着您。"),
    ],
)
def test_a_reply_has_no_thought_and_a_tone(reply: Reply, language: str, expected: str) -> None:
    with llm(replying(reply)) as (writer, server):
        (made,) = writer.replies([dialogue("I am alone.", language=language)])
    assert made == WrittenReply(text=expected, tone="warm and calm")
    assert expected in server.requests[1]["messages"][0]["content"]  # the tone is that of this reply


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(text="<think>She is sad, so I"), "thinking"),
        (Reply(text="<think>She is sad, so I", finish_reason="length"), "thinking"),
        (Reply(text="I am here. <think>Is that enough?"), "thinking"),
        (Reply(text="She is sad, so I", finish_reason="length"), "truncated"),
        (Reply(text=None, message={"reasoning_content": "She is"}, finish_reason="length"), "truncated"),
        (Reply(text=None, message={"reasoning_content": "She is sad."}), "empty answer"),
        (Reply(text="<think>She is sad.</think>"), "empty answer"),
        (Reply(text=""), "empty answer"),
        (Reply(text="*hugs* I am here for you."), "markup"),
        (Reply(text="[Spoken by a warm voice.] I am here."), "markup"),
        (Reply(text="word " * 61), "too long"),
        (Reply(text="我在这里陪着您。"), "wrong language"),
        (Reply(message={"refusal": "I cannot."}), "refused"),
    ],
)
def test_a_reply_that_cannot_be_used_is_rejected_and_has_no_tone(reply: Reply, kind: str) -> None:
    with llm(replying(reply)) as (writer, server):
        (result,) = writer.replies([dialogue("I am alone.")])
    assert reason(result).startswith(f"{kind}: ")
    assert not isinstance(result, Unavailable)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("tone", "kind"),
    [
        (Reply(text="I would say it should be rather warm."), "bad tone"),
        (Reply(text="<think>warm"), "thinking"),
        (Reply(status=400), "no answer"),
    ],
)
def test_a_reply_without_a_tone_is_rejected(tone: Reply, kind: str) -> None:
    with llm(replying(Reply(text="I am here for you."), tone)) as (writer, _):
        assert reason(writer.replies([dialogue("I am alone.")])[0]).startswith(f"{kind}: ")


SECRET = "secretive"
UNSAFE = [
    f"<think>{SECRET}",
    f"<think>{SECRET}</think>",
    f"{SECRET}</think>Hello there.",
    f"<think>{SECRET}</think>Hello there.",
    f"<THINK>{SECRET}\n</THINK>\nHello there.",
    f"◁think▷{SECRET}◁/think▷Hello there.",
    f"[THINK]{SECRET}[/THINK]Hello there.",
    f"Hello there. <think>{SECRET}</think>",
    f"Hello there. <think>{SECRET}",
    f'<think>["{SECRET} words"]</think>["Hello there."]',
    f'["{SECRET} words"]</think>["Hello there."]',
    f'["Hello there.", "\\u003cthink\\u003e {SECRET} words"]',
    f'<think>{{"suitable": true, "spoken": "{SECRET} words"}}</think>{{"suitable": true, "spoken": "Hello there."}}',
    f'{{"suitable": true, "spoken": "\\u003cthink\\u003e {SECRET} words"}}',
    f"&lt;think&gt;{SECRET} words",
    f"＜think＞{SECRET} words",
]


@pytest.mark.parametrize("answer", UNSAFE)
@pytest.mark.parametrize("finish_reason", ["stop", "length"])
def test_no_thought_reaches_any_result(answer: str, finish_reason: str) -> None:
    thoughts = {"reasoning_content": SECRET, "reasoning": SECRET}
    with llm(lambda *_: Reply(text=answer, message=thoughts, finish_reason=finish_reason)) as (writer, _):
        results = [
            *writer.user_turns([wish()]),
            *writer.replies([dialogue("I am alone.")]),
            *writer.follow_ups([dialogue("I am alone.", "I am here.")]),
            *writer.rewrite_for_speech(["Cheer me up"]),
            *writer.translate(["我很孤单。"], "en"),
        ]
    texts = [str(result) for result in results if not isinstance(result, RejectedRow)]
    assert not [text for text in texts if SECRET in text or re.search(r"think", text, re.IGNORECASE)]


def test_a_follow_up_is_of_the_same_person() -> None:
    with llm(lambda *_: Reply(text='"Could you stay a little?"')) as (writer, server):
        assert writer.follow_ups([dialogue("I am alone.", "I am here.", seed=5)]) == ["Could you stay a little?"]
    (request,) = server.requests
    assert "an elderly woman who sounds sad" in request["messages"][0]["content"]
    assert request["seed"] == 5


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"suitable": true, "spoken": "Give me three tips to sleep better.", "reason": ""}', None),
        ('<think>ok</think>```json\n{"suitable": true, "spoken": "Give me three tips to sleep better."}\n```', None),
        ('{"suitable": false, "spoken": "", "reason": "needs code"}', "unsuitable for speech: needs code"),
        ('{"suitable": false, "spoken": ""}', "unsuitable for speech: "),
        ('{"suitable": "yes", "spoken": "Give me tips."}', "bad answer: suitable is 'yes', expected true or false"),
        ('{"suitable": true, "spoken": null}', "bad answer: got None, expected text"),
        ('{"suitable": true, "spoken": "Print `x`."}', "markup: '`' in 'Print `x`.', expected plain spoken text"),
        ('{"suitable": true, "spok', "bad answer: got "),
        ("I cannot help with that.", "bad answer: got 'I cannot help with that.', expected a JSON object"),
    ],
)
def test_instructions_are_rewritten_where_they_suit_speech(answer: str, expected: str | None) -> None:
    with llm(lambda *_: Reply(text=answer)) as (writer, _):
        (result,) = writer.rewrite_for_speech(["Sleep better: 3 tips"])
    if expected is None:
        assert result == "Give me three tips to sleep better."
    else:
        assert reason(result).startswith(expected)


def test_a_long_instruction_is_rejected_without_a_request() -> None:
    with llm(lambda *_: Reply()) as (writer, server):
        (result,) = writer.rewrite_for_speech(["x" * 1001])
    assert reason(result) == "unsuitable for speech: 1001 characters, expected at most 1000"
    assert server.requests == []


def test_texts_are_translated_in_order() -> None:
    translations = {"I am happy.": "我很开心。", "I am sad.": "我很难过。"}

    def respond(prompt: str, _: int) -> Reply:
        text = prompt.splitlines()[-1]
        return Reply(text=translations[text], delay=0.1 if text == "I am happy." else 0)

    with llm(respond) as (writer, _):
        assert writer.translate(list(translations), "zh") == list(translations.values())


def test_results_are_in_the_order_of_requests_and_rejected_alone() -> None:
    def respond(prompt: str, tries: int) -> Reply:
        name = re.search(r"topic: topic (\w+)\.", prompt)
        replies = {
            "slow": Reply(text='["I am slow today."]', delay=0.2),
            "busy": Reply(status=429, headers={"Retry-After": "0.1"}) if tries < 3 else Reply(text='["I was busy."]'),
            "failing": Reply(status=500, headers=FAST),
            "garbage": Reply(body=b"<html>"),
            "refusal": Reply(text="I'm sorry, but I can't do that."),
            "quick": Reply(text='["I am quick today."]'),
        }
        assert name
        return replies[name[1]]

    names = ["slow", "busy", "failing", "garbage", "refusal", "quick"]
    with llm(respond) as (writer, _):
        slow, busy, failing, garbage, refusal, quick = writer.user_turns([wish(f"topic {name}") for name in names])
    assert [slow, busy, quick] == [["I am slow today."], ["I was busy."], ["I am quick today."]]
    assert isinstance(failing, Unavailable)
    assert isinstance(garbage, Unavailable)
    assert type(refusal) is RejectedRow
    assert reason(refusal).startswith("bad answer: ")


def test_a_wrong_model_ends_the_job() -> None:
    with llm(lambda *_: Reply(status=404)) as (writer, _), pytest.raises(openai.NotFoundError):
        writer.user_turns([wish()])


def test_another_language_is_rejected_without_a_request() -> None:
    with llm(lambda *_: Reply()) as (writer, server):
        results = [
            *writer.user_turns([wish(language="fr")]),
            *writer.replies([dialogue("Salut !", language="fr")]),
            *writer.follow_ups([dialogue("Salut !", "Bonjour.", language="fr")]),
            *writer.rewrite_for_speech(["Salut !"], language="fr"),
            *writer.translate(["Hello."], "fr"),
        ]
    assert {reason(result) for result in results} == {"unsupported language: 'fr', expected one of en, zh"}
    assert server.requests == []


def test_requests_outside_the_protocol_are_refused() -> None:
    with llm(lambda *_: Reply()) as (writer, _):
        with pytest.raises(ValueError, match="count is 0, expected at least 1"):
            writer.user_turns([wish(count=0)])
        with pytest.raises(ValueError, match="the last one of the user"):
            writer.replies([dialogue("I am alone.", "I am here.")])
        with pytest.raises(ValueError, match="the last one of the assistant"):
            writer.follow_ups([dialogue("I am alone.")])
        with pytest.raises(ValueError, match=r"messages of \[\]"):
            writer.replies([dialogue()])


def test_impossible_lengths_are_refused() -> None:
    endpoint = EndpointConfig(base_url="http://x/v1", model="m")
    with pytest.raises(ValueError, match="got 1 and 60"):
        LLMWriterConfig(endpoint=endpoint, max_turn_words=1)
