"""The entries that readers of corpora yield: one schema for utterances, one for conversations."""

from dataclasses import dataclass
from typing import Literal

from opens2s_core.training.emotions import EMOTIONS as EMOTIONS
from opens2s_core.training.emotions import Emotion as Emotion

Gender = Literal["female", "male", ""]
Age = Literal["child", "young", "adult", "elderly", ""]
Role = Literal["system", "user", "assistant"]


class RejectedRow(ValueError):
    """A row that cannot be used. The message is ``<kind>: <detail>``; reports count the kinds."""


class Unavailable(RejectedRow):
    """A row that could not be used because a service did not answer: a later run of the job may succeed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reject:
    """A rejected row: the step that rejected it, and the reason as in :class:`RejectedRow`."""

    id: str
    step: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioReference:
    """A clip in a corpus: a file, bytes within a file, a member of an archive, a cell of a table, or a segment of any.

    Segments are read without decoding the whole file.
    """

    path: str  # relative to the root of the corpus, with "/"
    member: str | None = None  # of a zip archive
    offset: int | None = None  # first byte of the clip in the file, as in a tar archive; with ``size``
    size: int | None = None  # bytes
    row: int | None = None  # of a Parquet file; with ``column``
    column: str | None = None
    start: float = 0  # of a segment: seconds, or samples of the file where ``in_samples``
    length: float | None = None  # as ``start``; None: to the end
    in_samples: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Utterance:
    """A clip of one speaker with its transcript and labels. An empty text or label is an unknown one."""

    id: str  # unique among all splits of the corpus
    corpus: str
    split: str
    language: str  # ISO 639-1: "en", "zh"
    audio: AudioReference
    text: str = ""
    sample_rate: int | None = None  # Hz, where the corpus states it
    duration: float | None = None  # seconds, where the corpus states it
    speaker: str = ""
    gender: Gender = ""
    age: Age = ""
    emotion: Emotion = ""
    original_emotion: str = ""  # the corpus's own label
    dnsmos: float | None = None  # quality of the audio by DNSMOS P.835, about 1 to 5, where the corpus has it


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """One piece of a message: text, a clip, or a clip with the text that is spoken in it."""

    text: str = ""
    audio: AudioReference | None = None
    units: tuple[int, ...] = ()  # speech units of ``text``, where they are made already
    speaker_embedding: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ConversationMessage:
    """A message of one side, with the labels of its speaker. An empty label is an unknown one."""

    role: Role
    content: tuple[Content, ...]
    gender: Gender = ""
    age: Age = ""
    emotion: Emotion = ""
    original_emotion: str = ""  # the corpus's own label


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversation:
    """Messages in order. The last one is the assistant's."""

    id: str  # unique among all splits of the corpus
    corpus: str
    split: str
    language: str
    messages: tuple[ConversationMessage, ...]


Entry = Utterance | Conversation
