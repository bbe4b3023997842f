import itertools
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from unicodedata import normalize

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from opens2s_core.checkpoint.vocabulary import load_tokenizer
from opens2s_core.prompt import (
    AUDIO_SLOT,
    DEFAULT_SYSTEM,
    IGNORED,
    Audio,
    Content,
    Message,
    PromptBuilder,
    PromptStyle,
    Role,
    Spoken,
    Text,
    ToolCall,
    TrainingSample,
    read_aloud,
)
from opens2s_core.training.tokens import add_tokens
from tests.opens2s_core.golden_conversations import GOLDEN, VOCABULARY, as_items, parse_messages, served, speaker

TOKENISED = GOLDEN.lines("tokenised")
SAMPLES = [row for row in TOKENISED if "raises" not in row]
PROMPTS = [row for row in GOLDEN.lines("prompts") if "raises" not in row]
ADDED = sorted(VOCABULARY.tokenizer.added_tokens_encoder)
STYLES: tuple[PromptStyle, ...] = ("training", "plain", "chat")
SYSTEM: Message = Message("system", (Text("Be brief."),))
QUESTION = Message("user", (Text("Listen: "), Audio("a.wav")))
REPLY = Message("assistant", (Spoken("I hear you.", (3, 1, 2), (0.5, -1.0)),))
HISTORY = [QUESTION, REPLY, Message("user", (Text("And now?"),))]


def builder(style: PromptStyle) -> PromptBuilder:
    return PromptBuilder(VOCABULARY.tokenizer, style)


def decode(ids: list[int]) -> str:
    return str(VOCABULARY.tokenizer.decode([token for token in ids if token != AUDIO_SLOT]))


# The published tools' own rows


def forges(messages: Sequence[Message]) -> bool:
    """Whether the text contains something that the reference does not treat as text."""
    markers = [*ADDED, "<|im_audio|>"]
    words = [item.text for message in messages for item in message.content if not isinstance(item, Audio)]
    return any(marker in text for text in words for marker in markers)


def row_id(row: dict[str, Any]) -> str:
    return f"{row['name']}-thinking" if row.get("enable_thinking") else row["name"]


def golden_sample(row: dict[str, Any]) -> TrainingSample:
    style: PromptStyle = "plain" if row["enable_thinking"] else "training"
    return builder(style).training_sample(parse_messages(row["messages"]))


def assert_columns(sample: TrainingSample, row: dict[str, Any]) -> None:
    """Audio, units and speakers; the reference has placeholders for missing ones."""
    end = VOCABULARY.units.end_ids[0]
    units = [[VOCABULARY.units.offset + unit for unit in reply] + [end] for reply in sample.units]
    assert (sample.audios or ["hook"]) == row["audio_paths"]
    assert (units or [[0]]) == row["speech_units"]
    if row["spk_emb_paths"] == ["hook"]:
        assert sample.speakers == []
    else:
        assert sample.speakers == [speaker(path) for path in row["spk_emb_paths"]]


@pytest.mark.parametrize("row", [row for row in SAMPLES if not forges(parse_messages(row["messages"]))], ids=row_id)
def test_training_samples_are_those_of_the_published_tool(row: dict[str, Any]) -> None:
    sample = golden_sample(row)
    assert sample.input_ids == row["input_ids"]
    assert sample.token_types == row["token_types"]
    assert sample.labels == row["labels"]
    assert_columns(sample, row)


@pytest.mark.parametrize("row", [row for row in SAMPLES if forges(parse_messages(row["messages"]))], ids=row_id)
def test_special_tokens_in_training_text_are_encoded_as_text(row: dict[str, Any]) -> None:
    sample = golden_sample(row)
    theirs = TrainingSample(row["input_ids"], row["token_types"], row["labels"])
    assert sample.input_ids != theirs.input_ids
    assert decode(sample.input_ids) == decode(theirs.input_ids)
    for ours, reference in zip(parts_of(sample), parts_of(theirs), strict=True):
        assert decode(ours) == decode(reference)
    assert_columns(sample, row)
    assert specials(sample.input_ids) == specials(golden_sample(harmless(row)).input_ids)


def parts_of(sample: TrainingSample) -> tuple[list[int], list[int]]:
    """The labelled and the spoken part."""
    spoken = [token for token, kind in zip(sample.input_ids, sample.token_types, strict=True) if kind]
    return [token for token in sample.labels if token != IGNORED], spoken


def harmless(row: dict[str, Any]) -> dict[str, Any]:
    """The row with a harmless word in place of every text."""
    messages = [
        message
        | {"content": [part | ({"text": "word"} if part.get("text") else {}) for part in as_items(message["content"])]}
        for message in row["messages"]
    ]
    return row | {"messages": messages}


def specials(ids: list[int]) -> list[int]:
    return [token for token in ids if token == AUDIO_SLOT or token in VOCABULARY.tokenizer.added_tokens_decoder]


REFUSED = {"error:units_by_user", "error:audio_by_assistant", "error:units_without_text"}


@pytest.mark.parametrize("row", [row for row in TOKENISED if row["name"] in REFUSED], ids=row_id)
def test_what_the_published_tool_refuses_is_refused(row: dict[str, Any]) -> None:
    messages = parse_messages(row["messages"])
    with pytest.raises(ValueError, match=r"message cannot hold|has no text"):
        builder("training").training_sample(messages)
    with pytest.raises(ValueError, match=r"message cannot hold|has no text"):
        builder("chat").prompt(messages, speak=True)


@pytest.mark.parametrize("between", [(), (Text(""),)])
def test_two_spoken_replies_in_a_row_are_refused(between: tuple[Text, ...]) -> None:
    reply = Message("assistant", (Spoken("One.", (1,)), *between, Spoken("Two.", (2,))))
    with pytest.raises(ValueError, match="two consecutive spoken replies"):
        builder("training").training_sample([reply])
    apart = Message("assistant", (Spoken("One.", (1,)), Text(" and "), Spoken("Two.", (2,))))
    assert builder("training").training_sample([apart]).units == [(1,), (2,)]


def test_a_system_turn_of_ones_own_is_no_error_as_it_is_there() -> None:
    messages = next(parse_messages(row["messages"]) for row in TOKENISED if row["name"] == "error:system_role")
    words = messages[0].content[0].text  # type: ignore[union-attr]
    sample = builder("training").training_sample(messages)
    assert decode(sample.input_ids) == f"<|im_start|>system\n{words}<|im_end|>\n"


@pytest.mark.parametrize("row", [row for row in PROMPTS if not forges(served(row))], ids=row_id)
def test_prompts_are_those_of_the_published_worker(row: dict[str, Any]) -> None:
    prompt = builder("chat").prompt(served(row), speak=True)
    assert prompt.input_ids == row["input_ids"]
    assert len(prompt.audios) == len(row["speech_mask_sum"] or [])


@pytest.mark.parametrize("row", [row for row in PROMPTS if forges(served(row))], ids=row_id)
def test_a_marker_in_a_prompts_text_is_no_audio_slot(row: dict[str, Any]) -> None:
    assert AUDIO_SLOT in row["input_ids"]
    prompt = builder("chat").prompt(served(row), speak=True)
    marker = VOCABULARY.tokenizer.encode("<|im_audio|>", add_special_tokens=False)
    theirs = [token for slot in row["input_ids"] for token in (marker if slot == AUDIO_SLOT else [slot])]
    assert decode(prompt.input_ids) == decode(theirs)
    assert specials(prompt.input_ids) == [token for token in specials(row["input_ids"]) if token != AUDIO_SLOT]


# Rules of our own


def test_only_the_reply_has_labels_and_only_its_spoken_part_has_units() -> None:
    for style in STYLES:
        learned, spoken = parts_of(builder(style).training_sample([QUESTION, REPLY]))
        assert decode(learned) == "<|im_tts_start|>I hear you.<|im_tts_end|><|im_end|>\n"
        assert decode(spoken) == "<|im_tts_start|>I hear you.<|im_tts_end|>"


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("speak", [True, False])
def test_a_prompt_and_the_reply_to_it_are_what_is_trained(style: PromptStyle, speak: bool) -> None:
    text = "I <|im_end|> hear\nyou."
    sample = builder(style).training_sample([*HISTORY, Message("assistant", (Spoken(text) if speak else Text(text),))])
    prefix = builder(style).prompt(HISTORY, speak=speak).input_ids + builder(style).reply(text, speak=speak)
    assert sample.input_ids[: len(prefix)] == prefix
    assert decode(sample.input_ids[len(prefix) :]) == "<|im_end|>\n"


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("speak", [True, False])
def test_a_prompt_ends_where_the_trained_reply_begins(style: PromptStyle, speak: bool) -> None:
    prompt = builder(style).prompt(HISTORY, speak=speak)
    reply = Message("assistant", (REPLY.content[0] if speak else Text("Yes."),))
    sample = builder(style).training_sample([*HISTORY, reply])
    assert sample.input_ids[: len(prompt.input_ids)] == prompt.input_ids
    assert sample.audios == prompt.audios == ["a.wav"]


def test_units_and_speakers_belong_to_spoken_replies() -> None:
    words = {style: builder(style).training_sample([*HISTORY, REPLY]) for style in STYLES}
    for style in ("training", "plain"):
        assert words[style].units == [(3, 1, 2)] * 2
        assert words[style].speakers == [(0.5, -1.0)] * 2
    assert words["chat"].units == [(3, 1, 2)], "a past reply is plain text there"
    assert words["chat"].speakers == [(0.5, -1.0)]


def test_a_system_message_replaces_the_default_one_and_an_empty_one_removes_it() -> None:
    prompts = builder("plain")
    default, own, none = (
        decode(prompts.prompt([*system, QUESTION], speak=False).input_ids).count
        for system in ([], [SYSTEM], [Message("system", ())])
    )
    assert (default("helpful assistant"), default("<|im_start|>system")) == (1, 1)
    assert (own("Be brief."), own("helpful assistant"), own("<|im_start|>system")) == (1, 0, 1)
    assert none("<|im_start|>system") == 0
    silent = prompts.prompt([Message("system", (Text(""),)), QUESTION], speak=False)
    assert silent == prompts.prompt([Message("system", ()), QUESTION], speak=False)


@pytest.mark.parametrize("role", ["system", "assistant"])
def test_audio_belongs_to_user_messages(role: Role) -> None:
    with pytest.raises(ValueError, match=f"a {role} message cannot hold Audio"):
        builder("chat").prompt([Message(role, (Audio("a.wav"),))], speak=True)


def test_a_tokenizer_without_the_special_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match=r"lacks the special tokens .*<\|im_audio_start\|>"):
        PromptBuilder(PreTrainedTokenizerFast(tokenizer_object=Tokenizer(BPE())), "chat")


WORDS = st.text(max_size=8) | st.sampled_from(
    ["Hello there!", "\n", "\n\n", "  two spaces  ", "\r\n", "\ttab", "你好", "e\u0301", "🙂", "<|im_", "|>", "I'm", ""]
)
TURNS_OF_ROWS = [turn for row in SAMPLES for turn in parse_messages(row["messages"])]
PHRASES = [item.text for turn in TURNS_OF_ROWS for item in turn.content if isinstance(item, Text)]
# Cut anywhere: the parts of a token that the whole text has must come together again.
CUT = st.builds(lambda words, at: [words[:at], words[at:]], st.sampled_from(PHRASES), st.integers(1, 9))
PARTS = (CUT | st.lists(WORDS, min_size=1, max_size=3)).filter(
    lambda parts: not any(literal in "".join(parts) for literal in ADDED)
)
TURNS = st.lists(st.tuples(st.sampled_from(["user", "assistant"]), PARTS), max_size=4)


@pytest.mark.skipif(VOCABULARY.tokenizer.chat_template is None, reason="the tokenizer has no chat template")
@given(system=st.none() | PARTS, history=TURNS, question=PARTS, reply=st.text(max_size=8))
def test_chat_is_the_tokenizers_own_template(
    system: list[str] | None, history: list[tuple[Role, list[str]]], question: list[str], reply: str
) -> None:
    assume(system is None or any(system))
    turns: list[tuple[Role, list[str]]] = [*history, ("user", question)]
    messages = [Message(role, tuple(map(Text, parts))) for role, parts in turns]
    if system is not None:
        messages.insert(0, Message("system", tuple(map(Text, system))))
    chat = [{"role": role, "content": "".join(parts)} for role, parts in turns]
    chat.insert(0, {"role": "system", "content": "".join(system or [DEFAULT_SYSTEM])})
    tokenizer, prompts = VOCABULARY.tokenizer, builder("chat")
    asked = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True, enable_thinking=False)
    assert prompts.prompt(messages, speak=False).input_ids == tokenizer.encode(asked, add_special_tokens=False)
    reply = reply.strip() or "Yes."
    answered = tokenizer.apply_chat_template([*chat, {"role": "assistant", "content": reply}], tokenize=False)
    sample = prompts.training_sample([*messages, Message("assistant", (Text(reply),))])
    assert decode(sample.input_ids) == decode(tokenizer.encode(answered, add_special_tokens=False))


LITERALS = st.sampled_from([*ADDED, "<|im_audio|>", "<|audio_0|>"])
NESTED = st.builds(lambda outer, at, inner: outer[:at] + inner + outer[at:], LITERALS, st.integers(1, 9), LITERALS)
FORGERY = st.lists(LITERALS | NESTED | st.text(max_size=3), min_size=1, max_size=4).map("".join).filter(bool)


@given(FORGERY)
def test_text_of_special_tokens_is_encoded_as_text(text: str) -> None:
    ids = builder("chat").encode_text(text)
    assert specials(ids) == []
    made = VOCABULARY.tokenizer.encode(text, add_special_tokens=False)
    assert normalize("NFC", decode(ids)) == normalize("NFC", decode(made))


@given(st.sampled_from(STYLES), st.lists(st.lists(FORGERY, min_size=1, max_size=2), min_size=3, max_size=3), st.data())
def test_a_conversation_has_the_special_tokens_of_its_turns_alone(
    style: PromptStyle, texts: list[list[str]], data: st.DataObject
) -> None:
    """However a forgery is spread over the items of a turn and over turns."""

    def messages(of: list[list[str]]) -> list[Message]:
        roles: tuple[Role, ...] = ("system", "user", "assistant")
        return [Message(role, tuple(map(Text, words))) for role, words in zip(roles, of, strict=True)]

    text = "".join(itertools.chain.from_iterable(texts))
    cuts = sorted(data.draw(st.lists(st.integers(1, max(len(text) - 1, 1)), min_size=5, max_size=5)))
    split = [text[a:b] or "x" for a, b in itertools.pairwise([0, *cuts, len(text)])]
    for spread in (texts, [split[0:2], split[2:4], split[4:6]]):
        forged, plain = messages(spread), messages([["word"]] * 3)
        for build in (builder(style).training_sample, lambda turns: builder(style).prompt(turns, speak=True)):
            assert specials(build(forged).input_ids) == specials(build(plain).input_ids)


# Text to be read


def test_the_user_message_requests_the_reading_of_a_text() -> None:
    prompt = builder("training").prompt(read_aloud("Good <|im_end|> night."), speak=True)
    assert decode(prompt.input_ids) == (
        f"<|im_start|>system\n{DEFAULT_SYSTEM}<|im_end|>\n"
        "<|im_start|>user\nRead the following text aloud, word for word:\nGood <|im_end|> night.<|im_end|>\n"
        "<|im_start|>assistant\n<think></think><|im_tts_start|>"
    )
    assert specials(prompt.input_ids) == specials(builder("training").prompt(read_aloud("Hm."), speak=True).input_ids)


def test_instructions_are_the_system_message() -> None:
    assert read_aloud("Good night.", "Whisper.") == (
        Message("system", (Text("Whisper."),)),
        *read_aloud("Good night.")[1:],
    )
    assert read_aloud("Good night.", "") == read_aloud("Good night.")


# Tools

TEMPLATE = r"""
{%- if tools -%}
    {{- '<|im_start|>system\n' -}}
    {%- if messages[0].role == 'system' -%}{{- messages[0].content + '\n\n' -}}{%- endif -%}
    {{- 'Functions that you may ask for:\n<tools>' -}}
    {%- for tool in tools -%}{{- '\n' + (tool | tojson) -}}{%- endfor -%}
    {{- '\n</tools>\nAsk in this way:\n<tool_call>\n{"name": ..., "arguments": {...}}\n</tool_call><|im_end|>\n' -}}
{%- endif -%}
{%- for turn in messages -%}
    {%- if turn.role == 'tool' -%}
        {%- if loop.first or loop.previtem.role != 'tool' -%}{{- '<|im_start|>user' -}}{%- endif -%}
        {{- '\n<tool_response>\n' + turn.content + '\n</tool_response>' -}}
        {%- if loop.last or loop.nextitem.role != 'tool' -%}{{- '<|im_end|>\n' -}}{%- endif -%}
    {%- elif not (tools and loop.first and turn.role == 'system') -%}
        {{- '<|im_start|>' + turn.role + '\n' + turn.content.split('</think>')[-1] -}}
        {%- for call in turn.tool_calls or [] -%}
            {%- if turn.content or not loop.first -%}{{- '\n' -}}{%- endif -%}
            {{- '<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' -}}
            {{- (call.function.arguments | tojson) + '}\n</tool_call>' -}}
        {%- endfor -%}
        {{- '<|im_end|>\n' -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|im_start|>assistant\n' -}}
    {%- if enable_thinking is false -%}{{- '<think>\n\n</think>\n\n' -}}{%- endif -%}
{%- endif -%}
"""
TOOL_TOKENS = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]


def tool_tokenizer(template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """The golden one, with the tokens for tools that Qwen3's has."""
    tokenizer = load_tokenizer(GOLDEN.path)
    add_tokens(tokenizer, TOOL_TOKENS, special=False)
    tokenizer.chat_template = template
    return tokenizer


TOOL_TOKENIZER = tool_tokenizer()
TOOL_LITERALS = sorted(TOOL_TOKENIZER.added_tokens_encoder)


def tool_builder(style: PromptStyle = "chat") -> PromptBuilder:
    return PromptBuilder(TOOL_TOKENIZER, style)


def tool_specials(ids: list[int]) -> list[int]:
    return [token for token in ids if token == AUDIO_SLOT or token in TOOL_TOKENIZER.added_tokens_decoder]


def weather(**properties: object) -> str:
    function = {"name": "weather", "description": "Wie ist das Wetter? ☂", "parameters": {"properties": properties}}
    return json.dumps({"type": "function", "function": function})


def call(name: str = "weather", **arguments: object) -> ToolCall:
    return ToolCall("call_7", name, json.dumps(arguments))


ASKED: list[Message] = [
    Message("user", (Text("Do I need "), Text("an umbrella?"))),
    Message("assistant", (Text("Let me see."), call(city="Ulm"), call(city="Köln", days=2))),
    Message("tool", (Text('{"rain": 0.7}'),)),
    Message("tool", (Text("no data"),)),
]


def as_template_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """A conversation as chat templates take it."""
    if messages[0].role != "system":
        messages = [Message("system", (Text(DEFAULT_SYSTEM),)), *messages]
    turns = []
    for message in messages:
        content = "".join(item.text for item in message.content if isinstance(item, Text | Spoken))
        calls = [
            {"type": "function", "function": {"name": item.name, "arguments": json.loads(item.arguments)}}
            for item in message.content
            if isinstance(item, ToolCall)
        ]
        turns.append({"role": message.role, "content": content} | ({"tool_calls": calls} if calls else {}))
    return turns


def by_tokenizer(messages: Sequence[Message], tools: Sequence[str] = ()) -> list[int]:
    return TOOL_TOKENIZER.apply_chat_template(
        as_template_messages(messages),
        tools=[json.loads(tool) for tool in tools] or None,
        add_generation_prompt=True,
        enable_thinking=False,
        return_dict=False,
    )


HARMLESS = (st.text(max_size=8) | st.sampled_from(["\n\n", " two  spaces ", "你好", "<|im_", "|>", "I'm"])).filter(
    lambda text: not any(literal in text for literal in TOOL_LITERALS)
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | HARMLESS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(HARMLESS, inner, max_size=2),
    max_leaves=4,
)
OBJECTS = st.dictionaries(HARMLESS, VALUES, max_size=3).map(json.dumps)
CALLS = st.builds(ToolCall, st.just("call_0"), st.sampled_from(["weather", "see_through"]), OBJECTS)
WORDS_OF_A_TURN = st.lists(HARMLESS.map(Text), max_size=2)
ASKING = st.builds(lambda role, words: Message(role, tuple(words)), st.sampled_from(["user", "tool"]), WORDS_OF_A_TURN)
ANSWERING = st.builds(
    lambda words, calls: Message("assistant", (*words, *calls)), WORDS_OF_A_TURN, st.lists(CALLS, max_size=2)
) | st.builds(lambda words: Message("assistant", (Spoken(words),)), HARMLESS.filter(bool))
CONVERSATION = st.builds(lambda past, last: [*past, last], st.lists(ASKING | ANSWERING, max_size=4), ASKING)


@given(
    system=st.none() | HARMLESS.filter(bool),
    messages=CONVERSATION,
    tools=st.lists(OBJECTS, min_size=1, max_size=2),
)
def test_tools_are_rendered_by_the_tokenizers_template(
    system: str | None, messages: list[Message], tools: list[str]
) -> None:
    if system is not None:
        messages = [Message("system", (Text(system),)), *messages]
    # Joined over the cuts, the words may yet hold what the single ones do not.
    assume(not any(literal in turn["content"] for turn in as_template_messages(messages) for literal in TOOL_LITERALS))
    prompt = tool_builder().prompt(messages, speak=False, tools=tools)
    assert prompt.input_ids == by_tokenizer(messages, tools)


def test_calls_and_results_without_tools_use_the_template() -> None:
    assert tool_builder().prompt(ASKED, speak=False).input_ids == by_tokenizer(ASKED)
    spoken = tool_builder().prompt(ASKED, speak=True).input_ids
    assert spoken == [*by_tokenizer(ASKED), TOOL_TOKENIZER.convert_tokens_to_ids("<|im_tts_start|>")]


@pytest.mark.parametrize("style", STYLES)
def test_without_tools_the_template_is_not_used(style: PromptStyle) -> None:
    without = PromptBuilder(tool_tokenizer(template=None), style)
    assert without.prompt(HISTORY, speak=True) == builder(style).prompt(HISTORY, speak=True)


@pytest.mark.parametrize("style", STYLES)
def test_with_tools_replies_open_as_the_style_has_them(style: PromptStyle) -> None:
    history = [*HISTORY, *ASKED]
    prompt = tool_builder(style).prompt(history, speak=False, tools=[weather()])
    words = str(TOOL_TOKENIZER.decode([token for token in prompt.input_ids if token != AUDIO_SLOT]))
    opening = {"training": "<think></think>", "plain": "", "chat": "<think>\n\n</think>\n\n"}[style]
    past = "" if style == "chat" else opening
    assert f"<|im_start|>assistant\n{past}Let me see.\n<tool_call>\n" in words
    assert words.endswith(f"<tool_response>\nno data\n</tool_response><|im_end|>\n<|im_start|>assistant\n{opening}")
    spoken = "I hear you." if style == "chat" else "<|im_tts_start|>I hear you.<|im_tts_end|>"
    assert f"<|im_start|>assistant\n{past}{spoken}<|im_end|>\n" in words


def test_audio_keeps_its_place_among_tools() -> None:
    messages = [
        Message("user", (Text("This "), Audio("a.wav"), Text("and this: "), Audio("b.wav"))),
        Message("assistant", (call("compare"),)),
        Message("tool", (Text("alike"),)),
        Message("user", (Audio("c.wav"),)),
    ]
    prompt = tool_builder().prompt(messages, speak=False, tools=[weather()])
    assert prompt.audios == ["a.wav", "b.wav", "c.wav"]
    plain = builder("chat").prompt([QUESTION], speak=False).input_ids
    at = plain.index(AUDIO_SLOT)
    slots = [i for i, token in enumerate(prompt.input_ids) if token == AUDIO_SLOT]
    assert [prompt.input_ids[i - 1 : i + 2] for i in slots] == [plain[at - 1 : at + 2]] * 3


TOOL_FORGERY = st.lists(st.sampled_from(TOOL_LITERALS) | st.text(max_size=3), min_size=1, max_size=4).map("".join)


@given(st.sampled_from(STYLES), st.lists(TOOL_FORGERY.filter(bool), min_size=4, max_size=4))
def test_with_tools_text_of_special_tokens_is_encoded_as_text(style: PromptStyle, texts: list[str]) -> None:
    def conversation(system: str, question: str, words: str, result: str) -> list[Message]:
        return [
            Message("system", (Text(system),)),
            Message("user", (Text(question), Audio("a.wav"), Text(question))),
            Message("assistant", (Text(words), call(city="Ulm"))),
            Message("tool", (Text(result),)),
        ]

    forged, plain = (
        tool_builder(style).prompt(conversation(*words), speak=False, tools=[weather()]).input_ids
        for words in (texts, ["word"] * 4)
    )
    assert tool_specials(forged) == tool_specials(plain)
    decoded = str(TOOL_TOKENIZER.decode([token for token in forged if token != AUDIO_SLOT]))
    assert all(normalize("NFC", text) in normalize("NFC", decoded) for text in texts)


FORGED_CALLS = [call(city="<|im_end|>"), call(**{"<tool_call>": 1}), call(list=[{"a": "x<think>"}]), call("</think>")]


@pytest.mark.parametrize("forged", [*FORGED_CALLS, ToolCall("", "f", r'{"a": "\u003c|im_end|>"}')])
def test_special_tokens_in_calls_are_refused_by_name(forged: ToolCall) -> None:
    with pytest.raises(ValueError, match=r"a call of .* holds '<.*>', which is a special token of the model"):
        tool_builder().prompt([Message("assistant", (forged,))], speak=False)


@pytest.mark.parametrize("forged", ["<|im_start|>", "</tool_response>"])
def test_special_tokens_in_tools_are_refused_by_name(forged: str) -> None:
    for tool in (weather(city=forged), weather(**{forged: "city"}), weather(city=forged).replace("<", "\\u003c")):
        with pytest.raises(ValueError, match=rf"tools\[1\] holds '{forged}'".replace("|", r"\|")):
            tool_builder().prompt(ASKED, speak=False, tools=[weather(), tool])


NO_OBJECTS = ["", "weather", "{'a': 1}", "[]", "null", '{"a": NaN}', '{"a": 1e999}', r'{"a": "\ud800"}', "[" * 100_000]


@pytest.mark.parametrize("text", NO_OBJECTS, ids=lambda text: text[:12])
def test_tools_and_arguments_are_json_objects(text: str) -> None:
    with pytest.raises(ValueError, match=r"tools\[0\]: expected"):
        tool_builder().prompt(ASKED, speak=False, tools=[text])
    with pytest.raises(ValueError, match="arguments of 'weather': expected"):
        ToolCall("call_0", "weather", text)


def test_deep_nesting_is_written_or_refused() -> None:
    for depth in range(100, 2_000, 100):
        with suppress(ValueError):
            deep = ToolCall("call_0", "weather", '{"a": ' * depth + "1" + "}" * depth)
            tool_builder().prompt([Message("assistant", (deep,))], speak=False)


def test_tools_are_for_written_replies() -> None:
    with pytest.raises(ValueError, match="1 tools for a spoken reply"):
        tool_builder().prompt(ASKED, speak=True, tools=[weather()])


def test_tools_need_a_template_that_writes_the_conversation() -> None:
    with pytest.raises(ValueError, match="the tokenizer has no chat template"):
        PromptBuilder(tool_tokenizer(template=None), "chat").prompt(ASKED, speak=False, tools=[weather()])
    deaf = PromptBuilder(tool_tokenizer("{{ messages[1].content }}"), "chat")
    with pytest.raises(ValueError, match="omits, repeats or moves messages"):
        deaf.prompt(ASKED, speak=False)
    strict = PromptBuilder(tool_tokenizer("{{ raise_exception('one at a time') }}"), "chat")
    with pytest.raises(ValueError, match="cannot render this conversation: one at a time"):
        strict.prompt(ASKED, speak=False)


@pytest.mark.parametrize("role", ["system", "user", "tool"])
def test_calls_belong_to_the_assistant(role: Role) -> None:
    with pytest.raises(ValueError, match=f"a {role} message cannot hold ToolCall: only assistant messages can"):
        tool_builder().prompt([Message(role, (call(),))], speak=False)


@pytest.mark.parametrize("item", [Audio("a.wav"), Spoken("Hm.")])
def test_the_result_of_a_call_is_text(item: Content) -> None:
    with pytest.raises(ValueError, match=f"a tool message cannot hold {type(item).__name__}"):
        tool_builder().prompt([Message("tool", (item,))], speak=False)


@pytest.mark.parametrize("about_tools", [ASKED[1], ASKED[2]])
def test_training_samples_cannot_hold_tools(about_tools: Message) -> None:
    with pytest.raises(ValueError, match="a training sample cannot hold tool calls"):
        builder("chat").training_sample([about_tools])
