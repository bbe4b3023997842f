"""Replies with a given text."""

from dataclasses import replace
from pathlib import Path
from random import Random
from unicodedata import normalize

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2s_core.inference.engine import ContextLengthExceeded
from opens2s_core.inference.lm_settings import LMSettings
from opens2s_core.inference.messages import AudioChunk, Finish, ReplyRequest, Sampling, StageMessage
from opens2s_core.inference.pipeline import Pipeline, reply_text
from opens2s_core.inference.records import TextRecord
from opens2s_core.inference.thinker import ThinkerEngine
from opens2s_core.prompt import Audio, Message, Spoken, Text, read_aloud
from tests.opens2s_core.golden_conversations import GOLDEN, VOCABULARY
from tests.opens2s_core.inference.oracle import close, teacher_forced
from tests.opens2s_core.inference.random_engines import SETTINGS, SMALL, random_engines
from tests.opens2s_core.inference.served import ReplyInput, ReplyResult, alone, resume, serve

TEXT = "And then we went home, the two of us: 你好!"
LITERALS = st.sampled_from(sorted(VOCABULARY.tokenizer.added_tokens_encoder))
TEXTS = st.lists(st.text(max_size=5) | LITERALS, min_size=1, max_size=4).map("".join).filter(bool)
NONE = TextRecord((), groups=0, characters=0)


def thinker(*, capacity: int = 1, settings: LMSettings | None = None) -> ThinkerEngine:
    engine, _ = random_engines(GOLDEN.path, SMALL, capacity=capacity, settings=settings)
    return engine


def to_read(text: str = TEXT, *, speak: bool = True) -> ReplyInput:
    return ReplyInput(ReplyRequest(messages=read_aloud(text), speak=speak, reply_text=text))


def tokens(engine: ThinkerEngine, text: str, *, speak: bool = True) -> tuple[int, ...]:
    """The tokens after the prompt in training, up to the end token."""
    reply = Message("assistant", (Spoken(text) if speak else Text(text),))
    learned = engine.prompts.training_sample([*read_aloud(text), reply]).input_ids
    prompt = engine.prompts.prompt(read_aloud(text), speak=speak).input_ids
    ends = [at for at, token in enumerate(learned) if token in engine.vocabulary.text_end_ids]
    return tuple(learned[len(prompt) : ends[-1] + 1])


def same(made: ReplyResult, expected: ReplyResult) -> None:
    assert made.failure is None
    assert made.ids == expected.ids
    assert made.text == expected.text
    assert made.messages[-1] == expected.messages[-1]
    assert [(len(group.values), group.final) for group in made.groups] == [
        (len(group.values), group.final) for group in expected.groups
    ]
    close(made.hidden_states, expected.hidden_states)


@settings(max_examples=30)
@given(text=TEXTS, lm=SETTINGS, speak=st.booleans())
def test_a_given_text_is_emitted_word_for_word(text: str, lm: LMSettings, speak: bool) -> None:
    engine, asked = thinker(settings=lm), to_read(text, speak=speak)
    made = alone(engine, asked)
    assert made.text == normalize("NFC", text)  # as normalised by the tokenizer, which is lossless otherwise
    assert made.ids == tokens(engine, text, speak=speak)
    prompt = engine.prompts.prompt(asked.request.messages, speak=speak).input_ids
    assert made.messages[-1] == Finish("stop", len(prompt), len(made.ids))
    assert len(made.hidden_states) == speak * len(made.ids)
    if speak:
        close(made.hidden_states, teacher_forced(engine, asked.request, made.ids))


@settings(max_examples=15)
@given(text=TEXTS, lm=SETTINGS, stop=st.sampled_from([(), ("e",), ("n we", "never to be met")]))
def test_a_given_text_gives_the_same_reply_as_a_record_of_its_tokens(
    text: str, lm: LMSettings, stop: tuple[str, ...]
) -> None:
    engine = thinker(settings=lm)
    given_words = replace(to_read(text).request, text=Sampling(max_tokens=150), stop=stop)
    chosen = ReplyInput(replace(given_words, reply_text=None))
    record = TextRecord(tokens(engine, text), groups=0, characters=0)
    same(alone(engine, ReplyInput(given_words)), resume(thinker(settings=lm), chosen, record))


def test_a_given_text_may_follow_a_conversation_with_audio() -> None:
    engine, audio = thinker(), np.random.default_rng(0).normal(0, 0.1, 9_000).astype(np.float32)
    messages = (Message("user", (Text("Say it after me: "), Audio(audio))),)
    asked = ReplyInput(ReplyRequest(messages=messages, reply_text=TEXT))
    made = alone(engine, asked)
    assert made.text == TEXT
    close(made.hidden_states, teacher_forced(engine, asked.request, made.ids))


def test_a_given_text_is_prefilled_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = thinker(capacity=2, settings=LMSettings(prefill_tokens=8))
    fed: list[int] = []
    forward = engine._lm.forward
    monkeypatch.setattr(
        engine._lm, "forward", lambda chunks: fed.append(sum(len(one.embeddings) for one in chunks)) or forward(chunks)
    )
    asked = to_read()
    other, mine = engine.open(chosen(Random(0)).request), engine.open(asked.request)
    made = ReplyResult()
    while not made.ended:
        engine.step()
        engine.chunks(other)
        before = len(made.ids) if made.messages else 0
        made.collect(engine, mine)
        assert len(made.hidden_states) <= before + 8
    assert max(fed) <= 8 + 1
    assert sum(fed) >= len(engine.prompts.prompt(asked.request.messages, speak=True).input_ids) + len(made.ids)


# Concurrent replies


def chosen(chance: Random) -> ReplyInput:
    words = Message("user", (Text(chance.choice(["I feel", "sad", "today."])),))
    sampling = Sampling(
        max_tokens=chance.randint(1, 15), temperature=chance.choice([0.0, 1.5]), seed=chance.randrange(9)
    )
    return ReplyInput(ReplyRequest(messages=(words,), speak=chance.random() < 0.8, text=sampling))


def either(chance: Random) -> ReplyInput:
    if chance.random() < 0.5:
        return chosen(chance)
    return to_read(chance.choice([TEXT, "Hm.", "Why? " * 9]), speak=chance.random() < 0.8)


@settings(max_examples=8)
@given(lm=SETTINGS, seed=st.integers(0, 2**32))
def test_given_and_generated_replies_do_not_affect_one_another(lm: LMSettings, seed: int) -> None:
    chance = Random(seed)
    asked = [either(chance) for _ in range(6)]
    for one, made in zip(asked, serve(thinker(capacity=3, settings=lm), asked, chance, cancel=0.02), strict=True):
        if not made.cancelled:
            same(made, alone(thinker(settings=lm), one))


@pytest.mark.parametrize("prefill", [5, 256])
def test_given_text_with_logits_that_are_not_finite_fails_alone(prefill: int) -> None:
    engine = thinker(capacity=2, settings=LMSettings(prefill_tokens=prefill))
    noise = np.full(9_000, np.nan, dtype=np.float32)
    poisoned = ReplyInput(ReplyRequest(messages=(Message("user", (Audio(noise),)),), reply_text=TEXT))
    for _ in range(2):  # later users of the same rows too
        failed, made, *_ = serve(engine, [poisoned, to_read(), poisoned])
        assert failed.failure == "token 0 of the reply: the model's logits are not finite"
        assert not failed.messages
        same(made, alone(thinker(), to_read()))


# Records


@settings(max_examples=12)
@given(lm=SETTINGS, steps=st.integers(0, 40), seed=st.integers(0, 99))
def test_another_engine_emits_the_rest_of_a_given_text(lm: LMSettings, steps: int, seed: int) -> None:
    engine, asked, chance = thinker(settings=lm), to_read(), Random(seed)
    whole = alone(thinker(settings=lm), asked)
    stream, before = engine.open(asked.request), ReplyResult()
    for _ in range(steps):
        engine.step()
        before.collect(engine, stream)
    record = engine.record(stream)
    after = resume(thinker(settings=lm), asked, record)
    assert before.text + after.text == whole.text
    assert (len(before.groups), after.ids, after.messages[-1]) == (record.groups, whole.ids, whole.messages[-1])
    groups = [*before.groups, *after.groups]
    assert [group.final for group in groups] == [group.final for group in whole.groups]
    close(np.concatenate([group.values for group in groups]), whole.hidden_states)

    emitted = chance.randint(0, record.characters)
    partial = TextRecord(record.ids[: chance.randint(0, len(record.ids))], groups=0, characters=emitted)
    again = resume(thinker(settings=lm), asked, partial)
    assert again.text == whole.text[emitted:]
    close(again.hidden_states, whole.hidden_states)


def test_a_record_of_another_text_is_refused() -> None:
    engine = thinker()
    ids = tokens(engine, TEXT)
    for foreign in (tokens(engine, "Hm."), (*ids, ids[-1]), ids[1:]):
        with pytest.raises(ValueError, match=rf"record of {len(foreign)} tokens: expected the first ones of the reply"):
            engine.open(to_read().request, replace(NONE, ids=foreign))
    assert resume(engine, to_read(), replace(NONE, ids=ids)).text == TEXT


# Limits


def test_an_empty_reply_text_is_refused() -> None:
    with pytest.raises(ValueError, match="reply text is empty"):
        to_read("")


def test_a_text_longer_than_the_longest_reply_is_refused() -> None:
    engine = thinker()
    count = len(tokens(engine, TEXT))
    request = replace(to_read().request, text=Sampling(max_tokens=count - 1))
    with pytest.raises(
        ValueError, match=f"reply text of {count} tokens: expected at most the {count - 1} of the request"
    ):
        engine.open(request)
    exactly = ReplyInput(replace(request, text=Sampling(max_tokens=count)))
    assert alone(engine, exactly).text == TEXT


def test_only_the_given_text_takes_context() -> None:
    prompts = thinker().prompts
    prompt = len(prompts.prompt(read_aloud(TEXT), speak=True).input_ids)
    count = len(tokens(thinker(), TEXT))
    assert alone(thinker(settings=LMSettings(context=prompt + count)), to_read()).text == TEXT
    small = thinker(settings=LMSettings(context=prompt + count - 1))
    needed = f"takes {prompt} positions and the reply up to {count}: {prompt + count} are needed"
    with pytest.raises(ContextLengthExceeded, match=f"{needed}, {prompt + count - 1} are available"):
        small.open(to_read().request)


# All stages


@pytest.mark.parametrize("text", ["Good night.", TEXT])
def test_a_given_text_is_spoken(tiny_bundle: Path, text: str) -> None:
    request = replace(to_read(text).request, units=Sampling(max_tokens=40))
    messages: list[StageMessage] = list(Pipeline.load(tiny_bundle).reply(request))
    assert reply_text(messages) == text
    audio = [message for message in messages if isinstance(message, AudioChunk)]
    assert [chunk.final for chunk in audio] == [False] * (len(audio) - 1) + [True]
    assert sum(len(chunk.samples) for chunk in audio) > 0


def test_tools_reach_the_prompt() -> None:
    request = ReplyRequest(messages=read_aloud("Hm."), speak=False, tools=("no object",))
    with pytest.raises(ValueError, match=r"tools\[0\]: expected JSON"):
        thinker().open(request)
