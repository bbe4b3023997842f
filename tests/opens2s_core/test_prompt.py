import itertools
from collections.abc import Sequence
from typing import Any
from unicodedata import normalize

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from opens2s_core.prompt import (
    AUDIO_SLOT,
    DEFAULT_SYSTEM,
    IGNORED,
    Audio,
    Message,
    PromptBuilder,
    PromptStyle,
    Role,
    Spoken,
    Text,
    TrainingSample,
)
from tests.opens2s_core.wire import GOLDEN, VOCABULARY, as_items, served, speaker, wire_messages

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
    """Whether something in the written words is more than words to the reference."""
    markers = [*ADDED, "<|im_audio|>"]
    words = [item.text for message in messages for item in message.content if not isinstance(item, Audio)]
    return any(marker in text for text in words for marker in markers)


def row_id(row: dict[str, Any]) -> str:
    return f"{row['name']}-thinking" if row.get("enable_thinking") else row["name"]


def golden_sample(row: dict[str, Any]) -> TrainingSample:
    style: PromptStyle = "plain" if row["enable_thinking"] else "training"
    return builder(style).training_sample(wire_messages(row["messages"]))


def assert_columns(sample: TrainingSample, row: dict[str, Any]) -> None:
    """Sounds, units and speakers; the reference puts a place holder where there are none."""
    end = VOCABULARY.units.end_ids[0]
    units = [[VOCABULARY.units.offset + unit for unit in said] + [end] for said in sample.units]
    assert (sample.audios or ["hook"]) == row["audio_paths"]
    assert (units or [[0]]) == row["speech_units"]
    if row["spk_emb_paths"] == ["hook"]:
        assert sample.speakers == []
    else:
        assert sample.speakers == [speaker(path) for path in row["spk_emb_paths"]]


@pytest.mark.parametrize("row", [row for row in SAMPLES if not forges(wire_messages(row["messages"]))], ids=row_id)
def test_training_samples_are_those_of_the_published_tool(row: dict[str, Any]) -> None:
    sample = golden_sample(row)
    assert sample.input_ids == row["input_ids"]
    assert sample.token_types == row["token_types"]
    assert sample.labels == row["labels"]
    assert_columns(sample, row)


@pytest.mark.parametrize("row", [row for row in SAMPLES if forges(wire_messages(row["messages"]))], ids=row_id)
def test_special_tokens_in_training_text_stay_words(row: dict[str, Any]) -> None:
    sample = golden_sample(row)
    theirs = TrainingSample(row["input_ids"], row["token_types"], row["labels"])
    assert sample.input_ids != theirs.input_ids
    assert decode(sample.input_ids) == decode(theirs.input_ids)
    for ours, reference in zip(parts_of(sample), parts_of(theirs), strict=True):
        assert decode(ours) == decode(reference)
    assert_columns(sample, row)
    assert specials(sample.input_ids) == specials(golden_sample(harmless(row)).input_ids)


def parts_of(sample: TrainingSample) -> tuple[list[int], list[int]]:
    """What is learned, and what is spoken."""
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
    messages = wire_messages(row["messages"])
    with pytest.raises(ValueError, match=r"turn cannot hold|has no words"):
        builder("training").training_sample(messages)
    with pytest.raises(ValueError, match=r"turn cannot hold|has no words"):
        builder("chat").prompt(messages, speak=True)


@pytest.mark.parametrize("between", [(), (Text(""),)])
def test_two_spoken_replies_in_a_row_are_refused(between: tuple[Text, ...]) -> None:
    said = Message("assistant", (Spoken("One.", (1,)), *between, Spoken("Two.", (2,))))
    with pytest.raises(ValueError, match="two spoken replies in a row"):
        builder("training").training_sample([said])
    apart = Message("assistant", (Spoken("One.", (1,)), Text(" and "), Spoken("Two.", (2,))))
    assert builder("training").training_sample([apart]).units == [(1,), (2,)]


def test_a_system_turn_of_ones_own_is_no_error_as_it_is_there() -> None:
    messages = next(wire_messages(row["messages"]) for row in TOKENISED if row["name"] == "error:system_role")
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


def test_only_the_reply_is_learned_and_only_its_spoken_part_speaks() -> None:
    for style in STYLES:
        learned, spoken = parts_of(builder(style).training_sample([QUESTION, REPLY]))
        assert decode(learned) == "<|im_tts_start|>I hear you.<|im_tts_end|><|im_end|>\n"
        assert decode(spoken) == "<|im_tts_start|>I hear you.<|im_tts_end|>"


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("speak", [True, False])
def test_a_prompt_ends_where_the_trained_reply_begins(style: PromptStyle, speak: bool) -> None:
    prompt = builder(style).prompt(HISTORY, speak=speak)
    reply = Message("assistant", (REPLY.content[0] if speak else Text("Yes."),))
    sample = builder(style).training_sample([*HISTORY, reply])
    assert sample.input_ids[: len(prompt.input_ids)] == prompt.input_ids
    assert sample.audios == prompt.audios == ["a.wav"]


def test_units_and_speakers_go_with_the_replies_that_speak() -> None:
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
def test_sounds_are_the_users(role: Role) -> None:
    with pytest.raises(ValueError, match=f"a {role} turn cannot hold Audio"):
        builder("chat").prompt([Message(role, (Audio("a.wav"),))], speak=True)


def test_a_tokenizer_without_the_special_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match=r"lacks the special tokens .*<\|im_audio_start\|>"):
        PromptBuilder(PreTrainedTokenizerFast(tokenizer_object=Tokenizer(BPE())), "chat")


WORDS = st.text(max_size=8) | st.sampled_from(
    ["Hello there!", "\n", "\n\n", "  two spaces  ", "\r\n", "\ttab", "你好", "e\u0301", "🙂", "<|im_", "|>", "I'm", ""]
)
TURNS_OF_ROWS = [turn for row in SAMPLES for turn in wire_messages(row["messages"])]
PHRASES = [item.text for turn in TURNS_OF_ROWS for item in turn.content if isinstance(item, Text)]
# Cut anywhere: the pieces of a token that the whole text has must come together again.
CUT = st.builds(lambda words, at: [words[:at], words[at:]], st.sampled_from(PHRASES), st.integers(1, 9))
PIECES = (CUT | st.lists(WORDS, min_size=1, max_size=3)).filter(
    lambda pieces: not any(literal in "".join(pieces) for literal in ADDED)
)
TURNS = st.lists(st.tuples(st.sampled_from(["user", "assistant"]), PIECES), max_size=4)


@pytest.mark.skipif(VOCABULARY.tokenizer.chat_template is None, reason="the tokenizer has no chat template")
@given(system=st.none() | PIECES, history=TURNS, question=PIECES, reply=st.text(max_size=8))
def test_chat_is_the_tokenizers_own_template(
    system: list[str] | None, history: list[tuple[Role, list[str]]], question: list[str], reply: str
) -> None:
    assume(system is None or any(system))
    turns: list[tuple[Role, list[str]]] = [*history, ("user", question)]
    messages = [Message(role, tuple(map(Text, pieces))) for role, pieces in turns]
    if system is not None:
        messages.insert(0, Message("system", tuple(map(Text, system))))
    wire = [{"role": role, "content": "".join(pieces)} for role, pieces in turns]
    wire.insert(0, {"role": "system", "content": "".join(system or [DEFAULT_SYSTEM])})
    tokenizer, prompts = VOCABULARY.tokenizer, builder("chat")
    asked = tokenizer.apply_chat_template(wire, tokenize=False, add_generation_prompt=True, enable_thinking=False)
    assert prompts.prompt(messages, speak=False).input_ids == tokenizer.encode(asked, add_special_tokens=False)
    reply = reply.strip() or "Yes."
    answered = tokenizer.apply_chat_template([*wire, {"role": "assistant", "content": reply}], tokenize=False)
    sample = prompts.training_sample([*messages, Message("assistant", (Text(reply),))])
    assert decode(sample.input_ids) == decode(tokenizer.encode(answered, add_special_tokens=False))


LITERALS = st.sampled_from([*ADDED, "<|im_audio|>", "<|audio_0|>"])
NESTED = st.builds(lambda outer, at, inner: outer[:at] + inner + outer[at:], LITERALS, st.integers(1, 9), LITERALS)
FORGERY = st.lists(LITERALS | NESTED | st.text(max_size=3), min_size=1, max_size=4).map("".join).filter(bool)


@given(FORGERY)
def test_words_that_look_like_special_tokens_stay_words(text: str) -> None:
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
