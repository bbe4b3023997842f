"""Answers on disk: what is stored is read back, also after a kill at any byte."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation.items import Answer, Item, Reply, Turn
from evaluation.store import ANSWERS, AnswerStore, StoredTranscript
from opens2s_core.audio import encode_audio

ITEMS = [Item(id=id, turns=(Turn(text="one"), Turn(text="two"))) for id in ("a", "b/../c", "d")]
CLIP = encode_audio(np.full(100, 0.5, np.float32), 16_000)
SPOKEN = Reply(text="你好 😀\n", audio=CLIP, audio_seconds=0.1, first_text=0.1, first_audio=0.2, seconds=0.3)
FIRST = Answer(item="a", replies=(SPOKEN, Reply(text="")))
SECOND = Answer(item="b/../c", replies=(Reply(text="one"), SPOKEN))


def store_both(directory: Path) -> None:
    with AnswerStore(directory, ITEMS) as store:
        store.add(FIRST)
        store.add(SECOND)


def test_answers_are_read_back_with_their_clips(tmp_path: Path) -> None:
    store_both(tmp_path)
    with AnswerStore(tmp_path, ITEMS) as store:
        assert [store.answer("a"), store.answer("b/../c")] == [FIRST, SECOND]
        assert [item.id for item in store.missing(ITEMS)] == ["d"]


def test_clips_have_the_numbers_of_item_and_turn(tmp_path: Path) -> None:
    store_both(tmp_path)
    assert sorted(path.name for path in (tmp_path / "audio").iterdir()) == ["0-0.flac", "1-1.flac"]


def test_whatever_a_kill_cuts_of_the_last_row_the_rows_before_are_whole(tmp_path: Path) -> None:
    store_both(tmp_path)
    written = (tmp_path / ANSWERS).read_bytes()
    second = written.index(b"\n") + 1
    for kept in range(second, len(written)):
        (tmp_path / ANSWERS).write_bytes(written[:kept])
        with AnswerStore(tmp_path, ITEMS) as store:
            assert [item.id for item in store.missing(ITEMS)] == ["b/../c", "d"]
            store.add(SECOND)
        assert (tmp_path / ANSWERS).read_bytes() == written


def test_an_item_with_an_error_is_missing_until_it_has_an_answer(tmp_path: Path) -> None:
    for answer, missing in ((Answer(item="a", error="no answer"), ["a"]), (FIRST, [])):
        with AnswerStore(tmp_path, ITEMS) as store:
            store.add(answer)
        with AnswerStore(tmp_path, ITEMS) as store:
            assert store.answer("a") == answer
            assert [item.id for item in store.missing(ITEMS[:1])] == missing


def test_spoken_replies_are_transcribed_once_and_errors_again(tmp_path: Path) -> None:
    store_both(tmp_path)
    with AnswerStore(tmp_path, ITEMS) as store:
        assert [(item.id, turn) for item, turn in store.untranscribed(ITEMS)] == [("a", 0), ("b/../c", 1)]
        store.add_transcript(StoredTranscript(item="a", turn=0, transcript=""))
        store.add_transcript(StoredTranscript(item="b/../c", turn=1, transcript=None, error="no transcript"))
    with AnswerStore(tmp_path, ITEMS) as store:
        assert [(item.id, turn) for item, turn in store.untranscribed(ITEMS)] == [("b/../c", 1)]
        assert store.audio("b/../c", 1) == CLIP
        assert store.answer("a").replies[0] == replace(SPOKEN, transcript="")
        assert store.answer("b/../c").replies[1].transcript is None


def test_a_row_that_is_no_answer_is_named(tmp_path: Path) -> None:
    (tmp_path / ANSWERS).write_text('{"item": 3}\n')
    with pytest.raises(ValueError, match=r"answers\.jsonl, line 1"):
        AnswerStore(tmp_path, ITEMS)
