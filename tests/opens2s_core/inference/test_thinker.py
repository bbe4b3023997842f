from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from opens2s_core.checkpoint import OPENS2S, Vocabulary, load_thinker, read_vocabulary
from opens2s_core.inference.engine import EngineFull
from opens2s_core.inference.messages import Finish, Hiddens, ReplyRequest, Sampling, StageMessage, TextDelta
from opens2s_core.inference.reference import write
from opens2s_core.inference.thinker import ThinkerEngine
from opens2s_core.models.thinker import Thinker
from opens2s_core.prompt import Audio, Message, Text
from tests.opens2s_core.inference.oracle import prompt_embeddings


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
    sound = np.random.default_rng(seed).normal(0, 0.1, 8_000 + 3_000 * seed).astype(np.float32)
    content = (Text("I feel"), Audio(sound), Text("today."))
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
    tokens, hiddens = write(engine.model, prompt_embeddings(engine, request), end_ids=ends, max_tokens=budget)
    return tokens, hiddens.numpy()


def hiddens_of(messages: Sequence[StageMessage]) -> list[Hiddens]:
    return [message for message in messages if isinstance(message, Hiddens)]


def text_of(messages: Sequence[StageMessage]) -> str:
    return "".join(message.text for message in messages if isinstance(message, TextDelta))


def test_it_says_what_the_slow_generator_says(engine: ThinkerEngine) -> None:
    request = spoken(0)
    tokens, hiddens = slow_greedy(engine, request)
    [messages] = run(engine, [request])
    assert text_of(messages) == engine.vocabulary.tokenizer.decode(list(tokens), skip_special_tokens=True)
    np.testing.assert_allclose(np.concatenate([g.values for g in hiddens_of(messages)]), hiddens, atol=1e-5)
    positions = len(engine.prompts.prompt(request.messages, speak=True).input_ids) - 1 + 3  # 0.5 s of sound
    assert messages[-1] == Finish("length", positions, 11)


def test_hidden_states_come_in_groups_of_m_and_the_last_is_marked(engine: ThinkerEngine) -> None:
    [messages] = run(engine, [spoken(0, tokens=11)])
    assert [(len(group.values), group.final) for group in hiddens_of(messages)] == [(4, False), (4, False), (3, True)]
    [messages] = run(engine, [spoken(0, tokens=8)])
    assert [(len(group.values), group.final) for group in hiddens_of(messages)] == [(4, False), (4, True)]


def test_an_end_token_stops_the_reply(engine: ThinkerEngine, endless: Vocabulary) -> None:
    tokens, _ = slow_greedy(engine, spoken(0))
    ending = ThinkerEngine(engine.model, replace(endless, text_end_ids=(tokens[5],)), capacity=1)
    [messages] = run(ending, [spoken(0)])
    assert isinstance(messages[-1], Finish)
    assert messages[-1].reason == "stop"
    assert messages[-1].completion_tokens == tokens.index(tokens[5]) + 1


def test_a_written_reply_has_no_hidden_states(engine: ThinkerEngine) -> None:
    [messages] = run(engine, [spoken(1, speak=False)])
    assert not hiddens_of(messages)
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
    with pytest.raises(ValueError, match=f"more than the model's {limit}"):
        engine.open(spoken(0, tokens=limit))
