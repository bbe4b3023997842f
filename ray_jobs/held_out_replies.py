"""Replies of a trained model to held-out samples, to read and to listen to, generated as in serving."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
from transformers import PreTrainedTokenizerFast

from opens2s_core.audio import encode_audio
from opens2s_core.checkpoint.bundle import OPENS2S, TOKEN2WAV, opens2s_directory, read_bundle_info
from opens2s_core.checkpoint.opens2s import load_prompt_builder
from opens2s_core.inference.engine import ContextLengthExceeded
from opens2s_core.inference.messages import AudioChunk, ReplyRequest, Sampling, TextDelta
from opens2s_core.inference.pipeline import Pipeline
from opens2s_core.prompt import (
    AUDIO_SLOT,
    SPEECH_TOKENS,
    THINK_TOKENS,
    TURN_END,
    TURN_START,
    Audio,
    Content,
    Message,
    Role,
    Spoken,
    Text,
    ToolCall,
)
from opens2s_core.training.batch import EncodedSample, load_clip

REPLIES = "replies.json"
_MAX_TOKENS = 256
_MAX_UNITS = 1024
"""82 seconds."""
_ROLES = get_args(Role)


def write_replies(model: Path, samples: Sequence[EncodedSample], directory: Path, *, given_text: bool) -> None:
    """Generate the last reply of each sample with ``model``, a bundle or an OpenS2S directory alone, into
    ``directory``: ``replies.json``, the clips of the conversations and, of a bundle, the audio of spoken replies. A
    conversation that is too long for serving is left out.

    Text is generated greedily, or ``given_text`` is what the sample has; units are sampled as in serving.
    """
    opens2s = opens2s_directory(model)
    prompts = load_prompt_builder(opens2s)
    generate, rate, temperature = _generator(model, opens2s)
    replies = []
    for number, sample in enumerate(samples):
        *messages, expected = conversation(sample, prompts.tokenizer)
        speak, text = isinstance(expected.content[-1], Spoken), _text(expected)
        clips = [load_clip(audio) for audio in sample.audios]
        request = ReplyRequest(
            messages=tuple(_with_waveforms(messages, clips)),
            speak=speak,
            reply_text=text if given_text else None,
            text=Sampling(max_tokens=len(prompts.reply(text, speak=speak)) + 1 if given_text else _MAX_TOKENS),
            units=Sampling(temperature=temperature, max_tokens=_MAX_UNITS),
            speaker=np.array(sample.speakers[-1], np.float32) if speak and any(sample.speakers[-1:]) else None,
        )
        try:
            made = list(generate(request))
        except ContextLengthExceeded:  # training takes longer conversations than a slot in serving
            continue
        audio = [message.samples for message in made if isinstance(message, AudioChunk)]
        names = [f"{number}-clip-{clip}.flac" for clip in range(len(clips))]
        for name, data in zip(names, sample.audios, strict=True):
            (directory / name).write_bytes(data)
        reply: dict[str, Any] = {
            "id": sample.id,
            "conversation": _described(messages, names),
            "expected": text,
            "generated": "".join(message.text for message in made if isinstance(message, TextDelta)),
        }
        if audio:
            samples_of_reply = np.concatenate(audio)
            (directory / f"{number}-reply.wav").write_bytes(encode_audio(samples_of_reply, rate, container="wav"))
            reply |= {"audio": f"{number}-reply.wav", "seconds": round(len(samples_of_reply) / rate, 2)}
        replies.append(reply)
    (directory / REPLIES).write_text(json.dumps(replies, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def conversation(sample: EncodedSample, tokenizer: PreTrainedTokenizerFast) -> list[Message]:
    """The messages of a sample, with its encoded audio as the sources of :class:`Audio`. Adjacent texts are joined."""
    special = tokenizer.added_tokens_encoder
    audios, messages = iter(sample.audios), list[Message]()
    rest = sample.input_ids
    while special[TURN_START] in rest:
        rest = rest[rest.index(special[TURN_START]) + 1 :]
        stop = rest.index(special[TURN_END])
        messages.append(_message(rest[:stop], tokenizer, audios))
        rest = rest[stop + 1 :]
    if messages[0].role != "system":
        messages.insert(0, Message("system", (Text(""),)))  # none, or the default one would be added
    return messages


def _message(ids: list[int], tokenizer: PreTrainedTokenizerFast, audios: Iterator[bytes]) -> Message:
    special = tokenizer.added_tokens_encoder
    marks = {AUDIO_SLOT} | {special[token] for token in (*THINK_TOKENS, *SPEECH_TOKENS) if token in special}
    think_start, think_end, speech_start = (special.get(token) for token in (*THINK_TOKENS, "<|im_tts_start|>"))
    role, content = "", list[Content]()
    for mark, run in _runs(ids, marks):
        text = str(tokenizer.decode(run, skip_special_tokens=False))
        if not role:
            role, _, text = text.partition("\n")
        if mark == AUDIO_SLOT:
            content.append(Audio(next(audios)))
        if mark == think_start and mark is not None:
            text = ""  # nothing but blank lines are in a think block
        if mark == think_end and mark is not None:
            text = text.removeprefix("\n\n")
        if text:
            content.append(Spoken(text) if mark == speech_start else Text(text))
    if role not in _ROLES:
        raise ValueError(f"a message of {role!r}: expected one of {', '.join(_ROLES)}")
    return Message(role, tuple(content) or (Text(""),))  # type: ignore[arg-type]  # it is checked


def _runs(ids: list[int], marks: set[int]) -> Iterator[tuple[int | None, list[int]]]:
    """The ids between marks, each with the mark before it."""
    mark, run = None, list[int]()
    for one in ids:
        if one in marks:
            yield mark, run
            mark, run = one, []
        else:
            run.append(one)
    yield mark, run


def _generator(model: Path, opens2s: Path) -> tuple[Any, int, float]:
    """What generates the messages of a reply, the rate of its audio, and the temperature of units."""
    if (model / OPENS2S).is_dir() and (model / TOKEN2WAV).is_dir():
        info = read_bundle_info(model)
        return Pipeline.load(model).reply, info.sample_rate, info.units_temperature
    return Pipeline.load_text(opens2s).reply, 0, 1.0


def _with_waveforms(messages: Sequence[Message], clips: Sequence[Any]) -> list[Message]:
    waveforms = iter(clips)
    return [
        Message(
            message.role,
            tuple(Audio(next(waveforms)) if isinstance(item, Audio) else item for item in message.content),
        )
        for message in messages
    ]


def _described(messages: Sequence[Message], names: Sequence[str]) -> list[dict[str, Any]]:
    files = iter(names)
    return [
        {
            "role": message.role,
            "content": [
                {"audio": next(files)} if isinstance(item, Audio) else item.text
                for item in message.content
                if not isinstance(item, ToolCall)  # no sample has one
            ],
        }
        for message in messages
    ]


def _text(message: Message) -> str:
    return "".join(item.text for item in message.content if isinstance(item, Text | Spoken))
