import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_pipeline.synthesis.embedded_writer.grammar import parse
from data_pipeline.synthesis.embedded_writer.held_out import HeldOut
from data_pipeline.synthesis.protocols import Speech, SpeechRequest
from evaluation.items import Answer, Item, Turn
from evaluation.scores import JointSuite, Score
from evaluation.suites.feeling_pairs import make_pairs, usual_tone
from evaluation.suites.feeling_swap import FeelingSwapSuite
from evaluation.suites.reply_classifier import ReplyClassifiers, WordClassifier
from opens2s_core.audio import encode_audio
from tests.data_pipeline.dialogues.memory import build, dialogue, message
from tests.evaluation.suites.answers import answer, assert_known, judged, values


class ThreeFeelings(ReplyClassifiers):
    """Knows four words."""

    feeling = WordClassifier(["lovely", "wonderful", "sorry", "angry"] * 3, ["happy", "happy", "sad", "angry"] * 3)  # type: ignore[assignment]


class LoudIsHappy:
    name = "loud"

    def probabilities(self, speech: Speech) -> Mapping[str, float]:
        loud = float(np.abs(speech.samples).max())
        return {"cheerful": loud, "gentle": 1 - loud}


SUITE = FeelingSwapSuite(LoudIsHappy(), ThreeFeelings())


def item(id: str, emotion: str, other: str, pair: str = "1") -> Item:
    tones = {"happy": "cheerful", "sad": "gentle", "angry": "calm"}
    labels = {
        "pair": pair,
        "emotion": emotion,
        "other_emotion": other,
        "tone": tones[emotion],
        "other_tone": tones[other],
    }
    return Item(id=id, turns=(Turn(text="The letter came."),), labels=labels)


HAPPY, SAD = item("h", "happy", "sad"), item("s", "sad", "happy")


def clip(level: float) -> bytes:
    return encode_audio(np.full(1600, level, np.float32), 16_000)


def of(scores: list[Score], id: str, metric: str) -> list[float]:
    return [score.value for score in scores if (score.item, score.metric) == (id, metric)]


def test_it_is_a_joint_suite() -> None:
    assert isinstance(SUITE, JointSuite)


def test_a_reply_fits_if_it_fits_its_own_feeling_and_not_the_other() -> None:
    reply = answer("h", "Lovely.")
    own, other = SUITE.questions(HAPPY, reply)
    assert "carried the feeling 'happy'" in own.messages[0]["content"]
    assert "carried the feeling 'sad'" in other.messages[0]["content"]
    assert own.scale == other.scale == "yes-no"
    for values_of, expected in (((1, 0), [1]), ((1, 1), [0]), ((0, 0), [0]), ((0, 1), [0])):
        judgements = [judged(question.id, value) for question, value in zip((own, other), values_of, strict=True)]
        assert of(SUITE.scores(HAPPY, reply, judgements), "h", "fits") == expected
    assert of(SUITE.scores(HAPPY, reply, [judged(own.id, 1)]), "h", "fits") == []


def test_words_and_tone_are_compared_with_those_of_the_other_feeling() -> None:
    happy = SUITE.scores(HAPPY, answer("h", "How lovely.", audio=clip(0.8)), [])
    assert values(happy) == {"feeling_words": 1, "tone": 1}
    sad = SUITE.scores(SAD, answer("s", "How lovely.", audio=clip(0.8)), [])
    assert values(sad) == {"feeling_words": 0, "tone": 0}
    assert values(SUITE.scores(SAD, answer("s", "I am sorry."), [])) == {"feeling_words": 1}
    assert_known([*happy, *sad], SUITE.metrics)


def test_pairs_whose_replies_are_the_same_words_do_not_differ() -> None:
    answers = {"h": answer("h", "Oh, I see!"), "s": answer("s", "oh I see")}
    scores = SUITE.joint_scores([HAPPY, SAD], answers, [])
    assert SUITE.joint_questions([HAPPY, SAD], answers) == []
    assert values(scores) == {"differs": 0, "preferred": 0}
    assert len(scores) == 3


def test_the_own_reply_must_be_preferred_in_both_orders() -> None:
    answers = {"h": answer("h", "Lovely."), "s": answer("s", "Sorry.")}
    questions = SUITE.joint_questions([HAPPY, SAD], answers)
    assert [question.id for question in questions] == [
        "h/prefers-own-first",
        "h/prefers-own-second",
        "s/prefers-own-first",
        "s/prefers-own-second",
    ]
    first, second = (question.messages[0]["content"] for question in questions[:2])
    assert first.index("Lovely.") < first.index("Sorry.")
    assert second.index("Sorry.") < second.index("Lovely.")
    # Of h both orders are right; of s the judge takes what comes first.
    judgements = [judged(question.id, value) for question, value in zip(questions, (1, 0, 1, 1), strict=True)]
    scores = SUITE.joint_scores([HAPPY, SAD], answers, judgements)
    assert of(scores, "h", "differs") == [1]
    assert (of(scores, "h", "preferred"), of(scores, "s", "preferred")) == ([1], [0])
    assert of(SUITE.joint_scores([HAPPY, SAD], answers, judgements[:3]), "s", "preferred") == []


def test_without_judgements_there_is_no_preference() -> None:
    items = [HAPPY, SAD, item("h2", "happy", "sad", "2"), item("s2", "sad", "happy", "2")]
    answers = {
        id: answer(id, text) for id, text in (("h", "Lovely."), ("s", "Sorry."), ("h2", "I see."), ("s2", "I see."))
    }
    assert values(SUITE.joint_scores(items, answers, [])) == {"differs": 0.5}
    judgements = [judged(question.id, 0) for question in SUITE.joint_questions(items, answers)]
    assert values(SUITE.joint_scores(items, answers, judgements)) == {"differs": 0.5, "preferred": 0}


def test_a_pair_with_an_item_that_has_no_answer_is_left_out() -> None:
    answers: dict[str, Answer] = {"h": answer("h", "Lovely.")}
    assert SUITE.joint_scores([HAPPY, SAD], answers, []) == SUITE.joint_questions([HAPPY, SAD], answers) == []


def manifest(directory: Path, *rows: tuple[str, str, str]) -> str:
    (directory / "a.wav").write_bytes(b"a")
    lines = [{"pair": pair, "emotion": emotion, "text": text, "audio": "a.wav"} for pair, emotion, text in rows]
    (directory / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(directory / "pairs.jsonl")


def test_items_of_a_manifest_know_the_other_of_their_pair(tmp_path: Path) -> None:
    data = manifest(
        tmp_path, ("1", "happy", "It came."), ("2", "sad", "Go."), ("2", "angry", "Go."), ("1", "sad", "It came!")
    )
    items = SUITE.items(data)
    assert [(each.labels["emotion"], each.labels["other_emotion"]) for each in items] == [
        ("happy", "sad"),
        ("sad", "angry"),
        ("angry", "sad"),
        ("sad", "happy"),
    ]
    assert SUITE.describe(data, SUITE.items(data))["pairs"] == 2


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("1", "happy", "a")], "pair '1': expected two rows, got 1"),
        ([("1", "happy", "a"), ("1", "sad", "b")], "expected the same text twice"),
        ([("1", "sad", "a"), ("1", "sad", "a")], "expected two emotions, got"),
        ([("", "sad", "a")], "expected a pair, got none"),
    ],
)
def test_bad_pairs_are_errors(tmp_path: Path, rows: list[tuple[str, str, str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SUITE.items(manifest(tmp_path, *rows))


def test_dialogues_pair_up_by_the_text_of_their_first_message(tmp_path: Path) -> None:
    def spoken(id: str, text: str, emotion: str) -> dict[str, Any]:
        return dialogue(id, message("user", text), message("assistant", f"Reply {id}."), emotion=emotion)

    texts = [("a", "It came.", "sad"), ("b", "Alone.", "sad"), ("c", "It came.", "sad"), ("d", "It came.", "happy")]
    build(tmp_path, [spoken(*each) for each in texts])
    items = SUITE.items(str(tmp_path))
    assert [(each.id, each.labels["emotion"], each.labels["other_emotion"]) for each in items] == [
        ("a", "sad", "happy"),
        ("d", "happy", "sad"),
    ]


class BeepSpeaker:
    name = "beep"

    def __init__(self) -> None:
        self.requests: list[SpeechRequest] = []

    def speak(self, request: SpeechRequest) -> Speech:
        self.requests.append(request)
        return Speech(np.full(800, len(request.emotion) / 20, np.float32), 8000)


def test_pairs_are_made_of_held_out_sentences_in_two_feelings_and_one_voice(tmp_path: Path) -> None:
    speaker = BeepSpeaker()
    path = make_pairs(tmp_path / "a", 50, speaker=speaker)
    items = SUITE.items(str(path))
    assert len(items) == 100
    assert len({each.labels["topic"] for each in items}) >= 40
    for first, second in zip(speaker.requests[::2], speaker.requests[1::2], strict=True):
        turn = parse(first.text)
        assert turn is not None
        assert HeldOut().is_for_tests(turn)
        assert {first.emotion, second.emotion} <= set(turn.scene.replies)
        assert (first.text, first.voice, first.seed) == (second.text, second.voice, second.seed)
    again = make_pairs(tmp_path / "b", 50, speaker=BeepSpeaker())
    assert again.read_bytes() == path.read_bytes()
    with pytest.raises(ValueError, match="expected at most"):
        make_pairs(tmp_path / "c", 100_000, speaker=speaker)


def test_the_expected_tone_is_the_most_frequent_of_the_feeling() -> None:
    assert [usual_tone(emotion) for emotion in ("happy", "sad", "angry", "surprised")] == [
        "cheerful",
        "gentle",
        "calm",
        "excited",
    ]
