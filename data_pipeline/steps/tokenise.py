"""Prepared rows → training samples, by the prompt builder that serving uses too."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from data_pipeline.records import Content, Conversation, Emotion, RejectedRow, Utterance
from data_pipeline.steps.row import PreparedRow, spoken_replies
from data_pipeline.steps.tasks import TASKS, Task
from opens2s_core.prompt import (
    IGNORED,
    SPEAKER_DIM,
    Audio,
    Message,
    PromptBuilder,
    Spoken,
    Text,
    TrainingSample,
    read_aloud,
)
from opens2s_core.prompt import Content as PromptContent

CONTINUE = "Continue the following sentence in a coherent style: "
"""The text of the prompt before a clip that is continued."""
CONTINUE_EMOTION = "Continue the following sentence based on the conveyed emotion tone in a coherent style: "
"""The text of the prompt before a clip that is continued in its emotion."""

TRANSCRIBE = "Transcribe the following speech: "
"""The text of the prompt before a clip that is transcribed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokeniseConfig:
    """Samples of rows. ``text_prompts`` adds a sample with the user's text in place of the clips (paper section
    3.2: trained on speech alone, the speech decoder fails on text). Speaker vectors have ``speaker_dim`` numbers.
    ``transcription_prompt`` is the text before a clip that is transcribed; a model that learns from such samples keeps
    it as the way to ask for a transcript.

    ``max_text_tokens`` limits each text of a row, ``max_length`` the LLM positions of a sample.
    """

    task: Task
    text_prompts: bool = False
    transcription_prompt: str = ""
    max_text_tokens: int = 1024
    max_length: int = 8192
    speaker_dim: int = SPEAKER_DIM

    def __post_init__(self) -> None:
        if self.max_text_tokens < 1 or self.max_length < 1 or self.speaker_dim < 1:
            raise ValueError(
                "expected max_text_tokens, max_length and speaker_dim of at least 1, got "
                f"{self.max_text_tokens}, {self.max_length} and {self.speaker_dim}"
            )
        if self.task not in TASKS:
            raise ValueError(f"task is {self.task!r}, expected one of {', '.join(TASKS)}")
        if self.text_prompts and self.task != "conversation":
            raise ValueError(f"text_prompts of the task {self.task!r}: expected them for conversations only")
        if self.transcription_prompt and self.task != "transcription":
            raise ValueError(f"transcription_prompt of the task {self.task!r}: expected one for transcription only")


@dataclass(frozen=True, slots=True)
class _Clip:
    """A prepared clip, as the source of an :class:`Audio`."""

    flac: bytes
    samples: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    """What a sample is made of. An empty emotion or transcript is unknown, and so is a missing ``written``."""

    id: str
    messages: Sequence[Message]
    written: Sequence[Message] | None = None  # the user's words in place of the clips
    emotion: Emotion = ""  # in the first clip
    transcript: str = ""  # of the only clip


def tokenise(
    row: PreparedRow, prompts: PromptBuilder, audio_positions: Callable[[int], int], config: TokeniseConfig
) -> list[dict[str, Any]]:
    """Rows of schema SAMPLE. ``audio_positions`` gives the LLM positions of a clip of so many 16 kHz samples.

    Raises :class:`RejectedRow`: ``text too long``, ``sample too long``, ``bad conversation``, ``bad speaker vector``,
    ``no units`` or ``no text``.
    """
    samples = []
    for source in _sources(row, config):
        for message in source.messages:
            for item in message.content:
                _check_item(item, prompts, config)
        samples.append(_sample(source, row, prompts, audio_positions, config))
    return samples


def _sources(row: PreparedRow, config: TokeniseConfig) -> list[_Source]:
    entry = row.entry
    if config.task == "text to speech":
        spoken = _spoken(row)
        if isinstance(entry, Utterance):
            return [_Source(id=entry.id, messages=_read_aloud(spoken[0]))]
        return [_Source(id=f"{entry.id}-{number}", messages=_read_aloud(reply)) for number, reply in enumerate(spoken)]
    if config.task == "conversation":
        assert isinstance(entry, Conversation), f"{entry.id}: expected a conversation for the task {config.task!r}"
        return _talk(row, entry, config)
    assert isinstance(entry, Utterance), f"{entry.id}: expected an utterance for the task {config.task!r}"
    return [_utterance(row, entry, config)]


def _utterance(row: PreparedRow, entry: Utterance, config: TokeniseConfig) -> _Source:
    """A clip with its transcript or its continuation."""
    clip = Audio(_Clip(row.clips[0], row.clip_samples[0]))
    prompt, reply = config.transcription_prompt, entry.text
    if config.task != "transcription":
        assert row.continuation is not None, f"{entry.id}: expected a continuation"
        reply = row.continuation
        prompt = CONTINUE if config.task == "continuation" else CONTINUE_EMOTION
    instruction = [Text(prompt)] if prompt else []
    assistant = Message("assistant", (Text(reply),))
    written = (Message("user", (*instruction, Text(entry.text))), assistant)
    return _Source(
        id=entry.id,
        messages=(Message("user", (*instruction, clip)), assistant),
        written=written if entry.text.strip() else None,
        emotion=entry.emotion,
        transcript=entry.text,
    )


def _talk(row: PreparedRow, entry: Conversation, config: TokeniseConfig) -> list[_Source]:
    """A conversation, and the one with the user's words where it is asked for and can be made."""
    clips = _users_clips(entry)
    written = _messages(row, entry, written=True) if clips and all(text.strip() for text, _ in clips) else None
    spoken = _Source(
        id=entry.id,
        messages=_messages(row, entry, written=False),
        written=written,
        emotion=clips[0][1] if clips else "",
        transcript=clips[0][0] if len(clips) == 1 else "",
    )
    if written is None or not config.text_prompts:
        return [spoken]
    return [spoken, _Source(id=f"{entry.id}-written", messages=written)]


def _read_aloud(spoken: Spoken) -> Sequence[Message]:
    return (*read_aloud(spoken.text), Message("assistant", (spoken,)))


def _messages(row: PreparedRow, entry: Conversation, *, written: bool) -> list[Message]:
    """With ``written``, the user's texts take the place of the clips."""
    clips = iter(zip(row.clips, row.clip_samples, strict=True))
    spoken = iter(_spoken(row))
    messages = []
    for message in entry.messages:
        items: list[PromptContent] = []
        for content in message.content:
            clip = None if content.audio is None else next(clips)
            if message.role == "assistant" and (clip is not None or content.units):
                items.append(next(spoken))
            elif clip is None or written:
                items.append(Text(content.text))
            else:
                items.append(Audio(_Clip(*clip)))
        messages.append(Message(message.role, tuple(items)))
    return messages


def _users_clips(entry: Conversation) -> list[tuple[str, Emotion]]:
    """The words and the emotion of each clip of a user."""
    return [
        (content.text, message.emotion)
        for message in entry.messages
        if message.role == "user"
        for content in message.content
        if content.audio is not None
    ]


def _spoken(row: PreparedRow) -> list[Spoken]:
    """An utterance, or the spoken replies of a conversation."""
    entry = row.entry
    replies = [Content(text=entry.text)] if isinstance(entry, Utterance) else spoken_replies(entry)
    units = row.units if row.units is not None else tuple(content.units for content in replies)
    speakers = row.speakers if row.speakers is not None else tuple(content.speaker_embedding for content in replies)
    return [Spoken(content.text, ids, speaker) for content, ids, speaker in zip(replies, units, speakers, strict=True)]


def _check_item(item: PromptContent, prompts: PromptBuilder, config: TokeniseConfig) -> None:
    if isinstance(item, Spoken):
        if not item.text.strip():
            raise RejectedRow(f"no text: a spoken reply of {len(item.units)} units has no text")
        if not item.units:
            raise RejectedRow(f"no units: expected some of the spoken reply {item.text[:40]!r}")
        if item.speaker and len(item.speaker) != config.speaker_dim:
            raise RejectedRow(f"bad speaker vector: {len(item.speaker)} numbers, expected {config.speaker_dim}")
    if isinstance(item, Text | Spoken):
        count = len(prompts.encode_text(item.text))
        if count > config.max_text_tokens:
            raise RejectedRow(f"text too long: {count} tokens, expected at most {config.max_text_tokens}")


def _sample(
    source: _Source,
    row: PreparedRow,
    prompts: PromptBuilder,
    audio_positions: Callable[[int], int],
    config: TokeniseConfig,
) -> dict[str, Any]:
    try:
        sample = prompts.training_sample(source.messages)
    except ValueError as error:
        raise RejectedRow(f"bad conversation: {error}") from error
    # Each clip fills its slot, which is one position.
    length = len(sample.input_ids) + sum(audio_positions(clip.samples) - 1 for clip in sample.audios)
    if length > config.max_length:
        raise RejectedRow(f"sample too long: {length} positions, expected at most {config.max_length}")
    teacher = TrainingSample() if source.written is None else prompts.training_sample(source.written)
    if len(teacher.input_ids) > config.max_length:
        teacher = TrainingSample()
    return {
        "id": source.id,
        "input_ids": sample.input_ids,
        "token_types": sample.token_types,
        "labels": sample.labels,
        "audios": [clip.flac for clip in sample.audios],
        "units": [list(units) for units in sample.units],
        "speakers": [list(speaker) for speaker in sample.speakers],
        "emotion": source.emotion,
        "transcript": source.transcript.strip(),
        "teacher_ids": teacher.input_ids,
        "teacher_labels": teacher.labels,
        "corpus": row.entry.corpus,
        "language": row.entry.language,
        "length": length,
        # Of each reply: the speaker, the hidden states, the units and the end unit.
        "speech_length": sum(sample.token_types) + sum(1 + len(units) + 1 for units in sample.units),
        "text_labels": sum(label != IGNORED for label in sample.labels),
        "unit_labels": sum(len(units) + 1 for units in sample.units),  # each reply ends with the end unit
    }
