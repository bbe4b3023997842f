from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.records import Content, RejectedRow
from data_pipeline.steps.row import PreparedRow
from data_pipeline.steps.speech_units import SpeechUnits
from opens2s_core.audio import Waveform
from opens2s_core.checkpoint.bundle import SPEECH_TOKENIZER
from opens2s_core.checkpoint.speech_tokenizer import load_speech_tokenizer
from tests.audio_files import noise
from tests.data_pipeline.steps.rows import clip, conversation, row, silence, utterance

CODES = 2**20


class CountingEncoder:
    """Encodes a clip as its milliseconds; remembers how many clips came at once."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def encode(self, waveforms: Sequence[Waveform]) -> list[list[int]]:
        self.batches.append(len(waveforms))
        return [[len(waveform) // 16] if len(waveform) > 160 else [] for waveform in waveforms]


def talk(*replies: tuple[float | None, tuple[int, ...]]) -> PreparedRow:
    """A clip of 7 ms by the user, then replies of so many seconds (None: no clip) with units of the corpus."""
    entry = conversation(
        ("user", (Content(audio=clip("q")),)),
        ("assistant", tuple(Content(text="r", audio=None if s is None else clip("a"), units=u) for s, u in replies)),
    )
    return row(entry, silence(0.007), *(silence(seconds) for seconds, _ in replies if seconds is not None))


def test_replies_are_encoded_and_units_of_the_corpus_are_kept() -> None:
    encoder = CountingEncoder()
    made = SpeechUnits(encoder, CODES)([talk((0.5, ()), (None, (7, 8)), (0.3, (9,)), (0.2, ()))])
    assert made == [{"units": ((500,), (7, 8), (9,), (200,))}]
    assert encoder.batches == [2]


def test_an_utterance_is_encoded_itself() -> None:
    assert SpeechUnits(CountingEncoder(), CODES)([row(utterance(), silence(0.25))]) == [{"units": ((250,),)}]


@given(st.lists(st.lists(st.tuples(st.sampled_from([0.02, 0.05, 0.1]), st.sampled_from([(), (5,)])), max_size=3)))
def test_every_row_gets_its_own_units_from_one_batch(replies: list[list[tuple[float, tuple[int, ...]]]]) -> None:
    encoder = CountingEncoder()
    made = SpeechUnits(encoder, CODES)([talk(*row_replies) for row_replies in replies])
    assert made == [
        {"units": tuple(units or (round(seconds * 1000),) for seconds, units in row_replies)} for row_replies in replies
    ]
    assert len(encoder.batches) <= 1


def test_a_clip_without_units_rejects_its_row_alone() -> None:
    good, bad = SpeechUnits(CountingEncoder(), CODES)([talk((0.5, ())), talk((0.5, ()), (0.001, ()))])
    assert good == {"units": ((500,),)}
    assert isinstance(bad, RejectedRow)
    assert str(bad) == "no units: clip 1 of 2, expected at least one unit"


def test_a_speech_tokenizer_gives_the_same_units_again(untrained_voice: Path) -> None:
    step = SpeechUnits(load_speech_tokenizer(untrained_voice / SPEECH_TOKENIZER, torch.float32), CODES)
    rows = [row(utterance(), noise(1.0, seed=seed)) for seed in range(2)]
    first, second = step(rows), step(rows)
    assert first == second
    assert isinstance(first[0], dict)
    assert len(first[0]["units"][0]) == 13  # 12.5 a second


def test_units_outside_the_codebook_are_rejected() -> None:
    (rejected,) = SpeechUnits(CountingEncoder(), 8)([talk((None, (7, 8)))])
    assert isinstance(rejected, RejectedRow)
    with pytest.raises(RejectedRow, match="bad units: 8 in clip 0, expected 0 to 7"):
        raise rejected
