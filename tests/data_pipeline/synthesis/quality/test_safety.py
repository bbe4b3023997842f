import pytest

from data_pipeline.synthesis.quality.safety import (
    find_digits,
    find_refusal,
    find_thinking,
    find_unsafe,
    find_unspeakable,
)

ORDINARY = [
    "I did not catch that. Could you say it once more?",
    "I do not know much about that yet, but I am listening.",
    "Oh, I’m sorry you had to wait so long… That sounds exhausting!",
    "Okay, let's see what we can do; hmm, let me think about that.",
    "“Fifty percent off?” – that's a well-known trick & it's $ well spent.",
    "The assistant at the shop thought about the class, and I passed my analysis exam.",
    "She said her skill with the grapes and the stable was a classic.",
    "哦，真为你高兴！今天是妈妈的生日吗？",
    "别担心，慢慢来——我在听。",
    "Zoë’s naïve friend ordered a café au lait (again).",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_nothing_is_found_in_ordinary_texts(text: str) -> None:
    found = [find(text) for find in (find_refusal, find_thinking, find_unsafe, find_unspeakable, find_digits)]
    assert found == [""] * 5


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Well, as an AI language model I have no feelings.", "as an AI language model"),
        ("I'm sorry, but I can't do that.", "I'm sorry, but I"),
        ("作为一个人工智能，我没有感情。", "作为一个人工智能"),
    ],
)
def test_refusals_are_found(text: str, found: str) -> None:
    assert find_refusal(text).startswith(found)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<think>\nThey are sad.\n</think>\nI am here.", "<think>"),
        ("They are sad.</think> I am here.", "</think>"),
        ("That is great!<|im_end|>", "<|im_end|>"),
        ("<Thinking mode='on'>Hm", "<Thinking mode='on'>"),
        ("Okay, the user is upset. I should be gentle.", "Okay, the user"),
        ("Since the user seems sad, a warm tone is best.", "the user seems"),
        ("好的，用户很难过，我应该安慰他。", "好的，用户"),
    ],
)
def test_thinking_text_is_found(text: str, found: str) -> None:
    assert find_thinking(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("What the FUCK happened?", "profanity: FUCK"),
        ("It was all bullshit.", "profanity: bullshit"),
        ("I want to kill myself.", "self-harm: kill myself"),
        ("Have you thought about suicide?", "self-harm: suicide"),
        ("I will kill you.", "violence: kill you"),
        ("He was murdered.", "violence: murdered"),
        ("我不想活了。", "self-harm: 不想活了"),
        ("你这个王八蛋！", "profanity: 王八蛋"),
    ],
)
def test_unsafe_words_are_found(text: str, found: str) -> None:
    assert find_unsafe(text) == found


@pytest.mark.parametrize("text", ["We killed time.", "Scunthorpe", "Shitake soup", "therapist", "a stab at cooking"])
def test_parts_of_words_and_idioms_are_kept(text: str) -> None:
    assert find_unsafe(text) == ""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("That is great 😊", "😊"),
        ("This is **really** good.", "*"),
        ("# Plan", "#"),
        ("Use `pip`.", "`"),
        ("Look [here].", "["),
        ("- first\n- second", "- first"),
        ("Steps:\n  • rest", "• rest"),
        ("See https://example.org/a for more.", "https://example.org/a"),
        ("See www.example.org.", "www.example.org."),
        ("Go to example.com now.", "example.com"),
        ("Mail me@example.org.", "me@example.org."),
        ("a = b", "="),
        ("x → y", "→"),
        ("5 × 3", "×"),
        ("under_score", "_"),
        ("bell\x07", "\x07"),
    ],
)
def test_what_cannot_be_spoken_is_found(text: str, found: str) -> None:
    assert find_unspeakable(text) == found


@pytest.mark.parametrize(
    ("text", "number"), [("at 10:30 or so", "10:30"), ("1,000.50 dollars", "1,000.50"), ("在2025年", "2025")]
)
def test_numbers_in_digits_are_found(text: str, number: str) -> None:
    assert find_digits(text) == number
