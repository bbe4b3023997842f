import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.opens2s import load_thinker
from opens2s_core.checkpoint.vocabulary import Vocabulary, read_vocabulary
from opens2s_core.inference.batch_layout import ScheduledChunk
from opens2s_core.inference.engine import ContextLengthExceeded, EngineFull, StreamFailed
from opens2s_core.inference.lm_settings import LMSettings
from opens2s_core.inference.messages import Finish, HiddenStates, ReplyRequest, Sampling, StageMessage, TextDelta
from opens2s_core.inference.records import TextRecord, UnitsRecord
from opens2s_core.inference.reference import generate_text
from opens2s_core.inference.thinker import ThinkerEngine
from opens2s_core.models.thinker import Thinker, expand_audio_slots
from opens2s_core.prompt import Audio, Content, Message, PromptStyle, Spoken, Text
from tests.opens2s_core.golden_conversations import GOLDEN
from tests.opens2s_core.inference.oracle import close, prompt_embeddings, teacher_forced
from tests.opens2s_core.inference.random_engines import SETTINGS, SIZES, SMALL, Sizes, random_engines
from tests.opens2s_core.inference.served import ReplyInput, ReplyResult, alone, resume, same_shapes, serve


@pytest.fixture(scope="module")
def thinker(tiny_bundle: Path) -> Thinker:
    return load_thinker(tiny_bundle / OPENS2S)


@pytest.fixture(scope="module")
def endless(tiny_bundle: Path) -> Vocabulary:
    """The bundle's vocabulary without end tokens, so that lengths are those asked for."""
    return replace(read_vocabulary(tiny_bundle / OPENS2S), text_end_ids=())


@pytest.fixture
def engine(thinker: Thinker, endless: Vocabulary) -> ThinkerEngine:
    return ThinkerEngine(thinker, endless, capacity=3)


def spoken(seed: int, *, tokens: int = 11, speak: bool = True, temperature: float = 0.0) -> ReplyRequest:
    clip = np.random.default_rng(seed).normal(0, 0.1, 8_000 + 3_000 * seed).astype(np.float32)
    content = (Text("I feel"), Audio(clip), Text("today."))
    sampling = Sampling(max_tokens=tokens, temperature=temperature, top_p=0.9, seed=seed)
    return ReplyRequest(messages=(Message("user", content),), speak=speak, text=sampling)


def run(engine: ThinkerEngine, requests: Sequence[ReplyRequest]) -> list[list[StageMessage]]:
    streams = [engine.open(request) for request in requests]
    messages: list[list[StageMessage]] = [[] for _ in requests]
    while engine.step():
        for stream, own in zip(streams, messages, strict=True):
            own += engine.chunks(stream)
    for stream in streams:
        engine.close(stream)
    return messages


def slow_greedy(engine: ThinkerEngine, request: ReplyRequest) -> tuple[tuple[int, ...], NDArray[np.float32]]:
    """Tokens and the hidden states that predicted them."""
    ends, budget = engine.vocabulary.text_end_ids, request.text.max_tokens
    tokens, hidden_states = generate_text(
        engine.model, prompt_embeddings(engine, request), end_ids=ends, max_tokens=budget
    )
    return tokens, hidden_states.numpy()


def hidden_states_of(messages: Sequence[StageMessage]) -> list[HiddenStates]:
    return [message for message in messages if isinstance(message, HiddenStates)]


def text_of(messages: Sequence[StageMessage]) -> str:
    return "".join(message.text for message in messages if isinstance(message, TextDelta))


def test_it_generates_the_text_of_the_slow_generator(engine: ThinkerEngine) -> None:
    request = spoken(0)
    tokens, hidden_states = slow_greedy(engine, request)
    [messages] = run(engine, [request])
    assert text_of(messages) == engine.vocabulary.tokenizer.decode(list(tokens), skip_special_tokens=True)
    np.testing.assert_allclose(np.concatenate([g.values for g in hidden_states_of(messages)]), hidden_states, atol=1e-5)
    positions = len(engine.prompts.prompt(request.messages, speak=True).input_ids) - 1 + 3  # 0.5 s of audio
    assert messages[-1] == Finish("length", positions, 11)


def test_hidden_states_come_in_groups_of_m_and_the_last_is_marked(engine: ThinkerEngine) -> None:
    [messages] = run(engine, [spoken(0, tokens=11)])
    assert [(len(group.values), group.final) for group in hidden_states_of(messages)] == [
        (4, False),
        (4, False),
        (3, True),
    ]
    [messages] = run(engine, [spoken(0, tokens=8)])
    assert [(len(group.values), group.final) for group in hidden_states_of(messages)] == [(4, False), (4, True)]


def test_an_end_token_stops_the_reply(engine: ThinkerEngine, endless: Vocabulary) -> None:
    tokens, _ = slow_greedy(engine, spoken(0))
    ending = ThinkerEngine(engine.model, replace(endless, text_end_ids=(tokens[5],)), capacity=1)
    [messages] = run(ending, [spoken(0)])
    assert isinstance(messages[-1], Finish)
    assert messages[-1].reason == "stop"
    assert messages[-1].completion_tokens == tokens.index(tokens[5]) + 1


def test_a_written_reply_has_no_hidden_states(engine: ThinkerEngine) -> None:
    [messages] = run(engine, [spoken(1, speak=False)])
    assert not hidden_states_of(messages)
    assert isinstance(messages[-1], Finish)


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_a_reply_does_not_depend_on_its_neighbours(engine: ThinkerEngine, temperature: float) -> None:
    requests = [spoken(seed, tokens=5 + 4 * seed, temperature=temperature) for seed in range(3)]
    together = run(engine, requests)
    for request, messages in zip(requests, together, strict=True):
        assert text_of(run(engine, [request])[0]) == text_of(messages)


def test_the_seed_decides_what_is_sampled(engine: ThinkerEngine) -> None:
    request = spoken(1, tokens=20, temperature=1.5)
    other = ReplyRequest(
        messages=request.messages, text=Sampling(max_tokens=20, temperature=1.5, top_p=0.9, seed=request.text.seed + 1)
    )
    assert text_of(run(engine, [request])[0]) == text_of(run(engine, [request])[0])
    assert text_of(run(engine, [request])[0]) != text_of(run(engine, [other])[0])


def test_a_closed_stream_frees_its_slot_at_once(engine: ThinkerEngine) -> None:
    streams = [engine.open(spoken(0)) for _ in range(engine.capacity)]
    with pytest.raises(EngineFull, match="all 3 slots"):
        engine.open(spoken(0))
    engine.step()
    engine.close(streams[1])
    engine.close(streams[1])
    engine.open(spoken(0))


def test_a_conversation_beyond_the_context_is_refused(engine: ThinkerEngine) -> None:
    limit = engine.model.config.llm.max_position_embeddings
    with pytest.raises(ContextLengthExceeded, match=f"{limit} are available"):
        engine.open(spoken(0, tokens=limit))


def test_it_is_refused_before_any_model_work(engine: ThinkerEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    request = spoken(0, tokens=engine.model.config.llm.max_position_embeddings)
    for computing in (engine.model, engine._embed, engine._lm, engine.audio):
        for name in ("forward", "audio_features", "embed_audio", "get"):
            monkeypatch.setattr(computing, name, None, raising=False)
    for _ in range(engine.capacity + 1):  # and takes no slot
        with pytest.raises(ContextLengthExceeded):
            engine.open(request)
    assert not engine._streams
    assert not engine._lm.cache.used


def test_a_bias_acts_on_tokens_and_is_refused_outside_the_vocabulary(engine: ThinkerEngine) -> None:
    request, size = spoken(0), engine.model.config.llm.vocab_size
    with pytest.raises(ValueError, match=rf"logit_bias for token {size}: expected ids in \[0, {size}\)"):
        engine.open(replace(request, text=Sampling(logit_bias=((size, 1.0),))))
    biased = ReplyInput(replace(request, text=Sampling(max_tokens=5, logit_bias=((size - 1, 100.0),))))
    assert alone(engine, biased).ids == (size - 1,) * 5


# Random models, and conversations of every kind

CLIPS = [np.random.default_rng(i).normal(0, 0.1, n).astype(np.float32) for i, n in enumerate((3_000, 11_000, 24_000))]
WORDS = ("I feel", "sad", "today.", "Why?", "And then we went home, the two of us.")


def random_thinker(
    sizes: Sizes = SMALL,
    *,
    capacity: int = 3,
    settings: LMSettings | None = None,
    dtype: torch.dtype = torch.float32,
    style: PromptStyle = "training",
) -> ThinkerEngine:
    engine, _ = random_engines(GOLDEN.path, sizes, capacity=capacity, settings=settings, dtype=dtype)
    engine.model.config = replace(engine.model.config, prompt_style=style, audio_padding="masked")
    return fresh(engine, capacity=capacity)


def fresh(engine: ThinkerEngine, *, capacity: int = 1) -> ThinkerEngine:
    """A new engine with the same model, whose replies end only by the budget."""
    vocabulary = replace(engine.vocabulary, text_end_ids=())
    return ThinkerEngine(engine.model, vocabulary, capacity=capacity, settings=engine.settings)


def user(chance: Random) -> Message:
    content: list[Content] = [Text(chance.choice(WORDS))]
    if chance.random() < 0.6:
        content.insert(chance.randint(0, 1), Audio(chance.choice(CLIPS)))
    return Message("user", tuple(content))


def ask(chance: Random, *, greedy: bool | None = None) -> ReplyInput:
    """Several share a prefix."""
    past = (user(Random(0)), Message("assistant", (Spoken("I hear you."),))) if chance.random() < 0.5 else ()
    if chance.random() < 0.5 if greedy is None else greedy:
        sampling = Sampling(max_tokens=chance.randint(1, 20))
    else:
        sampling = Sampling(
            max_tokens=chance.randint(1, 20),
            temperature=chance.choice([0.0, 0.7, 2.0]),
            top_p=chance.choice([1.0, 0.8]),
            top_k=chance.choice([None, 40]),
            repetition_penalty=chance.choice([1.0, 1.3]),
            seed=chance.randrange(2**40),
        )
    return ReplyInput(ReplyRequest(messages=(*past, user(chance)), speak=chance.random() < 0.8, text=sampling))


def slow(engine: ThinkerEngine, asked: ReplyInput) -> ReplyResult:
    """The greedy reply of the oracle."""
    ids, hidden_states = slow_greedy(engine, asked.request)
    text = engine.vocabulary.tokenizer.decode(list(ids), skip_special_tokens=True)
    groups = [HiddenStates(hidden_states, final=True)] if asked.request.speak else []
    return ReplyResult([TextDelta(text), *groups], ids)


def same(made: ReplyResult, expected: ReplyResult) -> None:
    assert made.failure is None
    assert made.ids == expected.ids
    assert made.text == expected.text
    close(made.hidden_states, expected.hidden_states)


@settings(max_examples=15)
@given(sizes=SIZES, lm=SETTINGS, capacity=st.integers(1, 4), seed=st.integers(0, 2**32))
def test_concurrent_replies_that_join_at_any_step_equal_the_oracle(
    sizes: Sizes, lm: LMSettings, capacity: int, seed: int
) -> None:
    chance = Random(seed)
    engine = random_thinker(sizes, capacity=capacity, settings=lm)
    asked = [ask(chance, greedy=True) for _ in range(6)]
    for one, made in zip(asked, serve(engine, asked, chance), strict=True):
        same(made, slow(engine, one))
        assert isinstance(made.messages[-1], Finish)
        assert made.messages[-1].completion_tokens == len(made.ids) == one.request.text.max_tokens
        assert [group.final for group in made.groups] == [False] * (len(made.groups) - 1) + [True] * one.request.speak


@settings(max_examples=10)
@given(lm=SETTINGS, seed=st.integers(0, 2**32))
def test_a_reply_depends_on_its_request_and_seed_alone(lm: LMSettings, seed: int) -> None:
    chance = Random(seed)
    engine = random_thinker(capacity=4, settings=lm)
    asked = [ask(chance) for _ in range(8)]
    for one, made in zip(asked, serve(engine, asked, chance, cancel=0.02), strict=True):
        if not made.cancelled:
            same(made, alone(fresh(engine), one))


def watch(engine: ThinkerEngine, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """How many positions each forward of the LM is fed, for each stream."""
    forwards: list[list[int]] = []
    forward = engine._lm.forward

    def watched(chunks: Sequence[ScheduledChunk]) -> list[Tensor]:
        forwards.append([len(chunk.embeddings) for chunk in chunks])
        return forward(chunks)

    monkeypatch.setattr(engine._lm, "forward", watched)
    return forwards


def test_a_step_prefills_part_of_one_prompt_without_delaying_other_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = random_thinker(capacity=4, settings=LMSettings(prefill_tokens=8))
    asked = [ReplyInput(ReplyRequest(messages=(user(Random(i)),), text=Sampling(max_tokens=200))) for i in range(4)]
    forwards = watch(engine, monkeypatch)
    made = [ReplyResult() for _ in asked]
    streams = [engine.open(one.request) for one in asked]
    for _ in range(60):
        engine.step()
        before = [len(one.ids) for one in made]
        for one, stream in zip(made, streams, strict=True):
            one.collect(engine, stream)
        # Every started reply gets a token with every step.
        assert all(len(one.ids) == n + 1 for one, n in zip(made, before, strict=True) if n)
    assert all(one.ids for one in made)
    for fed in forwards:
        assert sum(count > 1 for count in fed) <= 1
        assert max(fed) <= 8
    assert any(8 in fed and len(fed) == 4 for fed in forwards)


@pytest.mark.parametrize("style", ["training", "plain", "chat"])
def test_only_new_positions_of_a_continued_conversation_are_prefilled(
    style: PromptStyle, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = random_thinker(capacity=2, style=style)
    forwards = watch(engine, monkeypatch)
    conversations: list[tuple[Message, ...]] = [(), ()]
    before: list[list[int]] = [[], []]  # what was read for each
    for turn in range(3):
        for i, (clip, words) in enumerate(((CLIPS[0], "I lost my key."), (CLIPS[1], "What now?"))):
            new = Message("user", (Text(f"{words} {turn}"), Audio(np.roll(clip, turn))))
            asked = ReplyInput(ReplyRequest(messages=(*conversations[i], new), text=Sampling(max_tokens=9)))
            prompt = positions(engine, asked.request)
            forwards.clear()
            made = alone(engine, asked)
            known = max(common(read, prompt) for read in before)  # at first the other's instructions
            assert sum(map(sum, forwards)) == len(prompt) - known + 8
            if turn:  # its own past, all but what a style writes anew for a past turn
                assert common(before[i], prompt) == known >= len(before[i]) - 9 - (20 if style == "chat" else 0)
            same(made, slow(engine, asked))
            conversations[i] = (*asked.request.messages, Message("assistant", (Spoken(made.text),)))
            before[i] = [*prompt, *made.ids[:-1]]


def positions(engine: ThinkerEngine, request: ReplyRequest) -> list[int]:
    prompt = engine.prompts.prompt(request.messages, speak=request.speak)
    return expand_audio_slots(prompt.input_ids, [engine.model.config.audio_positions(len(c)) for c in prompt.audios])


def common(known: Sequence[int], wanted: Sequence[int]) -> int:
    return next((i for i, (one, other) in enumerate(zip(known, wanted, strict=False)) if one != other), len(known))


def test_a_clip_is_identified_by_its_samples() -> None:
    engine = random_thinker(capacity=1)
    for clip in (CLIPS[1], CLIPS[1], -CLIPS[1], CLIPS[1][::-1].copy(), CLIPS[1]):
        messages = (Message("user", (Text(WORDS[-1]), Audio(clip))), Message("assistant", (Text("Yes."),)))
        asked = ReplyInput(
            ReplyRequest(messages=(*messages, Message("user", (Text("So?"),))), text=Sampling(max_tokens=6))
        )
        same(alone(engine, asked), slow(engine, asked))


def test_earlier_clips_are_not_encoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = random_thinker(capacity=2)
    encoded: list[int] = []
    features = engine.model.audio_features
    monkeypatch.setattr(engine.model, "audio_features", lambda clips: encoded.append(len(clips)) or features(clips))
    first = Message("user", (Audio(CLIPS[0]), Text("and"), Audio(CLIPS[0]), Audio(CLIPS[1])))
    other = Message("user", (Text("Something before it."), Audio(CLIPS[0])))
    for messages in ((first,), (first, Message("assistant", (Text("Yes."),)), other)):
        alone(engine, ReplyInput(ReplyRequest(messages=messages, text=Sampling(max_tokens=2))))
    assert encoded == [1, 1]  # one at a time, each once


def test_a_step_encodes_one_clip_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = random_thinker(capacity=1)
    encoded: list[int] = []
    features = engine.model.audio_features
    monkeypatch.setattr(engine.model, "audio_features", lambda clips: encoded.append(len(clips)) or features(clips))
    stream = engine.open(ReplyRequest(messages=(Message("user", tuple(map(Audio, CLIPS))),)))
    for step in range(1, 5):
        assert engine.step()
        assert len(encoded) == min(step, 3)
        assert bool(engine.chunks(stream)) == (step >= 3)


# Stop strings


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), data=st.data())
def test_a_stop_string_ends_text_and_hidden_states(seed: int, data: st.DataObject) -> None:
    chance = Random(seed)
    engine = random_thinker(capacity=1)
    asked = ask(chance)
    asked = replace(asked, request=replace(asked.request, text=replace(asked.request.text, max_tokens=20)))
    whole = alone(engine, asked)
    start = data.draw(st.integers(0, len(whole.text) - 1))
    stop = (whole.text[start : start + data.draw(st.integers(1, 5))], "never to be met")
    emitted = whole.text[: whole.text.index(stop[0])]
    made = alone(engine, replace(asked, request=replace(asked.request, stop=stop)))
    assert made.text == emitted
    assert isinstance(made.messages[-1], Finish)
    assert made.messages[-1].reason == "stop"
    assert made.ids == whole.ids[: len(made.ids)]
    if asked.request.speak:
        texts = [engine.vocabulary.tokenizer.decode(list(made.ids[:n]), skip_special_tokens=True) for n in range(21)]
        within = [n for n, text in enumerate(texts[: len(made.ids)]) if emitted.startswith(text)]
        whole_characters = [n for n in within if not texts[n].endswith("\ufffd")]
        assert texts.index(texts[whole_characters[-1]]) <= len(made.hidden_states) - 1 <= within[-1]
        close(made.hidden_states, whole.hidden_states[: len(made.hidden_states)])
        size = engine.model.config.interleave.hidden_states
        assert [len(group.values) for group in made.groups[:-1]] == [size] * (len(made.groups) - 1)
        assert [group.final for group in made.groups] == [False] * (len(made.groups) - 1) + [True]


def test_no_hidden_state_is_emitted_before_its_text() -> None:
    engine = random_thinker(capacity=1)
    whole = alone(engine, ReplyInput(ReplyRequest(messages=(user(Random(0)),), text=Sampling(max_tokens=12))))
    request = ReplyRequest(
        messages=(user(Random(0)),), text=Sampling(max_tokens=12), stop=(whole.text + "and more than was ever said",)
    )
    stream, made = engine.open(request), ReplyResult()
    while engine.step():
        made.collect(engine, stream)
        assert len(made.ids) == 12 or not made.messages  # all of it may yet be a stop string
    assert made.text == whole.text
    close(made.hidden_states, whole.hidden_states)


# Records


@settings(max_examples=25)
@given(sizes=SIZES, lm=SETTINGS, seed=st.integers(0, 2**32), steps=st.integers(0, 60), stops=st.booleans())
def test_another_engine_resumes_a_reply_without_a_difference(
    sizes: Sizes, lm: LMSettings, seed: int, steps: int, stops: bool
) -> None:
    chance = Random(seed)
    engine = random_thinker(sizes, capacity=2, settings=lm)
    asked = ask(chance)
    if stops and (text := alone(engine, asked).text):
        start = chance.randrange(len(text))
        asked = replace(asked, request=replace(asked.request, stop=(text[start : start + 3],)))
    whole = alone(fresh(engine), asked)
    engine.open(ask(chance).request)
    stream, before = engine.open(asked.request), ReplyResult()
    for _ in range(steps if lm.prefill_tokens < 64 else steps // 4):
        engine.step()
        before.collect(engine, stream)
    record = engine.record(stream)
    engine.close(stream)
    assert len(pickle.dumps(record)) < 300

    after = resume(fresh(engine), asked, record)
    assert after.ids == whole.ids
    assert before.text + after.text == whole.text
    assert after.messages[-1] == whole.messages[-1]
    if asked.request.speak and before.groups and after.groups:
        close(np.concatenate([before.hidden_states, after.hidden_states]), whole.hidden_states)
    else:
        close(before.hidden_states if before.groups else after.hidden_states, whole.hidden_states)

    emitted = chance.randint(0, record.characters)
    again = resume(fresh(engine), asked, replace(record, groups=0, characters=emitted))
    assert whole.text[emitted:] == again.text
    close(again.hidden_states, whole.hidden_states)
    assert [group.final for group in again.groups] == [group.final for group in whole.groups]
    assert [len(group.values) for group in again.groups] == [len(group.values) for group in whole.groups]


@pytest.mark.parametrize("prefill", [3, 256])
@pytest.mark.parametrize("temperature", [0.0, 2.0])
def test_recorded_tokens_are_replayed_and_not_sampled_again(prefill: int, temperature: float) -> None:
    engine = random_thinker(capacity=1, settings=LMSettings(prefill_tokens=prefill))
    sampling = Sampling(max_tokens=30, temperature=temperature, repetition_penalty=1.2)
    asked = ReplyInput(ReplyRequest(messages=(user(Random(1)),), text=sampling))
    recorded = alone(engine, replace(asked, request=replace(asked.request, text=replace(sampling, seed=5)))).ids[:13]
    others = tuple((token + 1) % 300 for token in recorded)
    made = resume(fresh(engine), asked, TextRecord(others, groups=0, characters=0))
    assert made.ids[:13] == others
    assert made.ids == resume(engine, asked, TextRecord(made.ids[:20], groups=2, characters=3)).ids
    close(made.hidden_states, teacher_forced(engine, asked.request, made.ids))


def test_a_record_of_another_model_or_request_is_refused() -> None:
    engine = random_thinker()
    request = ReplyRequest(messages=(user(Random(0)),), text=Sampling(max_tokens=3))
    size = engine.model.config.llm.vocab_size
    with pytest.raises(TypeError, match="resumes from a TextRecord, got UnitsRecord"):
        engine.open(request, UnitsRecord((), units=0))
    with pytest.raises(ValueError, match=rf"token {size}: expected tokens in \[0, {size}\)"):
        engine.open(request, TextRecord((1, size), groups=0, characters=0))
    with pytest.raises(ValueError, match="token -1"):
        engine.open(request, TextRecord((-1,), groups=0, characters=0))
    with pytest.raises(ValueError, match="record of 4 tokens: expected at most the 3"):
        engine.open(request, TextRecord((1, 2, 3, 4), groups=0, characters=0))
    assert [engine.open(request) for _ in range(3)] == [0, 1, 2]  # none of them took a slot


# Slots


def test_a_complete_reply_holds_no_slot_before_it_is_closed() -> None:
    engine = random_thinker(capacity=2)
    request = ReplyRequest(messages=(user(Random(0)),), text=Sampling(max_tokens=2))
    made = [engine.open(request) for _ in range(2)]
    while engine.step():
        pass
    streams = [engine.open(request) for _ in range(2)]
    with pytest.raises(EngineFull):
        engine.open(request)
    for stream in made:
        assert engine.chunks(stream)
        engine.close(stream)
    with pytest.raises(EngineFull):
        engine.open(request)
    engine.close(streams[0])
    engine.open(request)


@pytest.mark.parametrize("steps", range(6))
def test_a_stream_may_be_closed_at_any_moment(steps: int) -> None:
    engine = random_thinker(capacity=2, settings=LMSettings(prefill_tokens=20))
    asked = ReplyInput(ReplyRequest(messages=(user(Random(2)),), text=Sampling(max_tokens=7)))
    expected = slow(engine, asked)
    left, stays, made = engine.open(asked.request), engine.open(asked.request), ReplyResult()
    for step in range(60):
        if step == steps:
            engine.close(left)
            assert engine.open(asked.request) not in (left, stays)
        engine.step()
        made.collect(engine, stays)
    same(made, expected)


def poisoned(words: str = WORDS[-1]) -> ReplyRequest:
    clip = CLIPS[1].copy()
    clip[4_000] = np.nan
    content = (Text(words), Audio(clip), Text("What do you say?"))
    return ReplyRequest(messages=(Message("user", content),), text=Sampling(max_tokens=6))


@pytest.mark.parametrize("prefill", [5, 256])
@pytest.mark.parametrize("fixed_width", [False, True])
def test_a_failed_stream_does_not_affect_others(prefill: int, fixed_width: bool) -> None:
    engine = random_thinker(settings=LMSettings(prefill_tokens=prefill, fixed_width=fixed_width, context=400))
    asked = [ReplyInput(ReplyRequest(messages=(user(Random(i)),), text=Sampling(max_tokens=12))) for i in range(6)]
    asked.insert(1, ReplyInput(poisoned()))
    for _ in range(2):  # later users of the same rows too
        results = serve(engine, asked)
        failed = results.pop(1)
        assert failed.failure == "token 0 of the reply: the model's logits are not finite"
        assert not failed.messages
        for one, made in zip([*asked[:1], *asked[2:]], results, strict=True):
            same(made, slow(engine, one))


def test_a_failure_is_reported_until_the_stream_is_closed() -> None:
    engine = random_thinker(capacity=1)
    stream = engine.open(poisoned())
    while engine.step():
        pass
    for _ in range(2):
        with pytest.raises(StreamFailed, match="not finite"):
            engine.chunks(stream)
    assert engine.open(poisoned()) != stream  # and holds no slot
    engine.close(stream)


@pytest.mark.parametrize("recorded", [(), (1, 2, 3, 4, 5, 6, 7, 8, 9)])
@pytest.mark.parametrize("steps", [8, 40, 80])
def test_values_that_are_not_finite_do_not_remain_in_a_slot(recorded: tuple[int, ...], steps: int) -> None:
    engine = random_thinker(capacity=1, settings=LMSettings(prefill_tokens=1))
    asked = ReplyInput(poisoned("Hm."))
    asked = replace(asked, request=replace(asked.request, text=Sampling(max_tokens=10)))
    length = len(positions(engine, asked.request))
    stream = engine.open(asked.request, TextRecord(recorded, groups=0, characters=0))
    for _ in range(min(steps, length + len(recorded) - 2)):
        engine.step()
    engine.close(stream)
    [question] = asked.request.messages
    healthy = (Message("user", (*question.content[:1], Audio(CLIPS[1]), *question.content[2:])),)
    one = ReplyInput(replace(asked.request, messages=healthy))
    same(alone(engine, one), slow(engine, one))


# Fixed widths


@pytest.mark.parametrize("seed", range(3))
def test_with_fixed_widths_a_reply_is_bit_for_bit_independent_of_other_streams(seed: int) -> None:
    chance = Random(seed)
    engine = random_thinker(
        capacity=4, settings=LMSettings(fixed_width=True, context=256, prefill_tokens=30), dtype=torch.bfloat16
    )
    asked = [ask(chance) for _ in range(8)]
    expected = [alone(engine, one) for one in asked]
    for company in range(3):
        made = serve(engine, asked, Random(company), cancel=0.02)
        assert sum(not one.cancelled for one in made) > 3
        for one, other in zip(made, expected, strict=True):
            if not one.cancelled:
                assert one.ids == other.ids
                np.testing.assert_array_equal(one.hidden_states, other.hidden_states)


@pytest.mark.parametrize("fixed_width", [True, False])
def test_with_fixed_widths_shapes_do_not_depend_on_other_streams(fixed_width: bool) -> None:
    engine = random_thinker(capacity=4, settings=LMSettings(fixed_width=fixed_width, context=256, prefill_tokens=30))
    asked = [ask(Random(seed)) for seed in range(6)]
    assert same_shapes(engine, asked, Random(0)) == fixed_width
