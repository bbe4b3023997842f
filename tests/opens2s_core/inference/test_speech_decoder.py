import math
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.opens2s import load_speech_decoder
from opens2s_core.checkpoint.vocabulary import read_vocabulary
from opens2s_core.inference.engine import EngineFull, StreamFailed
from opens2s_core.inference.lm_settings import LMSettings
from opens2s_core.inference.messages import Finish, HiddenStates, ReplyRequest, Sampling, TextDelta, Units
from opens2s_core.inference.records import TextRecord, UnitsRecord
from opens2s_core.inference.reference import generate_units as oracle_units
from opens2s_core.inference.speech_decoder import SpeechDecoderEngine
from opens2s_core.inference.speech_length import SpeechLimits
from opens2s_core.models.speech_decoder import UnitVocabulary
from opens2s_core.prompt import SPEAKER_DIM
from tests.opens2s_core.golden_conversations import GOLDEN
from tests.opens2s_core.inference.oracle import choices
from tests.opens2s_core.inference.random_engines import SETTINGS, SIZES, SMALL, Sizes, random_engines
from tests.opens2s_core.inference.served import ReplyInput, ReplyResult, alone, resume, same_shapes, serve

M, N = 4, 8


@pytest.fixture
def engine(tiny_bundle: Path) -> SpeechDecoderEngine:
    path = tiny_bundle / OPENS2S
    return SpeechDecoderEngine(load_speech_decoder(path), read_vocabulary(path).units, capacity=3)


def request(max_units: int = 30, seed: int = 0) -> ReplyRequest:
    return ReplyRequest(messages=(), units=Sampling(max_tokens=max_units, temperature=0.8, seed=seed))


def groups(count: int, seed: int = 0) -> list[HiddenStates]:
    values = np.random.default_rng(seed).normal(0, 1, (count, 32)).astype(np.float32)
    return [HiddenStates(values[i : i + M], final=i + M >= count) for i in range(0, count, M)]


def speak(
    engine: SpeechDecoderEngine, own: ReplyRequest, inputs: Sequence[HiddenStates], *, early: bool
) -> list[Units]:
    """Units of one reply; ``early`` steps after each group, else all groups are pushed before the first step."""
    stream = engine.open(own)
    messages: list[Units] = []
    for group in inputs:
        engine.push(stream, group)
        while early and engine.step():
            pass
    while engine.step():
        pass
    messages += [message for message in engine.chunks(stream) if isinstance(message, Units)]
    engine.close(stream)
    return messages


def ids(messages: Sequence[Units]) -> list[int]:
    return [int(unit) for message in messages for unit in message.ids]


def slow_greedy(engine: SpeechDecoderEngine, inputs: Sequence[HiddenStates], budget: int) -> list[int]:
    """Codebook ids of the published loop over units and end ids only."""
    vocabulary = engine.vocabulary
    hidden_states = torch.from_numpy(np.concatenate([group.values for group in inputs]))
    allowed, ends = choices(vocabulary), vocabulary.end_ids
    spoken, _ = oracle_units(engine.model, hidden_states, end_ids=ends, max_units=budget, choices=allowed)
    return [token - vocabulary.offset for token in spoken if token not in ends]


def test_it_generates_the_units_of_the_slow_generator(engine: SpeechDecoderEngine) -> None:
    greedy = ReplyRequest(messages=(), units=Sampling(max_tokens=40))
    assert ids(speak(engine, greedy, groups(10), early=True)) == slow_greedy(engine, groups(10), 40)


def test_an_end_unit_ends_only_its_round_and_is_never_emitted(tiny_bundle: Path) -> None:
    path = tiny_bundle / OPENS2S
    model, units = load_speech_decoder(path), read_vocabulary(path).units
    plain = SpeechDecoderEngine(model, units, capacity=1)
    greedy = ReplyRequest(messages=(), units=Sampling(max_tokens=40))
    first = ids(speak(plain, greedy, groups(10), early=True))
    ending = UnitVocabulary(units.offset, units.size, (units.offset + first[2],))
    engine = SpeechDecoderEngine(model, ending, capacity=1)
    spoken = speak(engine, greedy, groups(10), early=True)
    assert ids(spoken) == slow_greedy(engine, groups(10), 40)
    assert first[2] not in ids(spoken)
    assert len(spoken[0].ids) < N
    assert spoken[-1].final


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 13])
def test_units_do_not_depend_on_when_hidden_states_arrive(engine: SpeechDecoderEngine, count: int) -> None:
    assert ids(speak(engine, request(), groups(count), early=True)) == ids(
        speak(engine, request(), groups(count), early=False)
    )


def test_units_come_in_groups_of_n_and_the_last_is_marked(engine: SpeechDecoderEngine) -> None:
    greedy = ReplyRequest(messages=(), units=Sampling(max_tokens=30))
    messages = speak(engine, greedy, groups(9), early=True)
    assert [len(message.ids) for message in messages[:2]] == [N, N]
    assert [message.final for message in messages] == [False] * (len(messages) - 1) + [True]


def test_the_budget_ends_a_reply(engine: SpeechDecoderEngine) -> None:
    for budget in (1, 8, 11, 16):
        messages = speak(engine, request(max_units=budget), groups(13), early=True)
        assert len(ids(messages)) <= budget
        assert messages[-1].final


def test_a_stream_without_input_waits_alone(engine: SpeechDecoderEngine) -> None:
    waiting, speaking = engine.open(request()), engine.open(request())
    engine.push(speaking, groups(4)[0])
    while engine.step():
        pass
    assert not engine.chunks(waiting)
    assert engine.chunks(speaking)


def test_a_reply_does_not_depend_on_its_neighbours(engine: SpeechDecoderEngine) -> None:
    streams = [engine.open(request(seed=seed)) for seed in range(3)]
    for seed, stream in enumerate(streams):
        for group in groups(4 + 3 * seed, seed):
            engine.push(stream, group)
    while engine.step():
        pass
    together = [ids([m for m in engine.chunks(stream) if isinstance(m, Units)]) for stream in streams]
    for stream in streams:
        engine.close(stream)
    alone = [ids(speak(engine, request(seed=seed), groups(4 + 3 * seed, seed), early=True)) for seed in range(3)]
    assert together == alone


# Random models, and replies of any length


def random_decoder(
    sizes: Sizes = SMALL,
    *,
    capacity: int = 3,
    settings: LMSettings | None = None,
    dtype: torch.dtype = torch.float32,
    ends: int = 3,
) -> SpeechDecoderEngine:
    """With units among those that end a round: a random model meets them now and then."""
    _, engine = random_engines(GOLDEN.path, sizes, capacity=capacity, settings=settings, dtype=dtype)
    units = range(engine.vocabulary.offset, engine.vocabulary.offset + engine.vocabulary.size)
    vocabulary = replace(engine.vocabulary, end_ids=(*engine.vocabulary.end_ids, *units[:ends]))
    return SpeechDecoderEngine(engine.model, vocabulary, capacity=capacity, settings=settings)


def fresh(engine: SpeechDecoderEngine) -> SpeechDecoderEngine:
    return SpeechDecoderEngine(engine.model, engine.vocabulary, capacity=1, settings=engine.settings)


def ask(engine: SpeechDecoderEngine, chance: Random, *, greedy: bool | None = None) -> ReplyInput:
    noise = np.random.default_rng(chance.randrange(2**40))
    m, width = engine.model.config.interleave.hidden_states, engine.model.config.llm.hidden_size
    values = noise.normal(0, 1, (chance.randint(1, 5 * m), width)).astype(np.float32)
    if chance.random() < 0.5 if greedy is None else greedy:
        sampling = Sampling(max_tokens=chance.randint(1, 50))
    else:
        sampling = Sampling(
            max_tokens=chance.randint(1, 50),
            temperature=chance.choice([0.0, 0.7, 2.0]),
            top_p=chance.choice([1.0, 0.8]),
            top_k=chance.choice([None, 20]),
            repetition_penalty=chance.choice([1.0, 1.3]),
            seed=chance.randrange(2**40),
        )
    voice = noise.normal(0, 1, SPEAKER_DIM).astype(np.float32) if chance.random() < 0.5 else None
    parts = [HiddenStates(values[i : i + m], final=i + m >= len(values)) for i in range(0, len(values), m)]
    return ReplyInput(ReplyRequest(messages=(), units=sampling, speaker=voice), tuple(parts))


def oracle(engine: SpeechDecoderEngine, asked: ReplyInput) -> tuple[int, ...]:
    """Ids, the end units of all rounds included."""
    voice = asked.request.speaker
    spoken, _ = oracle_units(
        engine.model,
        torch.from_numpy(np.concatenate([group.values for group in asked.groups])),
        end_ids=engine.vocabulary.end_ids,
        max_units=asked.request.units.max_tokens,
        speaker=None if voice is None else torch.from_numpy(voice),
        choices=choices(engine.vocabulary),
    )
    return spoken


def units_of(engine: SpeechDecoderEngine, spoken: Sequence[int]) -> list[int]:
    return [token - engine.vocabulary.offset for token in spoken if token not in engine.vocabulary.end_ids]


@settings(max_examples=20)
@given(sizes=SIZES, lm=SETTINGS, capacity=st.integers(1, 4), seed=st.integers(0, 2**32))
def test_concurrent_replies_with_any_arrival_of_input_equal_the_oracle(
    sizes: Sizes, lm: LMSettings, capacity: int, seed: int
) -> None:
    chance = Random(seed)
    engine = random_decoder(sizes, capacity=capacity, settings=lm)
    asked = [ask(engine, chance, greedy=True) for _ in range(6)]
    for one, made in zip(asked, serve(engine, asked, chance), strict=True):
        spoken = oracle(engine, one)
        assert made.ids == spoken
        assert made.units == units_of(engine, spoken)
        finals = [isinstance(message, Units) and message.final for message in made.messages]
        assert finals == [False] * (len(finals) - 1) + [True]


@settings(max_examples=20)
@given(lm=SETTINGS, seed=st.integers(0, 2**32))
def test_units_depend_on_request_and_seed_alone(lm: LMSettings, seed: int) -> None:
    chance = Random(seed)
    engine = random_decoder(capacity=4, settings=lm)
    asked = [ask(engine, chance) for _ in range(8)]
    for one, made in zip(asked, serve(engine, asked, chance, cancel=0.02), strict=True):
        if not made.cancelled:
            assert made.ids == alone(fresh(engine), one).ids
            assert made.units == units_of(engine, made.ids)


def test_a_context_that_is_full_ends_a_reply() -> None:
    engine = random_decoder(settings=LMSettings(context=20), ends=0)
    values = np.random.default_rng(0).normal(0, 1, (9, engine.model.config.llm.hidden_size)).astype(np.float32)
    groups = tuple(HiddenStates(values[i : i + 4], final=i == 8) for i in (0, 4, 8))
    asked = ReplyInput(ReplyRequest(messages=(), units=Sampling(max_tokens=50)), groups)
    made = alone(engine, asked)
    assert len(made.ids) == 20 - 1 - 8  # the last group is not even read
    assert made.ids == oracle(engine, asked)[: len(made.ids)]
    assert made.ended


# Records


@settings(max_examples=40)
@given(sizes=SIZES, lm=SETTINGS, seed=st.integers(0, 2**32), steps=st.integers(0, 60), pushed=st.integers(0, 5))
def test_another_engine_resumes_a_reply_without_a_difference(
    sizes: Sizes, lm: LMSettings, seed: int, steps: int, pushed: int
) -> None:
    chance = Random(seed)
    engine = random_decoder(sizes, capacity=2, settings=lm)
    asked = ask(engine, chance)
    whole = alone(fresh(engine), asked)
    stream, before = engine.open(asked.request), ReplyResult()
    for group in asked.groups[:pushed]:
        engine.push(stream, group)
    for _ in range(steps):
        engine.step()
        before.collect(engine, stream)
    record = engine.record(stream)
    engine.close(stream)
    assert len(pickle.dumps(record)) < 400
    assert record.units == len(before.units)

    after = resume(fresh(engine), asked, record)
    assert after.ids == whole.ids
    assert before.units + after.units == whole.units

    emitted = chance.randint(0, record.units)
    again = resume(fresh(engine), asked, replace(record, units=emitted))
    assert again.ids == whole.ids
    assert again.units == whole.units[emitted:]


@pytest.mark.parametrize("prefill", [3, 256])
@pytest.mark.parametrize("temperature", [0.0, 2.0])
def test_emitted_units_are_taken_from_the_record_and_not_sampled_again(prefill: int, temperature: float) -> None:
    engine = random_decoder(settings=LMSettings(prefill_tokens=prefill), ends=0)
    sampling = Sampling(max_tokens=40, temperature=temperature, repetition_penalty=1.2)
    values = np.random.default_rng(0).normal(0, 1, (12, engine.model.config.llm.hidden_size)).astype(np.float32)
    groups = tuple(HiddenStates(values[i : i + 4], final=i == 8) for i in (0, 4, 8))
    asked = ReplyInput(ReplyRequest(messages=(), units=sampling), groups)
    other = ReplyInput(ReplyRequest(messages=(), units=replace(sampling, temperature=5.0, seed=5)), groups)
    recorded = alone(engine, other).ids[:13]
    made = resume(engine, asked, UnitsRecord(recorded, units=0))
    assert made.ids[:13] == recorded
    assert made.ids != alone(engine, asked).ids
    assert made.ids == resume(fresh(engine), asked, UnitsRecord(made.ids[:22], units=7)).ids


def test_a_record_of_another_model_or_request_is_refused() -> None:
    engine = random_decoder(capacity=2)
    small, unit = ReplyRequest(messages=(), units=Sampling(max_tokens=2)), engine.vocabulary.offset
    with pytest.raises(TypeError, match="resumes from a UnitsRecord, got TextRecord"):
        engine.open(small, TextRecord((), groups=0, characters=0))
    with pytest.raises(ValueError, match="token 1: expected units and end units"):
        engine.open(small, UnitsRecord((unit, 1), units=0))
    with pytest.raises(ValueError, match="record of 3 units: expected at most the 2"):
        engine.open(small, UnitsRecord((unit,) * 3, units=0))
    assert [engine.open(small) for _ in range(2)] == [0, 1]  # none of them took a slot


# Slots and failures


def test_invalid_input_is_refused() -> None:
    engine = random_decoder()
    stream, width = engine.open(request()), engine.model.config.llm.hidden_size
    for message in (TextDelta("a"), Finish("stop", 1, 1), Units(np.zeros(1, np.int64), final=False)):
        with pytest.raises(TypeError, match=f"takes HiddenStates, got {type(message).__name__}"):
            engine.push(stream, message)
    with pytest.raises(ValueError, match=rf"shape \(4, {width + 1}\): expected float32 of \(m, {width}\)"):
        engine.push(stream, HiddenStates(np.zeros((4, width + 1), np.float32), final=False))


def test_a_complete_reply_holds_no_slot_before_it_is_closed() -> None:
    engine = random_decoder(capacity=2)
    asked = ask(engine, Random(0))
    for stream in [engine.open(asked.request) for _ in range(2)]:
        for group in asked.groups:
            engine.push(stream, group)
    with pytest.raises(EngineFull):
        engine.open(asked.request)
    while engine.step():
        pass
    assert [engine.open(asked.request) for _ in range(2)] == [2, 3]
    with pytest.raises(EngineFull, match="all 2 slots"):
        engine.open(asked.request)
    engine.close(0)
    with pytest.raises(EngineFull):
        engine.open(asked.request)
    engine.close(2)
    engine.open(asked.request)


def test_a_bias_names_tokens_of_the_vocabulary() -> None:
    engine = random_decoder(ends=0)
    size, offset = engine.model.tts_lm_model.config.vocab_size, engine.vocabulary.offset
    with pytest.raises(ValueError, match=rf"logit_bias for token {size}: expected ids in \[0, {size}\)"):
        engine.open(ReplyRequest(messages=(), units=Sampling(logit_bias=((size, 1.0),))))
    assert 0 not in range(offset, offset + engine.vocabulary.size)  # a token of text: never chosen
    biased = Sampling(max_tokens=6, logit_bias=((0, 100.0), (offset + 5, 90.0)))
    made = alone(engine, replace(ask(engine, Random(0)), request=ReplyRequest(messages=(), units=biased)))
    assert made.units[:6] == [5] * len(made.units)


def poison(asked: ReplyInput, group: int) -> ReplyInput:
    values = asked.groups[group].values.copy()
    values[-1] = np.finfo(np.float32).max  # finite, but its projection overflows
    groups = list(asked.groups)
    groups[group] = HiddenStates(values, groups[group].final)
    return replace(asked, groups=tuple(groups))


@pytest.mark.parametrize("prefill", [2, 256])
@pytest.mark.parametrize("fixed_width", [False, True])
def test_a_failed_stream_does_not_affect_others(prefill: int, fixed_width: bool) -> None:
    engine = random_decoder(settings=LMSettings(prefill_tokens=prefill, fixed_width=fixed_width, context=200), ends=0)
    asked = [ask(engine, Random(seed), greedy=True) for seed in range(7)]
    asked = [replace(one, request=replace(one.request, units=Sampling(max_tokens=60))) for one in asked]
    asked[1] = poison(asked[1], -1)
    spoken = (len(asked[1].groups) - 1) * engine.model.config.interleave.units
    for _ in range(2):  # later users of the same rows too
        for i, (one, made) in enumerate(zip(asked, serve(engine, asked), strict=True)):
            if i == 1:
                assert made.failure == f"unit {spoken} of the reply: the model's logits are not finite"
            else:
                assert made.ids == oracle(engine, one)
    failed = engine.open(asked[1].request)
    for group in asked[1].groups:
        engine.push(failed, group)
    while engine.step():
        pass
    with pytest.raises(StreamFailed):
        engine.chunks(failed)


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
@pytest.mark.parametrize("resumed", [False, True])
def test_values_that_are_not_finite_do_not_remain_in_a_slot(steps: int, resumed: bool) -> None:
    engine = random_decoder(capacity=1, settings=LMSettings(prefill_tokens=1), ends=0)
    asked = poison(ask(engine, Random(3), greedy=True), 0)
    record = UnitsRecord((engine.vocabulary.offset,) * asked.request.units.max_tokens, units=0)
    stream = engine.open(asked.request, replace(record, ids=record.ids[:-1]) if resumed else None)
    assert len(asked.groups[0].values) == 4
    for group in asked.groups:
        engine.push(stream, group)
    for _ in range(steps if not resumed else 5 * steps):
        engine.step()
    engine.close(stream)
    healthy = ask(engine, Random(4), greedy=True)
    assert alone(engine, healthy).ids == oracle(engine, healthy)


# Fixed widths


@pytest.mark.parametrize("seed", range(3))
def test_with_fixed_widths_units_do_not_depend_on_other_streams_in_bfloat16(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = LMSettings(fixed_width=True, context=128, prefill_tokens=6)
    engine = random_decoder(capacity=4, settings=lm, dtype=torch.bfloat16)
    asked = [ask(engine, Random(10 * seed + i)) for i in range(8)]
    logits: list[Tensor] = []
    choose = engine._lm.logits
    monkeypatch.setattr(engine._lm, "logits", lambda *inputs: logits.append(choose(*inputs)) or logits[-1])

    def rows() -> set[bytes]:
        """All logits met since the last call."""
        met = {row.float().numpy().tobytes() for part in logits for row in part}
        logits.clear()
        return met

    expected = [alone(engine, one) for one in asked]
    met_alone = rows()
    for company in range(3):
        made = serve(engine, asked, Random(company))
        assert [one.ids for one in made] == [one.ids for one in expected]
        assert rows() == met_alone


@pytest.mark.parametrize("fixed_width", [True, False])
def test_with_fixed_widths_shapes_do_not_depend_on_other_streams(fixed_width: bool) -> None:
    engine = random_decoder(capacity=4, settings=LMSettings(fixed_width=fixed_width, context=128, prefill_tokens=6))
    asked = [ask(engine, Random(seed)) for seed in range(6)]
    assert same_shapes(engine, asked) == fixed_width


# Why speech ends


def finishes(made: ReplyResult) -> list[str | None]:
    return [message.finish for message in made.messages if isinstance(message, Units)]


def limited(engine: SpeechDecoderEngine, limits: SpeechLimits | None) -> SpeechDecoderEngine:
    """The same model with limits, and no unit that ends speech."""
    vocabulary = replace(engine.vocabulary, end_ids=())
    return SpeechDecoderEngine(engine.model, vocabulary, capacity=1, settings=engine.settings, limits=limits)


def reply_of(engine: SpeechDecoderEngine, hidden_states: int, **sampling: Any) -> ReplyInput:
    values = (
        np.random.default_rng(0).normal(0, 1, (hidden_states, engine.model.config.llm.hidden_size)).astype(np.float32)
    )
    parts = tuple(HiddenStates(values[i : i + M], final=i + M >= hidden_states) for i in range(0, hidden_states, M))
    return ReplyInput(ReplyRequest(messages=(), units=Sampling(**sampling)), parts)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32), limits=st.none() | st.builds(SpeechLimits, units_per_token=st.floats(0.2, 9)))
def test_the_final_units_have_the_finish_reason(seed: int, limits: SpeechLimits | None) -> None:
    engine = random_decoder(capacity=1)
    engine.limits = limits
    asked = ask(engine, Random(seed))
    made = alone(engine, asked)
    *before, finish = finishes(made)
    hidden_states = sum(len(group.values) for group in asked.groups)
    ends = made.ids[-1:] and made.ids[-1] in engine.vocabulary.end_ids
    full = len(made.ids) == asked.request.units.max_tokens
    too_long = limits is not None and len(made.ids) >= limits.longest(hidden_states)
    assert set(before) <= {None}
    assert finish == ("length" if full or too_long else "stop") or (finish == "stop" and ends) or finish == "loop"


@pytest.mark.parametrize("hidden_states", [1, 3, 4, 9, 40])
def test_speech_ends_at_three_times_the_expected_length(hidden_states: int) -> None:
    engine = limited(random_decoder(), SpeechLimits(units_per_token=2.5))
    asked = reply_of(engine, hidden_states, temperature=1.0, max_tokens=2048)
    made = alone(engine, asked)
    assert len(made.units) == math.floor(7.5 * hidden_states)
    assert finishes(made)[-1] == "length"


def test_without_limits_speech_continues_as_in_the_published_loop() -> None:
    engine = limited(random_decoder(settings=LMSettings(context=600)), None)
    assert len(alone(engine, reply_of(engine, 3, max_tokens=400)).units) == 400


def test_speech_that_is_longer_than_its_limit_before_the_text_is_read_ends_with_it() -> None:
    engine = limited(random_decoder(), SpeechLimits(units_per_token=0.1))
    made = alone(engine, reply_of(engine, 9, temperature=1.0, max_tokens=2048))
    assert len(made.units) == 2 * N
    assert finishes(made) == [None, None, "length"]


def test_speech_that_repeats_itself_ends() -> None:
    engine = limited(random_decoder(), SpeechLimits(units_per_token=100))
    with torch.no_grad():
        engine._embeddings.zero_()  # its output no longer depends on its earlier output
        for layer in engine.model.tts_lm_model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
    made = alone(engine, reply_of(engine, 5, max_tokens=2048))
    assert finishes(made)[-1] == "loop"
    assert len(set(made.units[-33:])) == 1
    assert len(made.units) == N + 1 + 33  # the first unit of a round still depends on the group it follows


def test_speech_beyond_the_context_ends_by_length() -> None:
    engine = random_decoder(settings=LMSettings(context=20), ends=0)
    for hidden_states in (9, 12, 40):
        assert finishes(alone(engine, reply_of(engine, hidden_states, max_tokens=50)))[-1] == "length"


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32), steps=st.integers(0, 60), rate=st.sampled_from([0.5, 3.5, 50.0]))
def test_a_resumed_reply_ends_where_and_why_the_whole_one_does(seed: int, steps: int, rate: float) -> None:
    chance = Random(seed)
    engine = random_decoder(capacity=1, ends=chance.choice([0, 3]))
    engine.limits = SpeechLimits(units_per_token=rate, repeated_units=3)
    asked = ask(engine, chance)
    whole = alone(engine, asked)
    stream, before = engine.open(asked.request), ReplyResult()
    for group in asked.groups:
        engine.push(stream, group)
    for _ in range(steps):
        engine.step()
        before.collect(engine, stream)
    record = engine.record(stream)
    engine.close(stream)
    again = SpeechDecoderEngine(engine.model, engine.vocabulary, capacity=1, limits=engine.limits)
    after = resume(again, asked, record)
    assert before.units + after.units == whole.units
    assert finishes(after)[-1] == finishes(whole)[-1]
