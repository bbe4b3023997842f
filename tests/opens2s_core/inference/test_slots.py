"""The life cycle of streams, tested with all engines: thousands of replies leak nothing."""

import gc
from random import Random
from typing import Any

import pytest
import torch

from opens2s_core.inference.messages import ReplyRequest
from opens2s_core.inference.slots import SlotEngine
from opens2s_core.inference.speech_decoder import SpeechDecoderEngine
from opens2s_core.inference.thinker import ThinkerEngine
from tests.opens2s_core.inference import test_speech_decoder as units
from tests.opens2s_core.inference import test_thinker as texts
from tests.opens2s_core.inference.served import ReplyInput, alone, serve


def thinker() -> tuple[ThinkerEngine, list[ReplyInput]]:
    return texts.random_thinker(capacity=4), [texts.ask(Random(seed)) for seed in range(12)]


def speech_decoder() -> tuple[SpeechDecoderEngine, list[ReplyInput]]:
    engine = units.random_decoder(capacity=4)
    return engine, [units.ask(engine, Random(seed)) for seed in range(12)]


def tensors() -> int:
    gc.collect()
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


@pytest.mark.parametrize("make", [thinker, speech_decoder])
def test_thousands_of_events_leave_every_slot_free_and_every_reply_correct(make: Any) -> None:
    engine, asked = make()
    expected = [alone(engine, one) for one in asked]
    memory, alive, chance = engine._lm.cache.memory.data_ptr(), tensors(), Random(0)
    picks = [chance.randrange(len(asked)) for _ in range(1000)]
    cancelled = 0
    for pick, made in zip(picks, serve(engine, [asked[i] for i in picks], chance, cancel=0.03), strict=True):
        cancelled += made.cancelled
        if not made.cancelled:
            assert made.ids == expected[pick].ids
            assert made.text == expected[pick].text
            assert made.units == expected[pick].units
    assert 100 < cancelled < 900
    del made
    assert not engine._streams
    assert engine._lm.cache.used == 0
    assert sorted(slot.index for slot in engine._lm.cache.slots) == [0, 1, 2, 3]
    assert engine._lm.cache.memory.data_ptr() == memory
    assert engine._lm.cache.memory.isfinite().all()
    assert tensors() <= alive
    streams = [engine.open(asked[0].request) for _ in range(4)]
    assert len(set(streams)) == 4


@pytest.mark.parametrize("make", [thinker, speech_decoder])
def test_an_unknown_stream_may_be_closed(make: Any) -> None:
    engine, _ = make()
    engine.close(12345)
    with pytest.raises(KeyError):
        engine.chunks(12345)


def test_a_capacity_below_1_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity must be at least 1, got 0"):
        SlotEngine[Any](0)


def test_empty_stop_strings_are_refused() -> None:
    with pytest.raises(ValueError, match="expected strings that are not empty"):
        ReplyRequest(messages=(), stop=("a", ""))
