import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from data_pipeline.synthesis.embedded_writer.general import OTHER, unknown_turns
from data_pipeline.synthesis.embedded_writer.grammar import parse
from data_pipeline.synthesis.embedded_writer.held_out import HELD_OUT_VOICES, HeldOut
from data_pipeline.synthesis.protocols import Speech, SpeechRequest
from evaluation.items import Answer, Item, Reply, Turn
from evaluation.scores import JointSuite, Score
from evaluation.suites.records import DataError
from evaluation.suites.reply_classifier import ReplyClassifiers, WordClassifier
from evaluation.suites.tiny import TinySuite, content_words
from evaluation.suites.tiny_set import TinyConfig, make_tiny_set, write_rows
from tests.evaluation.suites.answers import answer, assert_known


class SmallVocabulary(ReplyClassifiers):
    topic = WordClassifier(["dog", "cake", "sorry what"] * 2, ["dogs", "baking", OTHER] * 2)  # type: ignore[assignment]
    feeling = WordClassifier(["lovely", "alas", "calm"] * 2, ["happy", "sad", "angry"] * 2)  # type: ignore[assignment]


SUITE = TinySuite(SmallVocabulary())


def item(id: str, group: str, *texts: str, topic: str = "dogs", **labels: Any) -> Item:
    turns = tuple(Turn(text=text) for text in texts or ("My sister has a dog.",))
    return Item(id=id, turns=turns, category=group, labels={"topic": topic, "emotion": "sad", **labels})


def scores(item: Item, *texts: str, **reply: Any) -> dict[str, float]:
    found = SUITE.scores(item, answer(item.id, *texts, **reply), [])
    assert_known(found, SUITE.metrics)
    return {score.metric: score.value for score in found}


def test_it_is_a_joint_suite() -> None:
    assert isinstance(SUITE, JointSuite)


@pytest.mark.parametrize(
    ("reply", "topic", "feeling", "word", "refused"),
    [
        ("Alas, the poor dog.", 1, 1, 1, 0),
        ("Lovely, a cake.", 0, 0, 0, 0),
        ("Lovely, a dog.", 1, 0, 1, 0),
        ("Sorry, what?", 0, 0, 0, 1),
        ("Your sister and a cake, alas.", 0, 1, 1, 0),
    ],
)
def test_replies_to_first_turns(reply: str, topic: int, feeling: int, word: int, refused: int) -> None:
    found = scores(item("a", "unseen-voices"), reply)
    expected = {"topic_unseen_voices": topic, "content_word": word, "refused": refused}
    assert {name: found[name] for name in expected} == expected
    if reply != "Sorry, what?":
        assert found["feeling"] == feeling


def test_topics_of_each_group_are_apart() -> None:
    assert "topic_seen_voices" in scores(item("a", "seen-voices"), "dog")
    written = scores(item("a", "written"), "dog, alas")
    assert (written["topic_written"], written["feeling_written"]) == (1, 1)
    assert "feeling" not in written


def test_second_and_third_turns_have_their_own_topic_score() -> None:
    found = SUITE.scores(item("a", "dialogues", "A dog.", "And?", "So?"), answer("a", "cake", "dog", "cake"), [])
    assert [score.value for score in found if score.metric == "later_turns"] == [1, 0]
    assert not [score for score in found if score.metric.startswith(("topic", "feeling"))]
    assert len([score for score in found if score.metric == "content_word"]) == 1


def test_out_of_the_domain_only_that_is_scored() -> None:
    outside = item("a", "outside", "Stock prices.", topic=OTHER)
    assert scores(outside, "Sorry, what?") == {"outside": 1}
    assert scores(outside, "A dog.") == {"outside": 0}


def test_spoken_replies_are_scored_by_their_transcript() -> None:
    pytest.importorskip("jiwer")
    found = scores(item("a", "seen-voices"), "a dog barks", audio=b"clip", transcript="a cake barks")
    assert found["topic_seen_voices"] == 0
    assert found["word_error"] == 1
    assert scores(item("a", "seen-voices"), "a dog", audio=b"clip") == {}


def test_scores_of_topics_are_cells_of_a_confusion_matrix() -> None:
    (score,) = [
        s for s in SUITE.scores(item("a", "seen-voices"), answer("a", "cake"), []) if s.metric.startswith("topic")
    ]
    assert (score.group, score.reason) == ("dogs", "baking")


def test_times_are_those_of_the_reply() -> None:
    found = scores(item("a", "outside"), "dog", first_audio=0.3, seconds=1.0, audio_seconds=2.0, first_text=0.1)
    assert (found["first_audio"], found["real_time_factor"]) == (0.3, 1.0)


def joint(items: list[Item], texts: dict[str, str]) -> dict[str, list[float]]:
    answers = {id: Answer(item=id, replies=(Reply(text=text),)) for id, text in texts.items()}
    found: list[Score] = SUITE.joint_scores(items, answers, [])
    return {name: [score.value for score in found if score.metric == name] for name in ("distinct", "both_feelings")}


def test_replies_are_distinct_that_no_earlier_item_has() -> None:
    items = [item(id, "seen-voices") for id in "abcd"] + [item("o", "outside")]
    texts = {"a": "A dog.", "b": "a dog", "c": "A cat.", "o": "Never mind."}  # d has no answer
    assert joint(items, texts)["distinct"] == [1, 0, 1]


def test_both_feelings_of_a_pair_must_be_answered() -> None:
    def pair(number: str) -> list[Item]:
        return [
            item(f"s{number}", "seen-voices", pair=number),
            item(f"h{number}", "seen-voices", pair=number, emotion="happy"),
        ]

    items = [*pair("1"), *pair("2"), *pair("3")]
    texts = {"s1": "Alas.", "h1": "Lovely!", "s2": "Alas.", "h2": "Alas again.", "s3": "Alas."}
    assert joint(items, texts)["both_feelings"] == [1, 0]


def test_content_words_are_no_stop_words_and_no_short_ones() -> None:
    assert content_words("My sister isn't at the sea, so I go.") == {"sister", "sea"}


class BeepSpeaker:
    name = "beep"

    def speak(self, request: SpeechRequest) -> Speech:
        return Speech(np.full(80, 0.1, np.float32), 8000)


CONFIG = TinyConfig(seen_voice_turns=120, unseen_voice_turns=120, dialogues=10, outside=20)


def test_the_set_has_held_out_sentences_in_the_voices_of_each_group() -> None:
    rows, held_out = write_rows(CONFIG), HeldOut()
    assert Counter(row["group"] for row in rows) == {
        "seen-voices": 120,
        "unseen-voices": 120,
        "dialogues": 10,
        "outside": 20,
    }
    assert len({row["id"] for row in rows}) == len(rows)
    for row in rows:
        assert (row["voice"] in HELD_OUT_VOICES) == (row["group"] == "unseen-voices")
        turn = parse(row["turns"][0]["text"])
        if row["group"] == "outside":
            assert turn is None
            assert row["turns"][0]["text"] in unknown_turns()
        else:
            assert turn is not None
            assert held_out.is_for_tests(turn)
            assert (row["topic"], row["emotion"] in turn.scene.replies) == (turn.topic.name, True)
        assert len(row["turns"]) == (3 if row["group"] == "dialogues" else 1)
    assert len({row["topic"] for row in rows if row["group"] == "seen-voices"}) == 46


def test_items_of_a_pair_have_the_same_words_and_voice_in_two_feelings() -> None:
    pairs: dict[str, list[dict[str, Any]]] = {}
    for row in write_rows(CONFIG):
        if "pair" in row:
            pairs.setdefault(row["pair"], []).append(row)
    assert len(pairs) == 120
    for first, second in pairs.values():
        assert (first["turns"], first["voice"]) == (second["turns"], second["voice"])
        assert first["emotion"] != second["emotion"]


def test_a_set_is_made_and_read(tmp_path: Path) -> None:
    config = TinyConfig(seen_voice_turns=2, unseen_voice_turns=2, dialogues=1, outside=1)
    path = make_tiny_set(tmp_path / "a", config, speaker=BeepSpeaker())
    assert make_tiny_set(tmp_path / "b", config, speaker=BeepSpeaker()).read_bytes() == path.read_bytes()
    items = SUITE.items(str(path.parent))
    assert items == SUITE.items(str(path))
    assert [len(each.turns) for each in items] == [1, 1, 1, 1, 3, 1]
    assert all(turn.audio for each in items for turn in each.turns)


def test_what_is_not_possible_is_an_error(tmp_path: Path) -> None:
    for settings, message in (
        ({"seen_voice_turns": 3}, "expected an even number"),
        ({"outside": 5000}, "outside: expected at most"),
        ({"seen_voice_turns": 40_000}, "expected fewer items"),
    ):
        with pytest.raises(ValueError, match=message):
            write_rows(TinyConfig(**settings))
    row = {"id": "a", "group": "other", "topic": "dogs", "emotion": "sad", "turns": []}
    (tmp_path / "tiny.jsonl").write_text(json.dumps(row))
    with pytest.raises(DataError, match="field group: expected one of seen-voices"):
        SUITE.items(str(tmp_path))
