"""How often a model replies exactly as its training corpus does: the first message of every dialogue of a corpus of
``ray_jobs.build_dialogues``."""

from collections.abc import Iterator, Sequence
from typing import Any

from data_pipeline.dialogues.reading import SpokenDialogue, read_dialogues
from evaluation.items import Answer, Item, Turn
from evaluation.scores import Judgement, Metric, Question, Score

EXACT, FIRST_TEXT, FIRST_AUDIO, REAL_TIME_FACTOR = "exact", "first_text", "first_audio", "real_time_factor"


class Verbatim:
    """The share of replies whose text is exactly that of the corpus, and the times of the replies."""

    name = "verbatim"
    spoken = True
    transcribed = False
    metrics = (
        Metric(name=EXACT, title="Replies that are exactly those of the corpus", unit="%", scale=100.0),
        Metric(name=FIRST_TEXT, title="Time to first text", unit="s", higher_is_better=False),
        Metric(name=FIRST_AUDIO, title="Time to first audio", unit="s", higher_is_better=False),
        Metric(name=REAL_TIME_FACTOR, title="Seconds of work per second of audio", higher_is_better=False),
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
    for metric, value in ((FIRST_TEXT, reply.first_text), (FIRST_AUDIO, reply.first_audio)):
        if value is not None:
            yield Score(item=item.id, metric=metric, value=value)
    if reply.seconds is not None and reply.audio_seconds:
        yield Score(item=item.id, metric=REAL_TIME_FACTOR, value=reply.seconds, weight=reply.audio_seconds)
