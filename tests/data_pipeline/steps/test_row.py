import numpy as np

from data_pipeline.records import Content, RejectedRow
from data_pipeline.steps.row import audio_references, decode_clip, run_step, speech_clips, spoken_replies
from tests.audio_files import noise
from tests.data_pipeline.steps.rows import clip, conversation, row, utterance

TALK = conversation(
    ("user", (Content(audio=clip("q1")), Content(text="and this:"), Content(audio=clip("q2")))),
    ("assistant", (Content(text="One.", audio=clip("a1")),)),
    ("user", (Content(text="?"),)),
    ("assistant", (Content(text="Two.", units=(1, 2)),)),
    ("user", (Content(audio=clip("q3")),)),
    ("assistant", (Content(text="written"), Content(text="Three.", audio=clip("a3"), units=(3,)))),
)


def test_clips_and_replies_are_in_reading_order() -> None:
    assert [reference.path for reference in audio_references(TALK)] == ["q1", "q2", "a1", "q3", "a3"]
    assert [content.text for content in spoken_replies(TALK)] == ["One.", "Two.", "Three."]
    assert speech_clips(TALK) == [2, None, 4]


def test_the_speech_of_an_utterance_is_its_clip() -> None:
    assert speech_clips(utterance()) == [0]
    assert spoken_replies(utterance()) == []


def test_a_prepared_clip_is_decoded() -> None:
    samples = noise(0.5)
    np.testing.assert_allclose(decode_clip(row(utterance(), samples), 0), samples, atol=1 / 32768)


def test_a_rejected_row_passes_later_steps_as_it_is() -> None:
    def refuse(_: object) -> None:
        raise RejectedRow("odd: 3")

    rejected = run_step("first", refuse, row(utterance()))
    assert rejected.reject is not None
    assert (rejected.reject.id, rejected.reject.step, rejected.reject.reason) == ("u1", "first", "odd: 3")
    assert run_step("second", refuse, rejected) is rejected
