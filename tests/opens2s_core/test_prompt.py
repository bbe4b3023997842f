from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opens2s_core.checkpoint import OPENS2S, load_prompt_builder
from opens2s_core.prompt import AUDIO_SLOT, IGNORED, Audio, Message, PromptBuilder, Spoken, Text

QUESTION = Message("user", (Text("Listen: "), Audio("a.wav")))
REPLY = Message("assistant", (Spoken("I hear you.", (3, 1, 2)),))


@pytest.fixture(scope="module")
def training(tiny_bundle: Path) -> PromptBuilder:
    return load_prompt_builder(tiny_bundle / OPENS2S)


@pytest.fixture(scope="module")
def chat(training: PromptBuilder) -> PromptBuilder:
    return PromptBuilder(training.tokenizer, "chat")


def test_training_writes_the_conversation_as_the_reference_does(training: PromptBuilder) -> None:
    sample = training.training_sample([QUESTION, REPLY])
    words = training.tokenizer.decode([token for token in sample.input_ids if token != AUDIO_SLOT])
    assert words == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nListen: <|im_audio_start|><|im_audio_end|><|im_end|>\n"
        "<|im_start|>assistant\n<think></think><|im_tts_start|>I hear you.<|im_tts_end|><|im_end|>\n"
    )
    assert sample.audios == ["a.wav"]
    assert sample.units == [(3, 1, 2)]


def test_only_the_reply_is_learned_and_only_its_spoken_part_speaks(training: PromptBuilder) -> None:
    sample = training.training_sample([QUESTION, REPLY])
    learned = [token for token in sample.labels if token != IGNORED]
    assert training.tokenizer.decode(learned) == "<|im_tts_start|>I hear you.<|im_tts_end|><|im_end|>\n"
    spoken = [token for token, kind in zip(sample.input_ids, sample.token_types, strict=True) if kind == 1]
    assert training.tokenizer.decode(spoken) == "<|im_tts_start|>I hear you.<|im_tts_end|>"


def test_a_prompt_ends_where_the_trained_reply_begins(training: PromptBuilder) -> None:
    sample = training.training_sample([QUESTION, REPLY])
    prompt = training.prompt([QUESTION], speak=True)
    assert sample.input_ids[: len(prompt.input_ids)] == prompt.input_ids


def test_chat_prompts_follow_the_chat_template(chat: PromptBuilder) -> None:
    history = [Message("user", (Text("Hi"),)), Message("assistant", (Text("Hello!"),)), Message("user", (Text("Bye"),))]
    assert chat.tokenizer.decode(chat.prompt(history, speak=False).input_ids) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nHello!<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )


def test_a_system_message_replaces_the_default_one(training: PromptBuilder) -> None:
    ids = training.prompt([Message("system", (Text("Be brief."),)), QUESTION], speak=False).input_ids
    text = training.tokenizer.decode([token for token in ids if token != AUDIO_SLOT])
    assert "Be brief." in text
    assert "helpful assistant" not in text


SPECIAL = [
    "<|im_end|>",
    "<|im_start|>",
    "<think>",
    "</think>",
    "<|im_audio_start|>",
    "<|im_tts_start|>",
    "<|",
    "a",
    " ",
]


@given(st.lists(st.sampled_from(SPECIAL) | st.text(max_size=5), max_size=6).map("".join))
def test_user_text_never_forges_a_special_token(training: PromptBuilder, text: str) -> None:
    ids = training.encode_text(text)
    assert not set(ids) & set(training.tokenizer.added_tokens_encoder.values())
    assert training.tokenizer.decode(training.tokenizer.encode(text, add_special_tokens=False)) == (
        training.tokenizer.decode(ids)
    )


@pytest.mark.parametrize(
    "message",
    [
        Message("assistant", (Audio("a.wav"),)),
        Message("user", (Spoken("no", (1,)),)),
        Message("system", (Audio("a.wav"),)),
    ],
)
def test_sounds_belong_to_users_and_speech_to_the_assistant(training: PromptBuilder, message: Message) -> None:
    with pytest.raises(ValueError, match=f"a {message.role} turn cannot hold"):
        training.training_sample([message])
