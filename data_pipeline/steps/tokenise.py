"""Prepared rows → training samples, by the prompt builder that serving uses too."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from data_pipeline.records import Content, Conversation, RejectedRow, Utterance
from data_pipeline.steps.row import PreparedRow, spoken_replies
from data_pipeline.steps.tasks import TASKS, Task
from opens2s_core.prompt import IGNORED, SPEAKER_DIM, Audio, Message, PromptBuilder, Spoken, Text, read_aloud
from opens2s_core.prompt import Content as PromptContent

CONTINUE = "Continue the following sentence in a coherent style: "
"""The text of the prompt before a clip that is continued."""
CONTINUE_EMOTION = "Continue the following sentence based on the conveyed emotion tone in a coherent style: "
"""The text of the prompt before a clip that is continued in its emotion."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokeniseConfig:
    """Samples of rows. ``text_prompts`` adds a sample with the user's text in place of the clips (paper section
    3.2: trained on speech alone, the speech decoder fails on text). Speaker vectors have ``speaker_dim`` numbers.

    ``max_text_tokens`` limits each text of a row, ``max_length`` the LLM positions of a sample.
    """

    task: Task
    text_prompts: bool = False
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


@dataclass(frozen=True, slots=True)
class _Clip:
    """A prepared clip, as the source of an :class:`Audio`."""

    flac: bytes
    samples: int


def tokenise(
    row: PreparedRow, prompts: PromptBuilder, audio_positions: Callable[[int], int], config: TokeniseConfig
) -> list[dict[str, Any]]:
    """Rows of schema SAMPLE. ``audio_positions`` gives the LLM positions of a clip of so many 16 kHz samples.

    Raises :class:`RejectedRow`: ``text too long``, ``sample too long``, ``bad conversation``, ``bad speaker vector``,
    ``no units`` or ``no text``.
    """
    samples = []
    for name, messages in _conversations(row, config):
        for message in messages:
            for item in message.content:
                _check_item(item, prompts, config)
        samples.append(_sample(name, row, messages, prompts, audio_positions, config))
    return samples


def _conversations(row: PreparedRow, config: TokeniseConfig) -> list[tuple[str, Sequence[Message]]]:
    """The conversation of each sample, by the sample's id."""
    entry = row.entry
    if config.task == "text to speech":
        spoken = _spoken(row)
        if isinstance(entry, Utterance):
            return [(entry.id, _read_aloud(spoken[0]))]
        return [(f"{entry.id}-{number}", _read_aloud(reply)) for number, reply in enumerate(spoken)]
    if config.task == "conversation":
        assert isinstance(entry, Conversation), f"{entry.id}: expected a conversation for the task {config.task!r}"
        spoken_prompt = _messages(row, entry, written=False)
        with_words = config.text_prompts and row.clips and _words_are_known(entry)
        written = [(f"{entry.id}-written", _messages(row, entry, written=True))] if with_words else []
        return [(entry.id, spoken_prompt), *written]
    assert isinstance(entry, Utterance), f"{entry.id}: expected an utterance for the task {config.task!r}"
    clip = Audio(_Clip(row.clips[0], row.clip_samples[0]))
    if config.task == "transcription":
        return [(entry.id, (Message("user", (clip,)), Message("assistant", (Text(entry.text),))))]
    assert row.continuation is not None, f"{entry.id}: expected a continuation"
    words = CONTINUE if config.task == "continuation" else CONTINUE_EMOTION
    return [
        (entry.id, (Message("user", (Text(words), clip)), Message("assistant", (Text(row.continuation),)))),
    ]


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


def _words_are_known(entry: Conversation) -> bool:
    """Whether a user speaks, and the text of every clip of a user is known."""
    texts = [
        content.text
        for message in entry.messages
        if message.role == "user"
        for content in message.content
        if content.audio is not None
    ]
    return bool(texts) and all(text.strip() for text in texts)


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
    name: str,
    row: PreparedRow,
    messages: Sequence[Message],
    prompts: PromptBuilder,
    audio_positions: Callable[[int], int],
    config: TokeniseConfig,
) -> dict[str, Any]:
    try:
        sample = prompts.training_sample(messages)
    except ValueError as error:
        raise RejectedRow(f"bad conversation: {error}") from error
    # Each clip fills its slot, which is one position.
    length = len(sample.input_ids) + sum(audio_positions(clip.samples) - 1 for clip in sample.audios)
    if length > config.max_length:
        raise RejectedRow(f"sample too long: {length} positions, expected at most {config.max_length}")
    return {
        "id": name,
        "input_ids": sample.input_ids,
        "token_types": sample.token_types,
        "labels": sample.labels,
        "audios": [clip.flac for clip in sample.audios],
        "units": [list(units) for units in sample.units],
        "speakers": [list(speaker) for speaker in sample.speakers],
        "corpus": row.entry.corpus,
        "language": row.entry.language,
        "length": length,
        "text_labels": sum(label != IGNORED for label in sample.labels),
        "unit_labels": sum(len(units) + 1 for units in sample.units),  # each reply ends with the end unit
    }
