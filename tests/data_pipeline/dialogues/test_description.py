from pathlib import Path

import pytest

from data_pipeline.dialogues import description
from data_pipeline.dialogues.description import distributions, sample_page
from data_pipeline.synthesis.quality.distributions import DialogueColumns
from tests.data_pipeline.dialogues.memory import build, dialogue, message, noise

LOST, SORRY = "I lost my keys.", "I am so very sorry."
CALL = message("assistant", "<tool_call>\n{}\n</tool_call>", spoken=False)
WRITTEN = [
    dialogue("a", *[message("user", LOST), message("assistant", SORRY)] * 2),
    dialogue("b", message("user", LOST), CALL, message("assistant", SORRY), kind="tool", emotion="neutral"),
    *(
        dialogue(f"c{number}", message("user", LOST), message("assistant", SORRY), emotion="happy")
        for number in range(3)
    ),
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("corpus")
    build(path, WRITTEN, shard_rows=4)
    return str(path)


def test_distributions_are_of_all_dialogues_and_spoken_messages(corpus: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plotted: list[tuple[DialogueColumns, str]] = []

    def plot(columns: DialogueColumns, title: str) -> bytes:
        plotted.append((columns, title))
        return b"PNG"

    monkeypatch.setattr(description, "plot_distributions", plot)
    assert distributions(corpus, "A title") == b"PNG"
    columns = DialogueColumns(
        languages=["en"] * 5,
        topics=["work"] * 5,
        turns=[2, 1, 1, 1, 1],
        emotions=["sad", "sad", "neutral", "happy", "happy", "happy"],
        genders=["female"] * 6,
        ages=["adult"] * 6,
        user_seconds=[len(noise(LOST)) / 8000] * 6,
        user_words=[4] * 6,
        tones=["warm"] * 6,
        reply_seconds=[len(noise(SORRY)) / 8000] * 6,
        reply_words=[5] * 6,
    )
    assert plotted == [(columns, "A title")]


def test_the_page_has_up_to_two_dialogues_of_each_kind_emotion_and_gender(corpus: str) -> None:
    page = sample_page(corpus, "A title", seed=0)
    assert all(cell in page for cell in ("sad, female", "happy, female", "tool"))
    assert page.count("data:audio/mpeg;base64,") == 4 + 2 + 2 * 2


def test_the_page_shows_what_is_not_spoken_without_a_clip(corpus: str) -> None:
    assert "&lt;tool_call&gt;" in sample_page(corpus, "A title", seed=0)


def test_the_page_depends_on_the_seed_alone(corpus: str) -> None:
    assert sample_page(corpus, "A title", seed=1) == sample_page(corpus, "A title", seed=1)


def test_a_directory_without_a_corpus_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a finished data set"):
        sample_page(str(tmp_path), "A title", seed=0)
