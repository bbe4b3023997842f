"""What is learned from a row, and what each task needs."""

from dataclasses import dataclass
from typing import Literal

from data_pipeline.records import Conversation, Utterance
from data_pipeline.steps.continuation import ContinuationKind

Task = Literal["conversation", "transcription", "continuation", "emotional continuation", "text to speech"]
"""What is learned from a row: the replies of a conversation; the transcript of an utterance; its continuation; its
continuation in the speaker's emotion; or the speech of the text of an utterance or of every spoken reply."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskNeeds:
    """The kinds of entries that a task takes, and what models make for them."""

    entries: tuple[type[Utterance] | type[Conversation], ...]
    continuation: ContinuationKind | None = None
    units: bool = False


TASKS: dict[Task, TaskNeeds] = {
    "conversation": TaskNeeds(entries=(Conversation,), units=True),
    "transcription": TaskNeeds(entries=(Utterance,)),
    "continuation": TaskNeeds(entries=(Utterance,), continuation="semantic"),
    "emotional continuation": TaskNeeds(entries=(Utterance,), continuation="emotional"),
    "text to speech": TaskNeeds(entries=(Utterance, Conversation), units=True),
}
