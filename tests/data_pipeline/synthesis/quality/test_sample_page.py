import base64
import random
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.synthesis.quality.sample_page import SampleDialogue, SampleMessage, choose_samples, render_samples
from opens2s_core.audio import AudioError, decode_audio, encode_audio

CLIP = (0.3 * np.sin(np.arange(16_000) * 0.2)).astype(np.float32)


def dialogue(name: str, cell: str, text: str = "Hello.", audio: bytes = b"") -> SampleDialogue:
    user = SampleMessage(
        role="user",
        text=text,
        audio=audio,
        labels={"emotion": "sad", "age": ""},
        measures={"word_error": 0.125, "words": 3, "dnsmos_p808": None, "transcript": "hello & bye", "refusal": ""},
    )
    reply = SampleMessage(role="assistant", text="I am here.", labels={"tone": "gentle"}, measures={})
    return SampleDialogue(id=name, cell=cell, messages=(user, reply))


class Page(HTMLParser):
    """Tags with their attributes, and the texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())


def test_cells_have_their_dialogues_with_texts_labels_and_measures() -> None:
    page = Page(
        render_samples("Samples", [dialogue("d1", "sad, male"), dialogue("d2", "happy"), dialogue("d3", "happy")])
    )
    body = page.texts[page.texts.index("happy (2)") :]
    message = ["user", "emotion: sad", "Hello.", "word error", "0.12", "words", "3", "transcript", "hello & bye"]
    reply = ["assistant", "tone: gentle", "I am here."]
    assert body == [
        *("happy (2)", "sad, male (1)"),
        *("happy", "d2", *message, *reply, "d3", *message, *reply),
        *("sad, male", "d1", *message, *reply),
    ]


def test_texts_are_shown_as_texts() -> None:
    attack = '<script>alert("x")</script><img src=x onerror=y>'
    html = render_samples(attack, [dialogue(attack, attack, attack)])
    assert "<script" not in html
    assert "<img" not in html
    assert Page(html).texts.count(attack) == 5  # both titles, the cell, the id and the message


def test_the_page_needs_nothing_else_and_clips_are_small_and_can_be_decoded() -> None:
    flac, mp3 = encode_audio(CLIP, 16_000), encode_audio(CLIP, 16_000, container="mp3")
    html = render_samples("Samples", [dialogue("a", "x", audio=flac), dialogue("b", "x", audio=mp3)])
    page = Page(html)
    sources = [attributes["src"] or "" for tag, attributes in page.tags if tag == "audio"]
    assert len(sources) == 2
    clips = [base64.b64decode(source.removeprefix("data:audio/mpeg;base64,")) for source in sources]
    assert clips[1] == mp3
    samples, rate = decode_audio(clips[0])
    assert rate == 16_000
    assert len(samples) == pytest.approx(len(CLIP), abs=2_500)
    links = [value for _, attributes in page.tags for name, value in attributes.items() if name in ("src", "href")]
    assert all(re.match(r"data:|#", value or "") for value in links)
    assert "default-src 'none'" in html


def test_ogg_is_kept_and_damaged_clips_are_refused() -> None:
    ogg = encode_audio(CLIP, 16_000, container="ogg")
    html = render_samples("Samples", [dialogue("a", "x", audio=ogg)])
    assert f"data:audio/ogg;base64,{base64.b64encode(ogg).decode()}" in html
    with pytest.raises(AudioError):
        render_samples("Samples", [dialogue("a", "x", audio=b"not audio")])


@given(
    sizes=st.dictionaries(st.sampled_from("abc"), st.integers(1, 12)),
    per_cell=st.integers(0, 5),
    seed=st.integers(0, 9),
    order=st.randoms(),
)
def test_each_cell_has_its_share_in_any_order(
    sizes: dict[str, int], per_cell: int, seed: int, order: random.Random
) -> None:
    pairs = [(f"{cell}{number}", cell) for cell, size in sizes.items() for number in range(size)]
    chosen = choose_samples(pairs, per_cell, seed)
    for cell, size in sizes.items():
        assert sum(name.startswith(cell) for name in chosen) == min(per_cell, size)
    shuffled = list(pairs)
    order.shuffle(shuffled)
    assert choose_samples(shuffled, per_cell, seed) == chosen


def test_another_seed_chooses_others() -> None:
    pairs = [(f"d{number}", "x") for number in range(100)]
    assert choose_samples(pairs, 5, 0) != choose_samples(pairs, 5, 1)
