from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.steps.decode import DecodedTurn
from data_pipeline.steps.speech_units import encode_turns
from opens2s_core.audio import Waveform


class CountingEncoder:
    """Encodes a clip as its number of samples; remembers how many clips came at once."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def encode(self, waveforms: Sequence[Waveform]) -> list[list[int]]:
        self.batches.append(len(waveforms))
        return [[len(waveform)] for waveform in waveforms]


@given(lengths=st.lists(st.integers(1, 50), max_size=20), batch_size=st.integers(1, 8))
def test_every_turn_gets_its_own_replys_units_in_full_batches(lengths: list[int], batch_size: int) -> None:
    turns = [
        DecodedTurn(
            id=str(index),
            user_text="Hi.",
            user_audio=b"u",
            user=np.zeros(7, np.float32),
            reply_text="r",
            reply=np.zeros(length, np.float32),
        )
        for index, length in enumerate(lengths)
    ]
    encoder = CountingEncoder()
    encoded = encode_turns(turns, encoder, batch_size=batch_size)
    assert [(turn.id, turn.reply_units) for turn in encoded] == [(str(i), (n,)) for i, n in enumerate(lengths)]
    assert [(turn.user_samples, turn.reply_samples) for turn in encoded] == [(7, n) for n in lengths]
    assert sum(encoder.batches) == len(lengths)
    assert all(size == batch_size for size in encoder.batches[:-1])
