from typing import Any

import pytest

from data_pipeline.dialogues.config import BuildConfig, QualityConfig, TextConfig
from data_pipeline.synthesis.selection import DuplicateConfig


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"empathetic": 0},
            "expected numbers of dialogues, at least 1 together, got empathetic=0, general=0, tools=0",
        ),
        (
            {"empathetic": 3, "tools": -1},
            "expected numbers of dialogues, at least 1 together, got empathetic=3, general=0, tools=-1",
        ),
        ({"language": "de"}, "language: expected one of en, zh, got 'de'"),
        ({"turns": ()}, r"turns: expected shares of dialogues of one and more turns, got \(\)"),
        ({"turns": (0.5, -0.1)}, r"turns: expected shares .* got \(0.5, -0.1\)"),
        ({"turns": (0.0, 0.0)}, r"turns: expected shares .* got \(0.0, 0.0\)"),
        ({"surplus": 0.9}, "expected surplus >= 1, .* got 0.9, 0.1 and 64"),
        ({"system_share": 1.5}, "system_share from 0 to 1 .* got 1.3, 1.5 and 64"),
        ({"shard_rows": 0}, "shard_rows >= 1, got 1.3, 0.1 and 0"),
    ],
)
def test_texts_that_cannot_be_written_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"{message}$"):
        TextConfig(**({"empathetic": 1} | values))


def test_dialogues_of_one_kind_alone_are_accepted() -> None:
    assert TextConfig(empathetic=0, tools=1).tools == 1
    assert TextConfig(empathetic=0, general=1).general == 1


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_is_between_0_and_1(share: float) -> None:
    with pytest.raises(ValueError, match=f"^share: expected 0 to 1, got {share}$"):
        QualityConfig(share=share)


def test_the_embedded_writer_edits_no_instructions() -> None:
    texts = TextConfig(empathetic=0, general=1, instructions="instructions.jsonl")
    with pytest.raises(ValueError, match=r"^instructions: expected a language model as writer"):
        BuildConfig(texts=texts)
    assert BuildConfig(texts=texts, writer="openai:http://localhost#model").texts is texts


def test_duplicates_have_a_threshold_that_can_be_found() -> None:
    with pytest.raises(ValueError, match=r"^expected threshold in \(0, 0.95\], .* got 1, 2 and 128$"):
        DuplicateConfig(threshold=1)
