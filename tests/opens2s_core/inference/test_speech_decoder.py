from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from opens2s_core.checkpoint import OPENS2S, load_speech_decoder, read_vocabulary
from opens2s_core.inference.messages import Hiddens, ReplyRequest, Sampling, Units
from opens2s_core.inference.reference import speak as oracle_units
from opens2s_core.inference.speech_decoder import SpeechDecoderEngine
from opens2s_core.models.speech_decoder import UnitVocabulary
from tests.opens2s_core.inference.oracle import choices

M, N = 4, 8


@pytest.fixture
def engine(tiny_bundle: Path) -> SpeechDecoderEngine:
    path = tiny_bundle / OPENS2S
    return SpeechDecoderEngine(load_speech_decoder(path), read_vocabulary(path).units, capacity=3)


def request(max_units: int = 30, seed: int = 0) -> ReplyRequest:
    return ReplyRequest(messages=(), units=Sampling(max_tokens=max_units, temperature=0.8, seed=seed))


def groups(count: int, seed: int = 0) -> list[Hiddens]:
    values = np.random.default_rng(seed).normal(0, 1, (count, 32)).astype(np.float32)
    return [Hiddens(values[i : i + M], final=i + M >= count) for i in range(0, count, M)]


def speak(engine: SpeechDecoderEngine, own: ReplyRequest, inputs: Sequence[Hiddens], *, early: bool) -> list[Units]:
    """Units of one reply; ``early`` speaks after each group, else all groups wait before the first step."""
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


def slow_greedy(engine: SpeechDecoderEngine, inputs: Sequence[Hiddens], budget: int) -> list[int]:
    """Codebook ids of the published loop over units and end ids only."""
    vocabulary = engine.vocabulary
    hiddens = torch.from_numpy(np.concatenate([group.values for group in inputs]))
    allowed, ends = choices(vocabulary), vocabulary.end_ids
    spoken, _ = oracle_units(engine.model, hiddens, end_ids=ends, max_units=budget, choices=allowed)
    return [token - vocabulary.offset for token in spoken if token not in ends]


def test_it_speaks_what_the_slow_generator_speaks(engine: SpeechDecoderEngine) -> None:
    greedy = ReplyRequest(messages=(), units=Sampling(max_tokens=40))
    assert ids(speak(engine, greedy, groups(10), early=True)) == slow_greedy(engine, groups(10), 40)


def test_an_end_unit_ends_only_its_round_and_is_never_spoken(tiny_bundle: Path) -> None:
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
    messages = speak(engine, request(max_units=30), groups(9), early=True)
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
