from pathlib import Path

import pytest

from data_pipeline.steps.rejects import Unusable
from data_pipeline.steps.speech_units import UnitTurn
from data_pipeline.steps.tokenise import tokenise_turn
from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.opens2s import load_prompt_builder
from opens2s_core.prompt import AUDIO_SLOT, IGNORED, Audio, Message, PromptBuilder, Text


@pytest.fixture(scope="module")
def prompts(tiny_bundle: Path) -> PromptBuilder:
    return load_prompt_builder(tiny_bundle / OPENS2S)


def turn(reply_text: str, units: tuple[int, ...] = (3, 1, 2)) -> UnitTurn:
    return UnitTurn(
        id="t",
        user_text="Hi there!",
        user_audio=b"clip",
        user_samples=16000,
        reply_text=reply_text,
        reply_units=units,
        reply_samples=4000,
    )


def test_a_sample_begins_with_what_inference_would_ask(prompts: PromptBuilder) -> None:
    sample = tokenise_turn(turn("Hello."), prompts, lambda samples: samples // 640, max_text_tokens=256).samples[0]
    asked = prompts.prompt([Message("user", (Audio(b"clip"),))], speak=True)
    assert sample["input_ids"][: len(asked.input_ids)] == asked.input_ids
    assert sample["audios"] == asked.audios
    assert sample["input_ids"].count(AUDIO_SLOT) == 1
    assert sample["length"] == len(sample["input_ids"]) - 1 + 25


def test_only_the_reply_is_learned(prompts: PromptBuilder) -> None:
    sample = tokenise_turn(turn("Hello."), prompts, lambda _: 25, max_text_tokens=256).samples[0]
    learned = [label for label in sample["labels"] if label != IGNORED]
    assert prompts.tokenizer.decode(learned) == "<|im_tts_start|>Hello.<|im_tts_end|><|im_end|>\n"
    assert sample["text_labels"] == len(learned)
    assert (sample["units"], sample["unit_labels"]) == ([[3, 1, 2]], 4)


def test_a_turn_is_learned_from_its_words_as_well(prompts: PromptBuilder) -> None:
    heard, read = tokenise_turn(
        turn("Hello."), prompts, lambda _: 25, max_text_tokens=256, written_questions=True
    ).samples
    asked = prompts.prompt([Message("user", (Text("Hi there!"),))], speak=True)
    assert read["input_ids"][: len(asked.input_ids)] == asked.input_ids
    assert (read["id"], read["audios"], read["length"]) == ("t-written", [], len(read["input_ids"]))
    assert (read["units"], read["unit_labels"]) == (heard["units"], heard["unit_labels"])


def test_the_longest_reply_is_accepted_and_a_longer_one_is_not(prompts: PromptBuilder) -> None:
    text = "one two three four five"
    tokens = len(prompts.encode_text(text))
    tokenise_turn(turn(text), prompts, lambda _: 25, max_text_tokens=tokens)
    with pytest.raises(Unusable, match=f"reply text too long: {tokens} tokens, expected at most {tokens - 1}"):
        tokenise_turn(turn(text), prompts, lambda _: 25, max_text_tokens=tokens - 1)
