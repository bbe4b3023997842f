"""Topic and feeling of a reply by its words: classifiers that are trained on the embedded writer's own replies."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from data_pipeline.records import Emotion, RejectedRow
from data_pipeline.synthesis.embedded_writer import EMOTIONS, EmbeddedWriter
from data_pipeline.synthesis.embedded_writer.english import normalised
from data_pipeline.synthesis.embedded_writer.general import GENERAL, OTHER, QUESTIONS, unknown_turns
from data_pipeline.synthesis.embedded_writer.grammar import Turn, all_turns
from data_pipeline.synthesis.embedded_writer.held_out import HeldOut
from data_pipeline.synthesis.embedded_writer.topics import TOPICS
from data_pipeline.synthesis.protocols import Person, ReplyRequest, WrittenMessage

_TURNS = 2
"""Of each template; each gets a reply to each emotion that its scene allows."""
_FOLLOW_UPS = 0.1
"""Share of these replies after which a follow-up and its reply are written."""
_MAX_UNKNOWN = 40
"""Of turns that are not of the grammar, for each emotion."""


@dataclass(frozen=True, slots=True)
class LabelledReply:
    """``emotion`` is that of the user, empty for replies to follow-ups and questions, which need not show it.
    ``new_template``: it is made of a reply template with which classifiers are tested."""

    text: str
    topic: str
    emotion: str
    new_template: bool


class WordClassifier:
    """A linear support vector machine over TF-IDF of lower-case words. Raises ``ImportError`` without scikit-learn."""

    def __init__(self, texts: Sequence[str], labels: Sequence[str]) -> None:
        try:
            from sklearn.feature_extraction.text import TfidfVectorizer
            from sklearn.pipeline import make_pipeline
            from sklearn.svm import LinearSVC
        except ImportError as error:
            raise ImportError(
                "the classifier of replies needs scikit-learn (pip install 'opens2s-on-ray[quality]')"
            ) from error
        self._pipeline: Any = make_pipeline(TfidfVectorizer(sublinear_tf=True), LinearSVC(random_state=0))
        self._pipeline.fit(list(map(normalised, texts)), list(labels))

    def predict(self, text: str) -> str:
        """The class with the highest score; some class also for a text without a known word."""
        return str(self._pipeline.predict([normalised(text)])[0])

    def scores(self, text: str) -> Mapping[str, float]:
        """By class, of three or more."""
        (values,) = self._pipeline.decision_function([normalised(text)])
        return dict(zip(self._pipeline.classes_.tolist(), values.tolist(), strict=True))

    def accuracy(self, texts: Sequence[str], labels: Sequence[str]) -> float:
        return float(self._pipeline.score(list(map(normalised, texts)), list(labels)))


class ReplyClassifiers:
    """``topic`` knows the writer's topics, ``general``, and ``other`` for replies that say that a turn was not
    understood; ``feeling`` knows its emotions. Both are trained on replies to turns for training, at first use."""

    def __init__(self, held_out: HeldOut | None = None) -> None:
        self._held_out = held_out or HeldOut()

    @cached_property
    def topic(self) -> WordClassifier:
        return WordClassifier(*_topics(self._replies))

    @cached_property
    def feeling(self) -> WordClassifier:
        return WordClassifier(*_feelings(self._replies))

    @cached_property
    def accuracies(self) -> dict[str, float]:
        """Of both, on replies to turns for tests, and of the same classifiers trained without a fifth of the reply
        templates, on replies of those."""
        tested = list(labelled_replies(self._held_out, for_tests=True))
        kept = [reply for reply in self._replies if not reply.new_template]
        others = [reply for reply in self._replies if reply.new_template]
        return {
            "topic, new turns": self.topic.accuracy(*_topics(tested)),
            "topic, new reply templates": WordClassifier(*_topics(kept)).accuracy(*_topics(others)),
            "feeling, new turns": self.feeling.accuracy(*_feelings(tested)),
            "feeling, new reply templates": WordClassifier(*_feelings(kept)).accuracy(*_feelings(others)),
        }

    @cached_property
    def _replies(self) -> list[LabelledReply]:
        return list(labelled_replies(self._held_out))


@cache
def reply_classifiers() -> ReplyClassifiers:
    """Those of the default :class:`HeldOut`, trained once in a process."""
    return ReplyClassifiers()


def labelled_replies(held_out: HeldOut, *, for_tests: bool = False) -> Iterator[LabelledReply]:
    """The writer's replies to turns for training, or for tests: to first turns in each emotion, to some follow-ups, to
    questions (for training only), and to what is not of the grammar. The same for the same ``held_out``."""
    writer, rng = EmbeddedWriter(), random.Random(held_out.seed)
    chosen = held_out.is_for_tests if for_tests else held_out.is_for_training
    groups: dict[tuple[tuple[str, ...], int], list[Turn]] = {}
    for turn in all_turns():
        if chosen(turn):
            groups.setdefault((turn.scene.texts, turn.phrasing), []).append(turn)
    for turns in groups.values():
        for turn in rng.sample(turns, min(_TURNS, len(turns))):
            for emotion in EMOTIONS:
                yield from _of_turn(writer, turn, emotion, held_out, rng)
    unknown = held_out.unknown_turns() if for_tests else sorted(set(unknown_turns()) - set(held_out.unknown_turns()))
    for emotion in EMOTIONS:
        for text in rng.sample(unknown, min(_MAX_UNKNOWN, len(unknown))):
            message = WrittenMessage(role="user", text=text, person=Person(emotion=emotion))
            yield LabelledReply(_reply(writer, (message,), rng), OTHER, emotion, False)
    if not for_tests:
        yield from (LabelledReply(answer, GENERAL, "", False) for _, answer in QUESTIONS)
        yield from (LabelledReply(answer, topic.name, "", False) for topic in TOPICS for _, answer in topic.questions)


def _of_turn(
    writer: EmbeddedWriter, turn: Turn, emotion: Emotion, held_out: HeldOut, rng: random.Random
) -> Iterator[LabelledReply]:
    person, topic = Person(emotion=emotion), turn.topic.name
    messages: tuple[WrittenMessage, ...] = (WrittenMessage(role="user", text=turn.text, person=person),)
    text = _reply(writer, messages, rng)
    yield LabelledReply(text, topic, emotion, held_out.reply_template(turn.scene, emotion))
    if rng.random() < _FOLLOW_UPS:
        messages += (WrittenMessage(role="assistant", text=text),)
        (follow_up,) = writer.follow_ups([ReplyRequest(messages=messages, seed=rng.getrandbits(31))])
        if not isinstance(follow_up, RejectedRow):
            messages += (WrittenMessage(role="user", text=follow_up, person=person),)
            yield LabelledReply(_reply(writer, messages, rng), topic, "", False)


def _reply(writer: EmbeddedWriter, messages: tuple[WrittenMessage, ...], rng: random.Random) -> str:
    """Raises :class:`RejectedRow`, which no turn of the grammar is."""
    (reply,) = writer.replies([ReplyRequest(messages=messages, seed=rng.getrandbits(31))])
    if isinstance(reply, RejectedRow):
        raise reply
    return reply.text


def _topics(replies: Sequence[LabelledReply]) -> tuple[list[str], list[str]]:
    return [reply.text for reply in replies], [reply.topic for reply in replies]


def _feelings(replies: Sequence[LabelledReply]) -> tuple[list[str], list[str]]:
    known = [reply for reply in replies if reply.emotion]
    return [reply.text for reply in known], [reply.emotion for reply in known]
