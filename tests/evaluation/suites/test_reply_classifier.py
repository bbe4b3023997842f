import pytest

pytest.importorskip("sklearn")

from data_pipeline.synthesis.embedded_writer import EMOTIONS
from data_pipeline.synthesis.embedded_writer.general import GENERAL, OTHER
from data_pipeline.synthesis.embedded_writer.held_out import HeldOut
from data_pipeline.synthesis.embedded_writer.topics import TOPICS
from evaluation.suites.reply_classifier import WordClassifier, labelled_replies, reply_classifiers


def test_words_decide_without_case_and_contractions() -> None:
    classifier = WordClassifier(["a dog", "the cat", "my bird"] * 2, ["dogs", "cats", "birds"] * 2)
    assert [classifier.predict(text) for text in ("A DOG!", "Cat, I'd say.", "bird")] == ["dogs", "cats", "birds"]
    scores = classifier.scores("dog")
    assert max(scores, key=lambda name: scores[name]) == "dogs"
    assert classifier.accuracy(["a dog", "a dog"], ["dogs", "cats"]) == 0.5


def test_replies_of_the_writer_have_all_topics_and_feelings() -> None:
    replies = list(labelled_replies(HeldOut()))
    assert {reply.topic for reply in replies} == {topic.name for topic in TOPICS} | {GENERAL, OTHER}
    assert {reply.emotion for reply in replies} == {*EMOTIONS, ""}
    assert replies == list(labelled_replies(HeldOut()))
    assert not {reply.topic for reply in labelled_replies(HeldOut(), for_tests=True)} - {
        reply.topic for reply in replies
    }


def test_topic_and_feeling_are_found_in_replies_to_new_turns() -> None:
    accuracies = reply_classifiers().accuracies
    assert accuracies["topic, new turns"] >= 0.95
    assert accuracies["feeling, new turns"] >= 0.98
    assert accuracies["topic, new reply templates"] >= 0.8
    assert accuracies["feeling, new reply templates"] >= 0.95
