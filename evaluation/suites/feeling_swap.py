"""The suite ``feeling-swap``: the same words in two feelings. Does the reply change, and fittingly?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from data_pipeline.synthesis.protocols import Speech
from data_pipeline.synthesis.quality.words import split_words
from evaluation.items import Answer, Item
from evaluation.scores import Judgement, Metric, Question, Score
from evaluation.suites.reply_classifier import ReplyClassifiers, reply_classifiers
from evaluation.suites.speech_classifiers import SpeechClassifier
from evaluation.suites.spoken_items import spoken_items
from opens2s_core.audio import decode_audio

DIFFERS = Metric(name="differs", title="Pairs whose replies differ", unit="%", scale=100)
FITS = Metric(name="fits", title="Fits its feeling and not the other, by the judge", unit="%", scale=100)
PREFERRED = Metric(
    name="preferred", title="Preferred for its feeling in both orders, by the judge", unit="%", scale=100
)
FEELING_WORDS = Metric(name="feeling_words", title="Words answer the feeling, by rule", unit="%", scale=100)
TONE = Metric(name="tone", title="Spoken in the expected tone, by rule", unit="%", scale=100)

_FITS = (
    "Somebody said to a voice assistant, in a voice that carried the feeling '{feeling}':\n\n{text}\n\n"
    "The assistant replied:\n\n{reply}\n\n"
    "Is this a fitting reply to somebody who says these words while feeling '{feeling}'? Answer yes or no."
)
_PREFERS = (
    "Somebody said to a voice assistant, in a voice that carried the feeling '{feeling}':\n\n{text}\n\n"
    "Reply A:\n\n{first}\n\nReply B:\n\n{second}\n\n"
    "Which reply fits somebody who says these words while feeling '{feeling}' better? Answer A, B or tie."
)


class FeelingSwapSuite:
    """Pairs of items with one text, in two feelings: the labels ``pair`` and ``emotion``.

    ``differs``: the replies of a pair differ in their words, without case and punctuation. ``fits``: the judge says
    that a reply fits its own feeling, and that it would not fit the other one. ``preferred``: of the two replies of the
    pair, the judge takes the reply for its own feeling, in both orders; equal replies are not asked about and score 0.

    Without a judge: ``feeling_words`` is whether :class:`~evaluation.suites.reply_classifier.ReplyClassifiers` finds
    the own feeling more likely in the words of the reply than the other one; it says something for replies of the
    embedded writer's kind, in English, with both feelings among its emotions. ``tone`` is whether ``tones`` finds the
    label ``tone`` in the clip more likely than the other item's tone, where both are known and differ.
    """

    name = "feeling-swap"
    transcribed = False

    def __init__(self, tones: SpeechClassifier | None = None, classifiers: ReplyClassifiers | None = None) -> None:
        self._tones = tones
        self._words = classifiers or reply_classifiers()

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (DIFFERS, FITS, PREFERRED, FEELING_WORDS, *((TONE,) if self._tones else ()))

    @property
    def spoken(self) -> bool:
        return self._tones is not None

    def items(self, data: str) -> list[Item]:
        """In the order of the data, with the labels ``other_emotion`` and ``other_tone`` of the other item of the pair.
        Dialogues pair up by their text; those without another of the same text are left out."""
        items = spoken_items(data)
        pairs: dict[str, list[Item]] = {}
        for item in items:
            if key := item.labels.get("pair", "" if data.endswith(".jsonl") else item.turns[0].text):
                pairs.setdefault(key, []).append(item)
            else:
                raise ValueError(f"{data}, row {item.id}: expected a pair, got none")
        if not data.endswith(".jsonl"):
            pairs = dict(_of_two_emotions(pairs))
        labelled: dict[str, Item] = {}
        for pair, members in pairs.items():
            _check(data, pair, members)
            for own, other in (members, reversed(members)):
                others = {"other_emotion": other.labels["emotion"], "other_tone": other.labels.get("tone", "")}
                labelled[own.id] = replace(own, labels={**own.labels, "pair": pair, **others})
        return [labelled[item.id] for item in items if item.id in labelled]

    def describe(self, data: str, items: Sequence[Item]) -> dict[str, Any]:
        return {
            "rows": len(items),
            "pairs": len(items) // 2,
            "tone classifier": self._tones.name if self._tones else "none",
        }

    def questions(self, item: Item, answer: Answer) -> list[Question]:
        return [
            _question(
                item, f"fits-{which}", "yes-no", _FITS.format(**_context(item, item.labels[label]), reply=_text(answer))
            )
            for which, label in (("own", "emotion"), ("other", "other_emotion"))
        ]

    def scores(self, item: Item, answer: Answer, judgements: Sequence[Judgement]) -> list[Score]:
        found = []
        values = {judgement.question: judgement.value for judgement in judgements}
        own, other = (values.get(f"{item.id}/fits-{which}") for which in ("own", "other"))
        if own is not None and other is not None:
            reason = "; ".join(judgement.text for judgement in judgements)
            found.append(_score(item, FITS, own == 1 and other == 0, reason))
        emotion, other_emotion = item.labels["emotion"], item.labels["other_emotion"]
        likely = self._words.feeling.scores(_text(answer)) if item.language == "en" else {}
        if emotion in likely and other_emotion in likely:
            found.append(_score(item, FEELING_WORDS, likely[emotion] > likely[other_emotion]))
        tone, other_tone = item.labels.get("tone", ""), item.labels["other_tone"]
        if self._tones and tone != other_tone and answer.replies[-1].audio:
            tones = self._tones.probabilities(Speech(*decode_audio(answer.replies[-1].audio)))
            if tone in tones and other_tone in tones:
                found.append(_score(item, TONE, tones[tone] > tones[other_tone]))
        return found

    def joint_questions(self, items: Sequence[Item], answers: Mapping[str, Answer]) -> list[Question]:
        return [
            _question(item, f"prefers-{order}", "pair", _PREFERS.format(**_context(item), first=first, second=second))
            for pair in _pairs(items, answers)
            if _differ(pair, answers)
            for item, other in (pair, pair[::-1])
            for order, first, second in _orders(_text(answers[item.id]), _text(answers[other.id]))
        ]

    def joint_scores(
        self, items: Sequence[Item], answers: Mapping[str, Answer], judgements: Sequence[Judgement]
    ) -> list[Score]:
        values = {judgement.question: judgement.value for judgement in judgements}
        # Without a judge, the only scores of preference would be the zeros of equal replies.
        is_judged = bool(judgements) or not self.joint_questions(items, answers)
        found = []
        for pair in _pairs(items, answers):
            differ = _differ(pair, answers)
            found.append(_score(pair[0], DIFFERS, differ))
            for item in pair:
                own_first, own_second = (
                    values.get(f"{item.id}/prefers-{order}") for order in ("own-first", "own-second")
                )
                if not differ and is_judged:
                    found.append(_score(item, PREFERRED, False, "both replies are the same"))
                elif own_first is not None and own_second is not None:
                    found.append(_score(item, PREFERRED, own_first == 1 and own_second == 0))
        return found


def _of_two_emotions(groups: Mapping[str, list[Item]]) -> Iterator[tuple[str, list[Item]]]:
    """The first item of each group, and the first of another emotion."""
    for key, items in groups.items():
        if other := next(
            (item for item in items if item.labels.get("emotion") != items[0].labels.get("emotion")), None
        ):
            yield key, [items[0], other]


def _check(data: str, pair: str, members: Sequence[Item]) -> None:
    if len(members) != 2:
        raise ValueError(f"{data}, pair {pair!r}: expected two rows, got {len(members)}")
    texts = {_normalised(item.turns[0].text) for item in members}
    if len(texts) != 1:
        raise ValueError(f"{data}, pair {pair!r}: expected the same text twice, got {sorted(texts)}")
    emotions = [item.labels.get("emotion", "") for item in members]
    if not all(emotions) or len(set(emotions)) != 2:
        raise ValueError(f"{data}, pair {pair!r}: expected two emotions, got {emotions}")


def _pairs(items: Sequence[Item], answers: Mapping[str, Answer]) -> Iterator[tuple[Item, Item]]:
    """Pairs that are both answered."""
    members: dict[str, list[Item]] = {}
    for item in items:
        if item.id in answers:
            members.setdefault(item.labels["pair"], []).append(item)
    for pair in members.values():
        if len(pair) == 2:
            yield pair[0], pair[1]


def _differ(pair: tuple[Item, Item], answers: Mapping[str, Answer]) -> bool:
    first, second = (_normalised(_text(answers[item.id])) for item in pair)
    return first != second


def _orders(own: str, other: str) -> tuple[tuple[str, str, str], ...]:
    return ("own-first", own, other), ("own-second", other, own)


def _context(item: Item, feeling: str = "") -> dict[str, str]:
    return {"feeling": feeling or item.labels["emotion"], "text": item.turns[-1].text}


def _question(item: Item, kind: str, scale: Any, content: str) -> Question:
    return Question(
        id=f"{item.id}/{kind}",
        item=item.id,
        messages=({"role": "user", "content": content},),
        scale=scale,
        max_tokens=16,
    )


def _score(item: Item, metric: Metric, is_right: bool, reason: str = "") -> Score:
    return Score(
        item=item.id, metric=metric.name, value=float(is_right), group=item.labels.get("emotion", ""), reason=reason
    )


def _text(answer: Answer) -> str:
    return answer.replies[-1].text


def _normalised(text: str) -> str:
    return " ".join(split_words(text.lower()))
