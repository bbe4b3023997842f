from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from data_pipeline.records import Content, RejectedRow
from data_pipeline.steps.row import PreparedRow
from data_pipeline.steps.speaker_embedding import ResemblyzerEncoder, SpeakerEmbeddings
from opens2s_core.audio import Waveform
from tests.data_pipeline.steps.rows import clip, conversation, row, silence, speech, utterance
from tests.spoken import MAN, WOMAN


class LengthEncoder:
    """A vector of the clip's seconds and 1."""

    dim = 2

    def embed(self, waveforms: Sequence[Waveform]) -> NDArray[np.float32]:
        return np.array([[len(waveform) / 16_000, 1.0] for waveform in waveforms], np.float32).reshape(-1, 2)


def talk(vector: tuple[float, ...] = ()) -> PreparedRow:
    entry = conversation(
        ("user", (Content(audio=clip("q")),)),
        ("assistant", (Content(text="One.", audio=clip("a1")),)),
        ("user", (Content(text="?"),)),
        ("assistant", (Content(text="Two.", units=(1,)),)),
        ("user", (Content(text="?"),)),
        ("assistant", (Content(text="Three.", audio=clip("a3"), speaker_embedding=vector),)),
    )
    return row(entry, silence(1), silence(0.5), silence(0.25))


def test_spoken_replies_get_the_vectors_of_their_own_clips() -> None:
    step = SpeakerEmbeddings(LengthEncoder())
    assert step([talk(), row(utterance(), silence(2)), talk((0.0, -1.0))]) == [
        {"speakers": ((0.5, 1.0), (), (0.25, 1.0))},
        {"speakers": ((2.0, 1.0),)},
        {"speakers": ((0.5, 1.0), (), (0.0, -1.0))},
    ]


def test_rows_that_need_no_vector_are_left_to_the_corpus() -> None:
    entry = conversation(("user", (Content(text="?"),)), ("assistant", (Content(text="Yes."),)))
    assert SpeakerEmbeddings(LengthEncoder())([row(entry)]) == [{"speakers": ()}]


@pytest.mark.parametrize("vector", [(1.0, 2.0, 3.0), (float("nan"), 0.0)])
def test_a_vector_of_the_corpus_that_does_not_fit_rejects_its_row(vector: tuple[float, ...]) -> None:
    bad, good = SpeakerEmbeddings(LengthEncoder())([talk(vector), talk()])
    assert isinstance(bad, RejectedRow)
    assert str(bad) == f"bad speaker vector: {len(vector)} numbers, expected 2 finite ones"
    assert isinstance(good, dict)


def test_clips_of_one_voice_are_nearer_than_those_of_two() -> None:
    pytest.importorskip("resemblyzer", reason="the extra `speakers` is not installed")
    encoder = ResemblyzerEncoder()
    texts = ("The weather is lovely today.", "I am not sure what he meant by that.")
    vectors = encoder.embed([speech(text, voice) for voice in (WOMAN, MAN) for text in texts])
    assert vectors.shape == (4, encoder.dim)
    assert vectors.dtype == np.float32
    near = vectors @ vectors.T
    np.testing.assert_allclose(near.diagonal(), 1, atol=1e-5)
    assert min(near[0, 1], near[2, 3]) > near[:2, 2:].max()
    assert encoder.embed([]).shape == (0, encoder.dim)
