from dataclasses import replace

import pytest

from data_pipeline.card import render_card
from data_pipeline.corpora.librispeech import LibriSpeech
from data_pipeline.corpora.reader import CorpusCard
from data_pipeline.records import Reject
from data_pipeline.report import Report, RowFacts, SampleFacts, count_rows

ESD = CorpusCard(
    title="Emotional | Speech",
    homepage="https://esd.test",
    licence="research <only>",
    consent="Paid actors.",
    languages=("en", "zh"),
)
CARDS = {"librispeech": LibriSpeech.card, "esd": ESD}
HOUR = 3600 * 16_000
REPORT = count_rows(
    [
        RowFacts(corpus="librispeech", split="train-clean-100", language="en", gender="male", clip_samples=(2 * HOUR,)),
        RowFacts(
            corpus="esd",
            split="train",
            language="zh",
            emotion="sad",
            clip_samples=(HOUR,),
            samples=(SampleFacts(length=1_500, text_labels=20),),
        ),
    ],
    [Reject(id="a", step="filter", reason="too | short: 0.1 s"), Reject(id="b", step="read", reason="<script>")],
)


def card(report: Report = REPORT) -> str:
    return render_card("Emotion *en*/zh", report, CARDS, recipe="ser", fingerprint="0a1b")


def test_a_card_names_title_recipe_and_fingerprint() -> None:
    lines = card().splitlines()
    assert lines[0] == r"# Emotion \*en\*/zh"
    assert "2 rows with 3.0 h of speech in en, zh, prepared" in card()
    assert "- Recipe: `ser`" in lines
    assert "- Fingerprint: `0a1b`" in lines


def test_every_source_stands_there_with_licence_consent_and_what_was_used() -> None:
    assert r"""### Emotional \| Speech

- Homepage: <https://esd.test>
- Licence: research &lt;only&gt;
- Consent: Paid actors.
- Languages: en, zh
- Used here: 1 rows, 1.0 h
""" in card()
    assert "### LibriSpeech\n\n- Homepage: <https://www.openslr.org/12>\n- Licence: CC BY 4.0\n" in card()


def test_contents_labels_and_rejects_are_tables() -> None:
    lines = card().splitlines()
    for line in (
        "| esd | zh | train | 1 | 1.0 h |",
        "| librispeech | en | train-clean-100 | 1 | 2.0 h |",
        "| LLM positions | 1,500 |",
        "| Label | Value | en | zh |",
        "| Emotion | sad | 0 | 1 |",
        "| Emotion | unknown | 1 | 0 |",
        "| Gender | male | 1 | 0 |",
        "2 of 4 rows (50.0%) were rejected, each with its reason.",
        r"| filter: too \| short | 1 | 25.0% |",
        "| read: &lt;script&gt; | 1 | 25.0% |",
    ):
        assert line in lines


def test_a_source_of_which_no_row_was_left_is_named_as_well() -> None:
    empty = card(Report())
    assert "0 rows with 0.0 s of speech, prepared" in empty
    assert "- Used here: 0 rows, 0.0 s" in empty
    assert "None of 0 rows was rejected." in empty
    assert "## Labels" not in empty


def test_a_source_without_a_homepage_says_so() -> None:
    own = replace(ESD, homepage="")
    assert "- Homepage: none\n" in render_card("t", Report(), {"own": own}, recipe="r", fingerprint="f")


def test_a_corpus_without_a_card_is_an_error() -> None:
    with pytest.raises(ValueError, match="no card for corpus esd"):
        render_card("t", REPORT, {"librispeech": LibriSpeech.card}, recipe="r", fingerprint="f")


def test_the_order_of_the_cards_does_not_matter() -> None:
    other = dict(reversed(CARDS.items()))
    assert render_card("Emotion *en*/zh", REPORT, other, recipe="ser", fingerprint="0a1b") == card()
