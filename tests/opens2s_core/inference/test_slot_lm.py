from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import Qwen3ForCausalLM

from opens2s_core.inference.batch_layout import ScheduledChunk, bucket
from opens2s_core.inference.kv_cache import ContentIds, KVSlot
from opens2s_core.inference.lm_settings import LMSettings
from opens2s_core.inference.slot_lm import SlotLM
from opens2s_core.models import qwen3_forward
from tests.opens2s_core.inference.random_engines import SIZES, SMALL, Sizes, random_lm

CONTEXT = 150


class Sequence:
    """The tokens of a slot, and the hidden states (T, D) of one plain forward over all of them."""

    def __init__(self, lm: Qwen3ForCausalLM, content: ContentIds, slot: KVSlot) -> None:
        self.content, self.slot = content, slot
        with torch.no_grad():
            self.embeddings = lm.get_input_embeddings()(torch.from_numpy(content))
            self.expected = lm.model(inputs_embeds=self.embeddings[None], use_cache=False).last_hidden_state[0]

    @property
    def left(self) -> int:
        return len(self.content) - self.slot.length

    def chunk(self, tokens: int, keep: int = 1) -> ScheduledChunk:
        start = self.slot.length
        return ScheduledChunk(self.slot, self.embeddings[start : start + tokens], keep)

    def check(self, hidden: Tensor) -> None:
        """Of the last positions that were computed."""
        end = self.slot.length
        torch.testing.assert_close(hidden, self.expected[end - len(hidden) : end], atol=1e-5, rtol=1e-5)


def tokens(chance: Random, count: int) -> ContentIds:
    return np.array([chance.randrange(50) for _ in range(count)], dtype=np.int64)


def begin(engine: SlotLM, lm: Qwen3ForCausalLM, content: ContentIds) -> Sequence:
    return Sequence(lm, content, engine.cache.take(content))


def compute(engine: SlotLM, sequence: Sequence) -> Tensor:
    """Compute all remaining tokens at once; returns the last hidden state (1, D)."""
    [hidden] = engine.forward([sequence.chunk(sequence.left)])
    return hidden


MIXES = given(sizes=SIZES, seed=st.integers(0, 2**32), slots=st.integers(1, 4), fixed_width=st.booleans())


@settings(max_examples=25)
@MIXES
def test_however_sequences_are_cut_and_mixed_each_is_computed_as_in_one_plain_forward(
    sizes: Sizes, seed: int, slots: int, fixed_width: bool
) -> None:
    mix(random_lm(sizes, torch.float64), Random(seed), slots, fixed_width)


@settings(max_examples=25, derandomize=True)  # of all models, some round by more than the bound
@MIXES
def test_they_are_also_equal_in_float32(sizes: Sizes, seed: int, slots: int, fixed_width: bool) -> None:
    mix(random_lm(sizes), Random(seed), slots, fixed_width)


def mix(lm: Qwen3ForCausalLM, chance: Random, slots: int, fixed_width: bool) -> None:
    """Sequences join, are computed in chunks with others, and leave."""
    engine = SlotLM(lm, slots=slots, settings=LMSettings(context=CONTEXT, fixed_width=fixed_width))
    reading: list[Sequence] = []
    past = [tokens(chance, CONTEXT)]
    for _ in range(40):
        while len(reading) < slots and chance.random() < 0.4:
            known = chance.choice(past)  # some continue where another was
            prefix = known[: chance.randrange(len(known))]
            reading.append(
                begin(engine, lm, np.append(prefix, tokens(chance, chance.randint(1, CONTEXT - len(prefix)))))
            )
        scheduled = [
            (sequence, chance.choice([1, 1, min(5, sequence.left), chance.randint(1, sequence.left)]))
            for sequence in chance.sample(reading, len(reading))
            if chance.random() < 0.7
        ]
        if scheduled:
            chunks = [sequence.chunk(count, keep=chance.randint(1, count)) for sequence, count in scheduled]
            for (sequence, _), chunk, hidden in zip(scheduled, chunks, engine.forward(chunks), strict=True):
                assert len(hidden) == chunk.keep
                sequence.check(hidden)
        for sequence in list(reading):
            if not sequence.left or chance.random() < 0.05:
                past.append(sequence.content)
                engine.cache.free(sequence.slot, sequence.content if chance.random() < 0.7 else sequence.content[:0])
                reading.remove(sequence)


@pytest.mark.parametrize("seed", range(4))
def test_with_fixed_widths_not_even_the_rounding_depends_on_neighbours(seed: int) -> None:
    chance, lm = Random(seed), random_lm(SMALL, torch.bfloat16)
    content, cuts = tokens(chance, 90), [1, 40, *(chance.choice([1, 1, 1, 6]) for _ in range(12))]
    engine = SlotLM(lm, slots=4, settings=LMSettings(context=CONTEXT, fixed_width=True))
    alone = begin(engine, lm, content)
    expected = [hidden for count in cuts for hidden in engine.forward([alone.chunk(count, keep=count)])]
    engine.cache.free(alone.slot)
    for company in range(5):
        for hidden, other in zip(expected, in_company(engine, lm, content, cuts, Random(company)), strict=True):
            assert torch.equal(hidden, other)


def in_company(
    engine: SlotLM, lm: Qwen3ForCausalLM, content: ContentIds, cuts: list[int], chance: Random
) -> list[Tensor]:
    """Hidden states of one sequence in chunks of these sizes while others join and leave."""
    neighbours = [begin(engine, lm, tokens(chance, 60)) for _ in range(chance.randint(0, 3))]
    own, hidden_states = begin(engine, lm, content), list[Tensor]()
    while len(hidden_states) < len(cuts):
        for neighbour in [n for n in neighbours if not n.left or chance.random() < 0.1]:
            engine.cache.free(neighbour.slot, neighbour.content)
            neighbours.remove(neighbour)
        if len(neighbours) < 3 and chance.random() < 0.5:
            neighbours.append(begin(engine, lm, tokens(chance, chance.randint(1, 60))))
        chunks = [n.chunk(min(n.left, chance.choice([1, 9]))) for n in neighbours if chance.random() < 0.8]
        if chance.random() < 0.6:
            count = cuts[len(hidden_states)]
            hidden_states.append(engine.forward([*chunks, own.chunk(count, keep=count)])[-1])
        elif chunks:
            engine.forward(chunks)
    for sequence in (own, *neighbours):
        engine.cache.free(sequence.slot, sequence.content)
    return hidden_states


def test_attention_reads_a_bucket_of_the_longest_sequence_only(monkeypatch: pytest.MonkeyPatch) -> None:
    lm, sizes = random_lm(SMALL), list[tuple[int, int]]()
    attend = qwen3_forward.attend_few

    def spy(query: Tensor, keys: Tensor, values: Tensor, visible: Tensor) -> Tensor:
        sizes.append((keys.shape[0], keys.shape[2]))
        return attend(query, keys, values, visible)

    engine = SlotLM(lm, slots=5, settings=LMSettings(context=400))
    long, short = begin(engine, lm, tokens(Random(0), 300)), begin(engine, lm, tokens(Random(1), 90))
    engine.forward([long.chunk(120), short.chunk(3)])
    monkeypatch.setattr(qwen3_forward, "attend_few", spy)
    engine.forward([long.chunk(1), short.chunk(1)])
    assert set(sizes) == {(2, 128)}
    sizes.clear()
    engine.forward([short.chunk(1)])
    assert set(sizes) == {(2, 64)}


def test_buckets_are_few_and_little_larger_than_what_they_hold() -> None:
    sizes = [bucket(length) for length in range(1, 40_961)]
    assert all(length <= size <= max(64, length + 63, 1.25 * length) for length, size in enumerate(sizes, start=1))
    assert len(set(sizes)) < 40


def test_a_conversation_reuses_what_its_last_turn_has_computed() -> None:
    lm = random_lm(SMALL)
    engine = SlotLM(lm, slots=3, settings=LMSettings(context=CONTEXT))
    first = tokens(Random(0), 60)
    earlier = begin(engine, lm, first)
    compute(engine, earlier)
    engine.cache.free(earlier.slot, first)
    continued = begin(engine, lm, np.append(first, tokens(Random(1), 20)))
    assert continued.slot.length == 60
    continued.check(compute(engine, continued))
    engine.cache.free(continued.slot, continued.content)
    the_same = begin(engine, lm, continued.content)
    assert the_same.slot.length == 79  # the last position is computed: it predicts
    the_same.check(compute(engine, the_same))
    differs = continued.content.copy()
    differs[30] = -differs[30] - 1
    engine.cache.free(the_same.slot, continued.content)
    assert engine.cache.take(differs).length == 30


def test_a_short_common_beginning_is_not_reused() -> None:
    lm = random_lm(SMALL)
    engine = SlotLM(lm, slots=2, settings=LMSettings(context=CONTEXT))
    past = begin(engine, lm, tokens(Random(0), 40))
    compute(engine, past)
    engine.cache.free(past.slot, past.content)
    kept = past.slot
    assert engine.cache.take(past.content[:15]) is not kept


def test_conversations_that_begin_alike_keep_what_they_have_computed() -> None:
    lm = random_lm(SMALL)
    engine = SlotLM(lm, slots=4, settings=LMSettings(context=CONTEXT))
    instructions = tokens(Random(9), 20)
    one, other = (np.append(instructions, tokens(Random(seed), 50)) for seed in (1, 2))
    known = []
    for content in (one[:60], other[:60], one, other):
        turn = begin(engine, lm, content)
        known.append(turn.slot.length)
        turn.check(compute(engine, turn))
        engine.cache.free(turn.slot, content)
    assert known == [0, 20, 60, 60]


def test_the_slot_that_was_freed_first_is_overwritten_first() -> None:
    lm = random_lm(SMALL)
    engine = SlotLM(lm, slots=3, settings=LMSettings(context=CONTEXT))
    past = [begin(engine, lm, tokens(Random(seed), 30)) for seed in range(3)]
    for sequence in (past[1], past[0], past[2]):
        compute(engine, sequence)
        engine.cache.free(sequence.slot, sequence.content)
    new = begin(engine, lm, tokens(Random(7), 30))
    assert new.slot.length == 0
    assert [engine.cache.take(sequence.content).length for sequence in (past[0], past[2])] == [29, 29]


def test_only_what_was_computed_is_reused() -> None:
    lm = random_lm(SMALL)
    engine = SlotLM(lm, slots=1, settings=LMSettings(context=CONTEXT))
    cut = begin(engine, lm, tokens(Random(0), 60))
    engine.forward([cut.chunk(25)])
    engine.cache.free(cut.slot, cut.content)
    assert engine.cache.take(cut.content).length == 25


def test_fixed_widths_reuse_nothing() -> None:
    lm = random_lm(SMALL)
    engine = SlotLM(lm, slots=1, settings=LMSettings(context=CONTEXT, fixed_width=True))
    past = begin(engine, lm, tokens(Random(0), 60))
    compute(engine, past)
    engine.cache.free(past.slot, past.content)
    assert engine.cache.take(past.content).length == 0


def test_nan_stays_in_its_slot_and_is_wiped() -> None:
    lm = random_lm(SMALL)
    engine = SlotLM(lm, slots=3, settings=LMSettings(context=CONTEXT))
    first, poisoned, last = (begin(engine, lm, tokens(Random(seed), 40)) for seed in range(3))
    poisoned.embeddings[10] = torch.nan
    for _ in range(4):
        hidden_states = engine.forward([sequence.chunk(7) for sequence in (first, poisoned, last)])
        first.check(hidden_states[0])
        last.check(hidden_states[2])
    engine.cache.free(first.slot, first.content)  # slots change places
    assert not hidden_states[1].isfinite().all()
    engine.cache.wipe(poisoned.slot)
    engine.cache.free(poisoned.slot)
    last.check(compute(engine, last))
    for seed in (5, 6):  # the first to be taken are the ones just freed
        after = begin(engine, lm, tokens(Random(seed), 30))
        for count in (3, 1, 20):
            [hidden] = engine.forward([after.chunk(count)])
            after.check(hidden)


def test_a_model_that_does_not_attend_to_all_is_refused() -> None:
    lm = random_lm(SMALL)
    lm.config.layer_types = ["full_attention", "sliding_attention"]
    with pytest.raises(ValueError, match=r"sliding_attention.*expected full_attention only"):
        SlotLM(lm, slots=1, settings=LMSettings())


def test_a_slot_has_at_most_the_positions_of_the_model() -> None:
    assert SlotLM(random_lm(SMALL), slots=1, settings=LMSettings(context=10**6)).context == 512


@pytest.mark.parametrize("values", [{"context": 0}, {"prefill_tokens": 0}])
def test_settings_below_1_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected at least 1"):
        LMSettings(**values)
