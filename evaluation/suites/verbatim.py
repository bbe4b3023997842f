"""How often a model replies exactly as its training corpus does: the first message of every dialogue of a corpus of
``ray_jobs.build_dialogues``."""

from collections.abc import Iterator, Sequence
from typing import Any

from data_pipeline.dialogues.reading import SpokenDialogue, read_dialogues
from evaluation.items import Answer, Item, Turn
from evaluation.scores import Judgement, Metric, Question, Score
from evaluation.suites.reply_measures import FIRST_AUDIO, FIRST_TEXT, REAL_TIME_FACTOR, times

EXACT = "exact"


class Verbatim:
    """The share of replies whose text is exactly that of the corpus, and the times of the replies."""

    name = "verbatim"
    spoken = True
    transcribed = False
    metrics = (
        Metric(name=EXACT, title="Replies that are exactly those of the corpus", unit="%", scale=100.0),
        Metric(name=FIRST_TEXT.name, title="Time to first text", unit="s", higher_is_better=False),
        Metric(name=FIRST_AUDIO.name, title="Time to first audio", unit="s", higher_is_better=False),
        Metric(name=REAL_TIME_FACTOR.name, title="Seconds of work per second of audio", higher_is_better=False),
    )

    def items(self, data: str) -> list[Item]:
        return [_item(dialogue) for dialogue in read_dialogues(data)]

    def describe(self, data: str, items: Sequence[Item]) -> dict[str, Any]:
        return {"rows": len(items)}

    def questions(self, item: Item, answer: Answer) -> list[Question]:
        return []

    def scores(self, item: Item, answer: Answer, judgements: Sequence[Judgement]) -> list[Score]:
        return list(_scores(item, answer))


def _item(dialogue: SpokenDialogue) -> Item:
    user, reply = (
        next(message for message in dialogue.messages if message.message["role"] == role)
        for role in ("user", "assistant")
    )
    return Item(
        id=dialogue.row["id"],
        turns=(Turn(text=user.message["text"], audio=user.audio),),
        language=dialogue.row["language"],
        references=(reply.message["text"],),
    )


def _scores(item: Item, answer: Answer) -> Iterator[Score]:
    reply, expected = answer.replies[0], item.references[0]
    reason = "" if reply.text == expected else f"expected {expected!r}"
    yield Score(item=item.id, metric=EXACT, value=float(reply.text == expected), reason=reason)
    for measure in times(reply):
        yield Score(item=item.id, metric=measure.metric, value=measure.value, weight=measure.weight)
