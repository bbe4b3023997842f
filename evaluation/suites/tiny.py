"""The suite ``tiny``: does a small model in the domain of the embedded writer answer words and feeling?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from data_pipeline.synthesis.embedded_writer.english import normalised, words
from data_pipeline.synthesis.embedded_writer.general import OTHER
from evaluation.items import Answer, Item, Reply, Turn
from evaluation.scores import Judgement, Metric, Question, Score
from evaluation.suites.records import DataError, Record, read_records
from evaluation.suites.reply_classifier import ReplyClassifiers, reply_classifiers
from evaluation.suites.reply_measures import FIRST_AUDIO, REAL_TIME_FACTOR, WORD_ERROR, times, word_error
from evaluation.suites.tiny_set import DIALOGUES, MANIFEST, OUTSIDE, SEEN_VOICES, UNSEEN_VOICES

WRITTEN = "written"
"""The group of turns that people wrote."""
_FIRST_TURNS = (SEEN_VOICES, UNSEEN_VOICES, WRITTEN)
GROUPS = (*_FIRST_TURNS, DIALOGUES, OUTSIDE)


def _share(name: str, title: str, *, higher_is_better: bool = True) -> Metric:
    return Metric(name=name, title=title, unit="%", scale=100, higher_is_better=higher_is_better)


METRICS = (
    _share("topic_seen_voices", "Right topic, unseen sentences in voices of training"),
    _share("topic_unseen_voices", "Right topic, unseen sentences in unseen voices"),
    _share("topic_written", "Right topic, turns that people wrote"),
    _share("feeling", "Fitting feeling, unseen sentences"),
    _share("feeling_written", "Fitting feeling, turns that people wrote"),
    _share("both_feelings", "Pairs of the same words with both feelings answered"),
    _share("content_word", "Takes up a content word of the turn"),
    _share("later_turns", "Right topic in second and third turns"),
    _share("outside", "Out of the domain: says so"),
    _share("refused", "In the domain, but answered as if out of it", higher_is_better=False),
    _share("distinct", "Distinct replies"),
    WORD_ERROR,
    FIRST_AUDIO,
    REAL_TIME_FACTOR,
)


class TinySuite:
    """Items of a set that :func:`~evaluation.suites.tiny_set.make_tiny_set` made.

    A reply is scored by the transcript of its speech, or by its text where it is not spoken; a spoken reply without a
    transcript has no score. Its topic and feeling are those that
    :class:`~evaluation.suites.reply_classifier.ReplyClassifiers` finds in these words; the accuracies of the
    classifiers, which bound these metrics, are in :meth:`describe`.

    - ``topic_*``: the topic is the one of the turn, for items of one turn in each group.
    - ``feeling``, ``feeling_written``: the feeling that the reply answers is the one of the user.
    - ``both_feelings``: so it is for both items of a pair, whose words are the same.
    - ``content_word``: a word of the turn that is none of scikit-learn's English stop words and has three letters or
      more is in the reply, in the same form.
    - ``later_turns``: the topic of the reply is the dialogue's, for the second and third reply.
    - ``outside``: a turn out of the domain is answered as not understood; ``refused``: one in the domain is.
    - ``distinct``: replies to items of one turn in the domain that no earlier item has, without case and punctuation;
      300 of 500 are 60 %.
    - Word error, first audio and real-time factor as in the suite ``speech``, over all replies.

    ``group`` of a score of a topic is the right topic and ``reason`` the one found: the cells of a confusion matrix.
    """

    name = "tiny"
    spoken = True
    transcribed = True
    metrics = METRICS

    def __init__(self, classifiers: ReplyClassifiers | None = None) -> None:
        self._classifiers = classifiers or reply_classifiers()

    def items(self, data: str) -> list[Item]:
        return [_item(record) for record in read_records(data, (MANIFEST,))]

    def describe(self, data: str, items: Sequence[Item]) -> dict[str, Any]:
        accuracies = {f"classifier of {name}": value for name, value in self._classifiers.accuracies.items()}
        return {"rows": len(items), **accuracies}

    def questions(self, item: Item, answer: Answer) -> list[Question]:
        return []

    def scores(self, item: Item, answer: Answer, judgements: Sequence[Judgement]) -> list[Score]:
        found = []
        for number, reply in enumerate(answer.replies):
            if (text := _recognised(reply)) is not None:
                found += list(self._word_scores(item, number, text))
            for measure in (*times(reply), *filter(None, [word_error(reply)])):
                if measure.metric in {metric.name for metric in METRICS}:
                    found.append(Score(item=item.id, metric=measure.metric, value=measure.value, weight=measure.weight))
        return found

    def joint_questions(self, items: Sequence[Item], answers: Mapping[str, Answer]) -> list[Question]:
        return []

    def joint_scores(
        self, items: Sequence[Item], answers: Mapping[str, Answer], judgements: Sequence[Judgement]
    ) -> list[Score]:
        found, known = [], set()
        pairs: dict[str, list[bool]] = {}
        for item in items:
            text = _recognised(answers[item.id].replies[0]) if item.id in answers else None
            if text is None or item.category not in _FIRST_TURNS:
                continue
            found.append(_score(item, "distinct", normalised(text) not in known))
            known.add(normalised(text))
            if pair := item.labels.get("pair"):
                fits = self._classifiers.feeling.predict(text) == item.labels["emotion"]
                pairs.setdefault(pair, []).append(fits)
                if len(pairs[pair]) == 2:
                    found.append(_score(item, "both_feelings", all(pairs[pair])))
        return found

    def _word_scores(self, item: Item, number: int, text: str) -> Iterator[Score]:
        topic, right = self._classifiers.topic.predict(text), item.labels["topic"]
        group = item.category
        if group == OUTSIDE:
            yield _score(item, "outside", topic == OTHER, reason=topic)
            return
        yield _score(item, "refused", topic == OTHER)
        if number:
            yield _score(item, "later_turns", topic == right, right, topic)
            return
        yield _score(item, "content_word", bool(content_words(item.turns[0].text) & set(words(text))))
        if group in _FIRST_TURNS:
            feeling, emotion = self._classifiers.feeling.predict(text), item.labels["emotion"]
            yield _score(item, f"topic_{group.replace('-', '_')}", topic == right, right, topic)
            yield _score(
                item, "feeling_written" if group == WRITTEN else "feeling", feeling == emotion, emotion, feeling
            )


def content_words(text: str) -> set[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return {word for word in words(text) if len(word) > 2 and word not in ENGLISH_STOP_WORDS}


def _recognised(reply: Reply) -> str | None:
    return reply.transcript if reply.audio else reply.text


def _score(item: Item, metric: str, is_right: bool, group: str = "", reason: str = "") -> Score:
    return Score(item=item.id, metric=metric, value=float(is_right), group=group, reason=reason)


def _item(record: Record) -> Item:
    if (group := record.required("group")) not in GROUPS:
        raise record.error("group", f"expected one of {', '.join(GROUPS)}, got {group!r}")
    labels = {name: record.text(name) for name in ("topic", "emotion", "voice", "pair")}
    if not labels["topic"] or not labels["emotion"]:
        raise DataError(f"{record.file}, row {record.number}: expected topic and emotion, got {labels}")
    return Item(
        id=record.required("id"),
        turns=tuple(
            Turn(text=turn.required("text"), audio=turn.clip("turns.audio", turn.find("audio")))
            for turn in record.elements("turns")
        ),
        category=group,
        labels={name: value for name, value in labels.items() if value},
    )
