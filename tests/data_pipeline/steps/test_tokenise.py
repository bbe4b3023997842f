from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data_pipeline.records import Content, Conversation, Emotion, RejectedRow
from data_pipeline.schema import SAMPLE
from data_pipeline.steps.row import PreparedRow
from data_pipeline.steps.tokenise import CONTINUE_EMOTION, TRANSCRIBE, TokeniseConfig, tokenise
from opens2s_core.audio import Waveform
from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.opens2s import load_prompt_builder
from opens2s_core.prompt import AUDIO_SLOT, IGNORED, Audio, Message, PromptBuilder, Spoken, Text, read_aloud
from tests.audio_files import noise
from tests.data_pipeline.steps.rows import clip, conversation, row, utterance

QUESTION, ANSWER = noise(1.0, seed=1), noise(0.5, seed=2)
SPEAKER = (0.5, -0.5)
TALK = TokeniseConfig(task="conversation", speaker_dim=2)


@pytest.fixture(scope="module")
def prompts(tiny_bundle: Path) -> PromptBuilder:
    return load_prompt_builder(tiny_bundle / OPENS2S)


def positions(samples: int) -> int:
    return samples // 640


def user(text: str = "Hi there!", audio: str | None = "q") -> tuple[str, tuple[Content, ...]]:
    return "user", (Content(text=text, audio=audio and clip(audio)),)


def reply(text: str = "Hello.", audio: str | None = "a", **fields: Any) -> tuple[str, tuple[Content, ...]]:
    return "assistant", (Content(text=text, audio=audio and clip(audio), **fields),)


def one_turn(units: tuple[int, ...] = (3, 1, 2), clips: tuple[Waveform, ...] = (QUESTION, ANSWER)) -> PreparedRow:
    return row(conversation(user(), reply()), *clips, units=(units,), speakers=(SPEAKER,))


def samples(prepared: PreparedRow, prompts: PromptBuilder, config: TokeniseConfig) -> list[dict[str, Any]]:
    found = tokenise(prepared, prompts, positions, config)
    pa.Table.from_pylist(found, schema=SAMPLE)
    assert all(set(sample) == set(SAMPLE.names) for sample in found)
    return found


def learned(sample: dict[str, Any], prompts: PromptBuilder) -> str:
    text = prompts.tokenizer.decode([label for label in sample["labels"] if label != IGNORED])
    assert isinstance(text, str)
    return text


def begins_with(sample: dict[str, Any], prompts: PromptBuilder, *messages: Message, speak: bool) -> bool:
    asked = prompts.prompt(messages, speak=speak).input_ids
    return bool(sample["input_ids"][: len(asked)] == asked)


def test_a_sample_begins_with_what_inference_would_ask(prompts: PromptBuilder) -> None:
    prepared = one_turn()
    (sample,) = samples(prepared, prompts, TALK)
    assert begins_with(sample, prompts, Message("user", (Audio(None),)), speak=True)
    assert sample["audios"] == [prepared.clips[0]]
    assert sample["input_ids"].count(AUDIO_SLOT) == 1
    assert sample["length"] == len(sample["input_ids"]) - 1 + 25
    assert (sample["id"], sample["corpus"], sample["language"]) == ("c1", "corpus", "en")


def test_only_the_reply_is_learned(prompts: PromptBuilder) -> None:
    (sample,) = samples(one_turn(), prompts, TALK)
    assert learned(sample, prompts) == "<|im_tts_start|>Hello.<|im_tts_end|><|im_end|>\n"
    assert sample["text_labels"] == sum(label != IGNORED for label in sample["labels"])
    assert (sample["units"], sample["unit_labels"], sample["speakers"]) == ([[3, 1, 2]], 4, [list(SPEAKER)])


def test_a_conversation_is_learned_from_the_users_words_as_well(prompts: PromptBuilder) -> None:
    config = TokeniseConfig(task="conversation", speaker_dim=2, text_prompts=True)
    spoken, read = samples(one_turn(), prompts, config)
    assert begins_with(read, prompts, Message("user", (Text("Hi there!"),)), speak=True)
    assert (read["id"], read["audios"], read["length"]) == ("c1-written", [], len(read["input_ids"]))
    for key in ("units", "unit_labels", "speakers"):
        assert read[key] == spoken[key]


@pytest.mark.parametrize(
    "entry", [conversation(user(""), reply(audio=None)), conversation(user(audio=None), reply(audio=None))]
)
def test_without_clips_whose_words_are_known_there_is_one_sample(prompts: PromptBuilder, entry: Any) -> None:
    config = TokeniseConfig(task="conversation", text_prompts=True)
    clips = [QUESTION] if entry.messages[0].content[0].audio else []
    assert [sample["id"] for sample in samples(row(entry, *clips), prompts, config)] == ["c1"]


def test_every_turn_is_learned_with_its_own_clips_units_and_speaker(prompts: PromptBuilder) -> None:
    entry = conversation(
        ("system", (Content(text="Be kind."),)),
        user(audio="q1"),
        reply("One."),
        user("And?", audio=None),
        reply("Two.", audio=None, units=(7,)),
        user("So?", audio="q2"),
        reply("Written.", audio=None),
    )
    clips = (QUESTION, ANSWER, noise(2.0, seed=3))
    prepared = row(entry, *clips, units=((1, 2), (7,)), speakers=(SPEAKER, ()))
    (sample,) = samples(prepared, prompts, TALK)
    assert sample["audios"] == [prepared.clips[0], prepared.clips[2]]
    assert (sample["units"], sample["speakers"]) == ([[1, 2], [7]], [list(SPEAKER), []])
    assert learned(sample, prompts).replace("\n", "") == (
        "<|im_tts_start|>One.<|im_tts_end|><|im_end|><|im_tts_start|>Two.<|im_tts_end|><|im_end|>Written.<|im_end|>"
    )
    assert sample["length"] == len(sample["input_ids"]) - 2 + 25 + 50
    assert prompts.tokenizer.decode([i for i in sample["input_ids"] if i >= 0]).count("Be kind.") == 1


def test_units_and_speakers_of_the_corpus_need_no_model(prompts: PromptBuilder) -> None:
    entry = conversation(user(), reply(audio=None, units=(4, 5), speaker_embedding=SPEAKER))
    (sample,) = samples(row(entry, QUESTION), prompts, TALK)
    assert (sample["units"], sample["speakers"]) == ([[4, 5]], [list(SPEAKER)])


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("continuation", "Continue the following sentence in a coherent style: "),
        (
            "emotional continuation",
            "Continue the following sentence based on the conveyed emotion tone in a coherent style: ",
        ),
    ],
)
def test_the_continuation_of_a_clip_is_learned_as_text(prompts: PromptBuilder, task: Any, words: str) -> None:
    prepared = row(utterance(emotion="sad"), QUESTION, continuation="So we stayed in.")
    (sample,) = samples(prepared, prompts, TokeniseConfig(task=task))
    assert begins_with(sample, prompts, Message("user", (Text(words), Audio(None))), speak=False)
    assert learned(sample, prompts) == "So we stayed in.<|im_end|>\n"
    assert sample["audios"] == [prepared.clips[0]]
    assert (sample["units"], sample["speakers"], sample["unit_labels"]) == ([], [], 0)
    assert not any(sample["token_types"])


def test_text_to_speech_reads_an_utterance_aloud(prompts: PromptBuilder) -> None:
    prepared = row(utterance(), QUESTION, units=((9, 8),), speakers=(SPEAKER,))
    (sample,) = samples(prepared, prompts, TokeniseConfig(task="text to speech", speaker_dim=2))
    assert begins_with(sample, prompts, *read_aloud("It rained all day."), speak=True)
    assert learned(sample, prompts) == "<|im_tts_start|>It rained all day.<|im_tts_end|><|im_end|>\n"
    assert (sample["audios"], sample["units"], sample["speakers"]) == ([], [[9, 8]], [list(SPEAKER)])
    assert sample["length"] == len(sample["input_ids"])


def test_text_to_speech_pairs_are_taken_from_every_spoken_reply(prompts: PromptBuilder) -> None:
    entry = conversation(user(), reply("One."), user(audio=None), reply("Two.", audio=None, units=(7,)))
    prepared = row(entry, QUESTION, ANSWER, units=((1,), (7,)))
    found = samples(prepared, prompts, TokeniseConfig(task="text to speech"))
    assert [(sample["id"], sample["units"]) for sample in found] == [("c1-0", [[1]]), ("c1-1", [[7]])]
    expected = prompts.training_sample((*read_aloud("Two."), Message("assistant", (Spoken("Two.", (7,)),))))
    assert found[1]["input_ids"] == expected.input_ids


def teacher(sample: dict[str, Any]) -> tuple[list[int], list[int]]:
    return sample["teacher_ids"], sample["teacher_labels"]


def written(prompts: PromptBuilder, *messages: Message) -> tuple[list[int], list[int]]:
    sample = prompts.training_sample(messages)
    return sample.input_ids, sample.labels


def test_the_teacher_reads_the_users_words_in_place_of_the_clips(prompts: PromptBuilder) -> None:
    config = TokeniseConfig(task="conversation", speaker_dim=2, text_prompts=True)
    spoken, read = samples(one_turn(), prompts, config)
    assert teacher(spoken) == (read["input_ids"], read["labels"])
    assert teacher(read) == ([], [])
    (unknown,) = samples(row(conversation(user(" "), reply(audio=None)), QUESTION), prompts, TALK)
    assert teacher(unknown) == ([], [])
    (without_clip,) = samples(row(conversation(user(audio=None), reply(audio=None))), prompts, TALK)
    assert teacher(without_clip) == ([], [])
    tight = TokeniseConfig(task="conversation", speaker_dim=2, max_length=spoken["length"])
    long = row(conversation(user("So long! " * 9), reply()), QUESTION, ANSWER, units=((3, 1, 2),))
    (sample,) = samples(long, prompts, tight)
    assert teacher(sample) == ([], [])


@pytest.mark.parametrize(
    ("task", "instruction"),
    [
        ("continuation", ["Continue the following sentence in a coherent style: "]),
        ("emotional continuation", [CONTINUE_EMOTION]),
        ("transcription", []),
    ],
)
def test_the_teacher_of_an_utterance_reads_its_transcript(
    prompts: PromptBuilder, task: Any, instruction: list[str]
) -> None:
    words = "It rained all day."
    prepared = row(utterance(emotion="sad"), QUESTION, continuation="So we stayed in.")
    (sample,) = samples(prepared, prompts, TokeniseConfig(task=task))
    answer = words if task == "transcription" else "So we stayed in."
    user_message = Message("user", tuple(Text(text) for text in [*instruction, words]))
    assert teacher(sample) == written(prompts, user_message, Message("assistant", (Text(answer),)))
    assert (sample["transcript"], sample["emotion"]) == (words, "sad")


def test_a_transcription_has_its_prompt_before_the_clip(prompts: PromptBuilder) -> None:
    config = TokeniseConfig(task="transcription", transcription_prompt=TRANSCRIBE)
    (sample,) = samples(row(utterance(), QUESTION), prompts, config)
    assert begins_with(sample, prompts, Message("user", (Text(TRANSCRIBE), Audio(None))), speak=False)
    assert learned(sample, prompts) == "It rained all day.<|im_end|>\n"
    asked = Message("user", (Text(TRANSCRIBE), Text("It rained all day.")))
    assert teacher(sample) == written(prompts, asked, Message("assistant", (Text("It rained all day."),)))


def test_a_transcription_prompt_of_another_task_is_refused() -> None:
    with pytest.raises(ValueError, match="transcription_prompt of the task 'continuation'"):
        TokeniseConfig(task="continuation", transcription_prompt=TRANSCRIBE)


def test_the_transcript_is_of_the_only_clip_and_the_emotion_of_the_first(prompts: PromptBuilder) -> None:
    def labelled(*messages: tuple[Any, Emotion]) -> Conversation:
        entry = conversation(*(message for message, _ in messages))
        feelings = zip(entry.messages, messages, strict=True)
        return replace(entry, messages=tuple(replace(own, emotion=emotion) for own, (_, emotion) in feelings))

    written_reply = (reply(audio=None), "")
    one = labelled((user("And?", audio=None), "angry"), written_reply, (user(" Hi! "), "sad"), written_reply)
    two = labelled((user(), "happy"), written_reply, (user(), "sad"), written_reply)
    none = labelled((user(audio=None), "happy"), written_reply)
    for entry, clips, expected in ((one, 1, ("Hi!", "sad")), (two, 2, ("", "happy")), (none, 0, ("", ""))):
        (sample,) = samples(row(entry, *[QUESTION] * clips), prompts, TALK)
        assert (sample["transcript"], sample["emotion"]) == expected
    aloud = row(utterance(emotion="sad"), QUESTION, units=((9, 8),))
    (sample,) = samples(aloud, prompts, TokeniseConfig(task="text to speech"))
    assert (sample["transcript"], sample["emotion"]) == ("", "")


def test_the_speech_decoder_reads_speaker_hidden_states_units_and_the_end(prompts: PromptBuilder) -> None:
    entry = conversation(user(), reply("One."), user("And?", audio=None), reply("Two.", audio=None, units=(7,)))
    (sample,) = samples(row(entry, QUESTION, ANSWER, units=((1, 2), (7,))), prompts, TALK)
    words = [len(prompts.encode_text(text)) + 2 for text in ("One.", "Two.")]  # with the tokens around them
    assert sample["speech_length"] == (1 + words[0] + 2 + 1) + (1 + words[1] + 1 + 1)
    (text_only,) = samples(row(conversation(user(audio=None), reply(audio=None))), prompts, TALK)
    assert text_only["speech_length"] == 0


def test_the_longest_text_is_accepted_and_a_longer_one_is_not(prompts: PromptBuilder) -> None:
    count = len(prompts.encode_text("Hi there!"))
    tokenise(one_turn(), prompts, positions, TokeniseConfig(task="conversation", speaker_dim=2, max_text_tokens=count))
    prepared = row(conversation(user(), reply("Hi there! Hi there!")), QUESTION, ANSWER, units=((1,),))
    tokens = len(prompts.encode_text("Hi there! Hi there!"))
    with pytest.raises(RejectedRow, match=f"^text too long: {tokens} tokens, expected at most {count}$"):
        tokenise(prepared, prompts, positions, TokeniseConfig(task="conversation", max_text_tokens=count))


def test_the_longest_sample_is_accepted_and_a_longer_one_is_not(prompts: PromptBuilder) -> None:
    (sample,) = samples(one_turn(), prompts, TALK)
    length = sample["length"]
    samples(one_turn(), prompts, TokeniseConfig(task="conversation", speaker_dim=2, max_length=length))
    config = TokeniseConfig(task="conversation", speaker_dim=2, max_length=length - 1)
    with pytest.raises(RejectedRow, match=f"^sample too long: {length} positions, expected at most {length - 1}$"):
        tokenise(one_turn(), prompts, positions, config)


@pytest.mark.parametrize(
    ("prepared", "reason"),
    [
        (row(conversation(user(), reply(" ")), QUESTION, ANSWER, units=((1,),)), "no text: a spoken reply of 1 units"),
        (row(conversation(user(), reply()), QUESTION, ANSWER), "no units: expected some of the spoken reply 'Hello.'"),
        (
            row(conversation(user(), reply(audio=None, units=(1,), speaker_embedding=(1.0,))), QUESTION),
            "bad speaker vector: 1 numbers, expected 2",
        ),
        (
            row(
                conversation(user(), ("assistant", (reply()[1][0], reply()[1][0]))),
                QUESTION,
                ANSWER,
                ANSWER,
                units=((1,), (2,)),
            ),
            "bad conversation: two consecutive spoken replies",
        ),
    ],
)
def test_rows_that_cannot_be_learned_are_rejected(prompts: PromptBuilder, prepared: PreparedRow, reason: str) -> None:
    with pytest.raises(RejectedRow, match=f"^{reason}"):
        tokenise(prepared, prompts, positions, TALK)


def test_the_same_row_gives_the_same_samples(prompts: PromptBuilder) -> None:
    assert samples(one_turn(), prompts, TALK) == samples(one_turn(), prompts, TALK)
    assert np.array_equal(QUESTION, noise(1.0, seed=1))


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="of at least 1, got 0, 8192 and 512"):
        TokeniseConfig(task="conversation", max_text_tokens=0)
    with pytest.raises(ValueError, match="expected them for conversations only"):
        TokeniseConfig(task="text to speech", text_prompts=True)
