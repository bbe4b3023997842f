"""The published chat template against the prompt builder."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import TemplateError
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from opens2s_core.checkpoint.chat_template import chat_template
from opens2s_core.checkpoint.vocabulary import read_vocabulary
from opens2s_core.prompt import AUDIO_SLOT, DEFAULT_SYSTEM, Audio, Message, PromptBuilder, PromptStyle, Spoken, Text
from tests.opens2s_core.opens2s_tiny import GOLDEN

VOCABULARY = read_vocabulary(GOLDEN.path)


def merging_tokenizer() -> PreTrainedTokenizerFast:
    """The golden tokenizer with a token for two newlines, as Qwen3's has one."""
    values = json.loads((GOLDEN.path / "tokenizer.json").read_text())
    values["model"]["vocab"]["ĊĊ"] = len(VOCABULARY.tokenizer)
    values["model"]["merges"].append(["Ċ", "Ċ"])
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(values)))


MERGING = merging_tokenizer()

AUDIO = "<|im_audio_start|><|im_audio|><|im_audio_end|>"

CONVERSATIONS = [
    [("user", "I am so tired of waiting.")],
    [("user", AUDIO)],
    [("system", "Answer in one sentence."), ("user", AUDIO)],
    [("system", ""), ("user", "Good morning!")],
    [("user", AUDIO), ("assistant", "I am sorry to hear that."), ("user", "Thank you.")],
    [("user", "What is this?" + AUDIO), ("assistant", ""), ("user", AUDIO), ("assistant", "Yes."), ("user", AUDIO)],
]


def messages(conversation: list[tuple[str, str]]) -> list[Message]:
    made = []
    for role, content in conversation:
        if role == "assistant":
            parts = (Spoken(content) if content else Text(""),)
        else:
            text, audio, _ = content.partition(AUDIO)
            parts = (*([Text(text)] if text or not audio else []), *([Audio("clip")] if audio else []))
        made.append(Message(role, parts))
    return made


def as_the_published_server(
    conversation: list[tuple[str, str]], style: PromptStyle, tokenizer: PreTrainedTokenizerFast = VOCABULARY.tokenizer
) -> list[int]:
    """It renders the template, opens a spoken reply, and encodes the text between the clips."""
    chat = [{"role": role, "content": content} for role, content in conversation]
    if not conversation or conversation[0][0] != "system":
        chat.insert(0, {"role": "system", "content": DEFAULT_SYSTEM})
    prompt = tokenizer.apply_chat_template(
        chat, chat_template=chat_template(style), add_generation_prompt=True, tokenize=False, enable_thinking=False
    )
    ids: list[int] = []
    for i, segment in enumerate((prompt + "<|im_tts_start|>").split("<|im_audio|>")):
        ids += [AUDIO_SLOT] * (i > 0) + tokenizer.encode(segment)
    return ids


@pytest.mark.parametrize("style", ["training", "plain", "chat"])
@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_the_template_writes_the_prompts_of_the_builder(
    style: PromptStyle, conversation: list[tuple[str, str]]
) -> None:
    builder = PromptBuilder(VOCABULARY.tokenizer, style)
    expected = builder.prompt(messages(conversation), speak=True).input_ids
    assert as_the_published_server(conversation, style) == expected


TEXTS = st.lists(st.sampled_from("\n \t\r.a1你") | st.text(max_size=2), max_size=6).map("".join)
NO_NEWLINE_FIRST = TEXTS.filter(lambda text: not re.match(r"\s*[\r\n]", text))


@given(style=st.sampled_from(["training", "plain"]), asked=NO_NEWLINE_FIRST, system=NO_NEWLINE_FIRST, answered=TEXTS)
def test_the_template_writes_any_contents_without_a_newline_first(
    style: PromptStyle, asked: str, system: str, answered: str
) -> None:
    conversation = [("system", system), ("user", asked + AUDIO), ("assistant", answered), ("user", asked)]
    expected = PromptBuilder(MERGING, style).prompt(messages(conversation), speak=True).input_ids
    assert as_the_published_server(conversation, style, MERGING) == expected


@given(asked=TEXTS, system=TEXTS, answered=TEXTS)
def test_the_template_writes_any_contents_in_chat_style(asked: str, system: str, answered: str) -> None:
    conversation = [("system", system), ("user", asked + AUDIO), ("assistant", answered), ("user", asked)]
    expected = PromptBuilder(MERGING, "chat").prompt(messages(conversation), speak=True).input_ids
    assert as_the_published_server(conversation, "chat", MERGING) == expected


@pytest.mark.parametrize("style", ["training", "plain"])
@pytest.mark.parametrize("role", ["system", "user"])
def test_a_newline_first_is_merged_with_that_of_the_header_in_the_template_alone(style: PromptStyle, role: str) -> None:
    conversation = [(role, "\nHello.")]
    ours = PromptBuilder(MERGING, style).prompt(messages(conversation), speak=True).input_ids
    theirs = as_the_published_server(conversation, style, MERGING)
    newline, merged = MERGING.convert_tokens_to_ids(["Ċ", "ĊĊ"])
    assert (ours.count(merged), theirs.count(merged)) == (0, 1)
    at = theirs.index(merged)
    assert ours == [*theirs[:at], newline, newline, *theirs[at + 1 :]]


@pytest.mark.parametrize("style", ["training", "plain", "chat"])
def test_a_conversation_without_a_system_message_has_the_default_one(style: PromptStyle) -> None:
    tokenizer = VOCABULARY.tokenizer
    user = {"role": "user", "content": "Hello."}
    system = {"role": "system", "content": DEFAULT_SYSTEM}
    template = chat_template(style)
    alone = tokenizer.apply_chat_template([user], chat_template=template, tokenize=False)
    assert alone == tokenizer.apply_chat_template([system, user], chat_template=template, tokenize=False)


def test_tools_are_refused() -> None:
    with pytest.raises(TemplateError, match="has not learned to call tools"):
        VOCABULARY.tokenizer.apply_chat_template(
            [{"role": "user", "content": "Hello."}],
            chat_template=chat_template("training"),
            tools=[{"type": "function", "function": {"name": "now", "description": "", "parameters": {}}}],
            tokenize=False,
        )
