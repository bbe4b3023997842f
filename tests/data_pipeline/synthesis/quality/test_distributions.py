import io
from dataclasses import dataclass
from typing import Any

import pytest

pytest.importorskip("matplotlib")

from matplotlib.figure import Figure
from PIL import Image

from data_pipeline.synthesis.quality.distributions import DialogueColumns, plot_distributions

COLUMNS: dict[str, Any] = {
    "languages": ["en", "en", "zh"],
    "topics": ["rain", "a topic with a very long name that does not fit", "$5 & more"],
    "turns": [1, 1, 2],
    "emotions": ["sad", "sad", "happy", ""],
    "genders": ["female", "male", "female", ""],
    "ages": ["adult", "child", "adult", "elderly"],
    "user_seconds": [1.5, 2.5, 3.5, 2.0],
    "user_words": [5, 8, 12, 7],
    "tones": ["warm", "gentle", "warm", "calm"],
    "reply_seconds": [3.0, 4.5, 2.5, 3.5],
    "reply_words": [10, 14, 9, 11],
}


@dataclass
class Plots:
    """What was drawn, by title: labels and lengths of bars, and texts beside them."""

    labels: dict[str, list[str]]
    lengths: dict[str, list[float]]
    texts: dict[str, list[str]]


def drawn(monkeypatch: pytest.MonkeyPatch, **columns: Any) -> Plots:
    plotted: list[Figure] = []
    save = Figure.savefig

    def keep(plot: Figure, *args: Any, **settings: Any) -> None:
        plotted.append(plot)
        save(plot, *args, **settings)

    monkeypatch.setattr(Figure, "savefig", keep)
    png = plot_distributions(DialogueColumns(**COLUMNS | columns), "A corpus")
    image = Image.open(io.BytesIO(png))
    assert (image.format, image.size) == ("PNG", (1400, 1100))
    plots = {ax.get_title(loc="left"): ax for ax in plotted[0].axes}
    return Plots(
        labels={title: [label.get_text() for label in ax.get_yticklabels()] for title, ax in plots.items()},
        lengths={
            title: [bar.get_width() if "(" in title else bar.get_height() for bar in ax.patches]
            for title, ax in plots.items()
        },
        texts={title: [text.get_text() for text in ax.texts] for title, ax in plots.items()},
    )


def test_every_column_is_counted_in_its_own_plot(monkeypatch: pytest.MonkeyPatch) -> None:
    plots = drawn(monkeypatch)
    labels = {title: names for title, names in plots.labels.items() if "(" in title}
    assert labels == {
        "Emotion of user messages (4)": ["sad", "happy", "unknown"],
        "Gender of users, by message (4)": ["female", "male", "unknown"],
        "Age of users, by message (4)": ["adult", "child", "elderly"],
        "Tone of replies (4)": ["warm", "calm", "gentle"],
        "Language of dialogues (3)": ["en", "zh"],
        "Turns per dialogue (3)": ["1", "2"],
        "Topic of dialogues (3)": ["$5 & more", "a topic with a very lon…", "rain"],
    }
    assert plots.lengths["Emotion of user messages (4)"] == [2, 1, 1]
    assert plots.texts["Language of dialogues (3)"] == ["66.7 %  2", "33.3 %  1"]


def test_histograms_hold_all_messages_and_replies(monkeypatch: pytest.MonkeyPatch) -> None:
    plots = drawn(monkeypatch, user_words=[0, 30, 30, 47], user_seconds=[0.0, 9.6])
    words, durations = plots.lengths["Length of texts"], plots.lengths["Duration of clips"]
    half = len(words) // 2
    assert [number for number in words[:half] if number] == [1, 2, 1]
    assert (words[0], words[15], words[23]) == (1, 2, 1)  # two lengths a bin
    assert sum(words[half:]) == 4
    assert sum(durations) == 2 + 4


def test_rare_labels_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    topics = [f"topic {number}" for number in range(40)] * 2 + ["topic 39"]
    plots = drawn(monkeypatch, topics=topics)
    title = "Topic of dialogues (81)"
    assert len(plots.labels[title]) == 13
    assert (plots.labels[title][0], plots.labels[title][-1]) == ("topic 39", "28 others")
    assert plots.lengths[title] == [3, *[2] * 11, 0]
    assert plots.texts[title][-1] == "69.1 %  56"


def test_a_corpus_without_dialogues_is_drawn_too(monkeypatch: pytest.MonkeyPatch) -> None:
    plots = drawn(monkeypatch, **{name: [] for name in COLUMNS})
    assert plots.labels["Tone of replies (0)"] == []
