from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import Qwen3ForCausalLM

from opens2s_core.inference import slot_lm
from opens2s_core.inference.lm_settings import LMSettings
from opens2s_core.inference.slot_lm import Feed, Keys, Row, SlotLM, bucket
from tests.opens2s_core.inference.random_engines import SIZES, SMALL, Sizes, random_lm

CONTEXT = 150


class Sequence:
    """Tokens that a row is fed, and the hidden states (T, D) of one plain forward over all of them."""

    def __init__(self, lm: Qwen3ForCausalLM, keys: Keys, row: Row) -> None:
        self.keys, self.row = keys, row
        with torch.no_grad():
            self.embeddings = lm.get_input_embeddings()(torch.from_numpy(keys))
            self.expected = lm.model(inputs_embeds=self.embeddings[None], use_cache=False).last_hidden_state[0]

    @property
    def left(self) -> int:
        return len(self.keys) - self.row.length

    def feed(self, tokens: int, keep: int = 1) -> Feed:
        start = self.row.length
        return Feed(self.row, self.embeddings[start : start + tokens], keep)

    def check(self, hidden: Tensor) -> None:
        """Of the last positions that were read."""
        end = self.row.length
        torch.testing.assert_close(hidden, self.expected[end - len(hidden) : end], atol=1e-5, rtol=1e-5)


def tokens(chance: Random, count: int) -> Keys:
    return np.array([chance.randrange(50) for _ in range(count)], dtype=np.int64)


def begin(slots: SlotLM, lm: Qwen3ForCausalLM, keys: Keys) -> Sequence:
    return Sequence(lm, keys, slots.take(keys))


def read(slots: SlotLM, sequence: Sequence) -> Tensor:
    """All that is left, at once; gives the last hidden state (1, D)."""
    [hidden] = slots.advance([sequence.feed(sequence.left)])
    return hidden


MIXES = given(sizes=SIZES, seed=st.integers(0, 2**32), rows=st.integers(1, 4), fixed_width=st.booleans())


@settings(max_examples=25)
@MIXES
def test_however_sequences_are_cut_and_mixed_each_reads_as_in_one_plain_forward(
    sizes: Sizes, seed: int, rows: int, fixed_width: bool
) -> None:
    mix(random_lm(sizes, torch.float64), Random(seed), rows, fixed_width)


@settings(max_examples=25, derandomize=True)  # of all models, some round by more than the bound
@MIXES
def test_so_they_do_in_float32(sizes: Sizes, seed: int, rows: int, fixed_width: bool) -> None:
    mix(random_lm(sizes), Random(seed), rows, fixed_width)


def mix(lm: Qwen3ForCausalLM, chance: Random, rows: int, fixed_width: bool) -> None:
    """Sequences join, are read in pieces beside each other, and leave."""
    slots = SlotLM(lm, rows=rows, settings=LMSettings(context=CONTEXT, fixed_width=fixed_width))
    reading: list[Sequence] = []
    past = [tokens(chance, CONTEXT)]
    for _ in range(40):
        while len(reading) < rows and chance.random() < 0.4:
            known = chance.choice(past)  # some go on from where another was
            begun = known[: chance.randrange(len(known))]
            reading.append(begin(slots, lm, np.append(begun, tokens(chance, chance.randint(1, CONTEXT - len(begun))))))
        feeds = [
            (sequence, chance.choice([1, 1, min(5, sequence.left), chance.randint(1, sequence.left)]))
            for sequence in chance.sample(reading, len(reading))
            if chance.random() < 0.7
        ]
        if feeds:
            fed = [sequence.feed(count, keep=chance.randint(1, count)) for sequence, count in feeds]
            for (sequence, _), feed, hidden in zip(feeds, fed, slots.advance(fed), strict=True):
                assert len(hidden) == feed.keep
                sequence.check(hidden)
        for sequence in list(reading):
            if not sequence.left or chance.random() < 0.05:
                past.append(sequence.keys)
                slots.free(sequence.row, sequence.keys if chance.random() < 0.7 else sequence.keys[:0])
                reading.remove(sequence)


@pytest.mark.parametrize("seed", range(4))
def test_with_fixed_widths_not_even_the_rounding_depends_on_neighbours(seed: int) -> None:
    chance, lm = Random(seed), random_lm(SMALL, torch.bfloat16)
    keys, cuts = tokens(chance, 90), [1, 40, *(chance.choice([1, 1, 1, 6]) for _ in range(12))]
    slots = SlotLM(lm, rows=4, settings=LMSettings(context=CONTEXT, fixed_width=True))
    alone = begin(slots, lm, keys)
    expected = [hidden for count in cuts for hidden in slots.advance([alone.feed(count, keep=count)])]
    slots.free(alone.row)
    for company in range(5):
        for hidden, other in zip(expected, in_company(slots, lm, keys, cuts, Random(company)), strict=True):
            assert torch.equal(hidden, other)


def in_company(slots: SlotLM, lm: Qwen3ForCausalLM, keys: Keys, cuts: list[int], chance: Random) -> list[Tensor]:
    """Hidden states of one sequence, cut like this, while others join it and leave."""
    neighbours = [begin(slots, lm, tokens(chance, 60)) for _ in range(chance.randint(0, 3))]
    own, heard = begin(slots, lm, keys), list[Tensor]()
    while len(heard) < len(cuts):
        for neighbour in [n for n in neighbours if not n.left or chance.random() < 0.1]:
            slots.free(neighbour.row, neighbour.keys)
            neighbours.remove(neighbour)
        if len(neighbours) < 3 and chance.random() < 0.5:
            neighbours.append(begin(slots, lm, tokens(chance, chance.randint(1, 60))))
        fed = [n.feed(min(n.left, chance.choice([1, 9]))) for n in neighbours if chance.random() < 0.8]
        if chance.random() < 0.6:
            count = cuts[len(heard)]
            heard.append(slots.advance([*fed, own.feed(count, keep=count)])[-1])
        elif fed:
            slots.advance(fed)
    for sequence in (own, *neighbours):
        slots.free(sequence.row, sequence.keys)
    return heard


def test_attention_reads_a_bucket_of_the_longest_sequence_only(monkeypatch: pytest.MonkeyPatch) -> None:
    lm, sizes = random_lm(SMALL), list[tuple[int, int]]()
    attend = slot_lm._attend_few

    def spy(query: Tensor, keys: Tensor, values: Tensor, visible: Tensor) -> Tensor:
        sizes.append((keys.shape[0], keys.shape[2]))
        return attend(query, keys, values, visible)

    slots = SlotLM(lm, rows=5, settings=LMSettings(context=400))
    long, short = begin(slots, lm, tokens(Random(0), 300)), begin(slots, lm, tokens(Random(1), 90))
    slots.advance([long.feed(120), short.feed(3)])
    monkeypatch.setattr(slot_lm, "_attend_few", spy)
    slots.advance([long.feed(1), short.feed(1)])
    assert set(sizes) == {(2, 128)}
    sizes.clear()
    slots.advance([short.feed(1)])
    assert set(sizes) == {(2, 64)}


def test_buckets_are_few_and_little_larger_than_what_they_hold() -> None:
    sizes = [bucket(length) for length in range(1, 40_961)]
    assert all(length <= size <= max(64, length + 63, 1.25 * length) for length, size in enumerate(sizes, start=1))
    assert len(set(sizes)) < 40


def test_a_conversation_that_goes_on_finds_what_it_was() -> None:
    lm = random_lm(SMALL)
    slots = SlotLM(lm, rows=3, settings=LMSettings(context=CONTEXT))
    first = tokens(Random(0), 60)
    earlier = begin(slots, lm, first)
    read(slots, earlier)
    slots.free(earlier.row, first)
    goes_on = begin(slots, lm, np.append(first, tokens(Random(1), 20)))
    assert goes_on.row.length == 60
    goes_on.check(read(slots, goes_on))
    slots.free(goes_on.row, goes_on.keys)
    the_same = begin(slots, lm, goes_on.keys)
    assert the_same.row.length == 79  # the last position is computed: it predicts
    the_same.check(read(slots, the_same))
    differs = goes_on.keys.copy()
    differs[30] = -differs[30] - 1
    slots.free(the_same.row, goes_on.keys)
    assert slots.take(differs).length == 30


def test_little_in_common_is_not_looked_for() -> None:
    lm = random_lm(SMALL)
    slots = SlotLM(lm, rows=2, settings=LMSettings(context=CONTEXT))
    past = begin(slots, lm, tokens(Random(0), 40))
    read(slots, past)
    slots.free(past.row, past.keys)
    kept = past.row
    assert slots.take(past.keys[:15]) is not kept


def test_conversations_that_begin_alike_do_not_cost_each_other_their_past() -> None:
    lm = random_lm(SMALL)
    slots = SlotLM(lm, rows=4, settings=LMSettings(context=CONTEXT))
    instructions = tokens(Random(9), 20)
    one, other = (np.append(instructions, tokens(Random(seed), 50)) for seed in (1, 2))
    known = []
    for keys in (one[:60], other[:60], one, other):
        turn = begin(slots, lm, keys)
        known.append(turn.row.length)
        turn.check(read(slots, turn))
        slots.free(turn.row, keys)
    assert known == [0, 20, 60, 60]


def test_the_row_that_was_freed_first_is_forgotten_first() -> None:
    lm = random_lm(SMALL)
    slots = SlotLM(lm, rows=3, settings=LMSettings(context=CONTEXT))
    past = [begin(slots, lm, tokens(Random(seed), 30)) for seed in range(3)]
    for sequence in (past[1], past[0], past[2]):
        read(slots, sequence)
        slots.free(sequence.row, sequence.keys)
    new = begin(slots, lm, tokens(Random(7), 30))
    assert new.row.length == 0
    assert [slots.take(sequence.keys).length for sequence in (past[0], past[2])] == [29, 29]


def test_only_what_was_read_is_found_again() -> None:
    lm = random_lm(SMALL)
    slots = SlotLM(lm, rows=1, settings=LMSettings(context=CONTEXT))
    cut = begin(slots, lm, tokens(Random(0), 60))
    slots.advance([cut.feed(25)])
    slots.free(cut.row, cut.keys)
    assert slots.take(cut.keys).length == 25


def test_fixed_widths_know_no_past() -> None:
    lm = random_lm(SMALL)
    slots = SlotLM(lm, rows=1, settings=LMSettings(context=CONTEXT, fixed_width=True))
    past = begin(slots, lm, tokens(Random(0), 60))
    read(slots, past)
    slots.free(past.row, past.keys)
    assert slots.take(past.keys).length == 0


def test_what_is_no_number_stays_in_its_row_and_is_wiped() -> None:
    lm = random_lm(SMALL)
    slots = SlotLM(lm, rows=3, settings=LMSettings(context=CONTEXT))
    first, poisoned, last = (begin(slots, lm, tokens(Random(seed), 40)) for seed in range(3))
    poisoned.embeddings[10] = torch.nan
    for _ in range(4):
        hiddens = slots.advance([sequence.feed(7) for sequence in (first, poisoned, last)])
        first.check(hiddens[0])
        last.check(hiddens[2])
    slots.free(first.row, first.keys)  # rows change places
    assert not hiddens[1].isfinite().all()
    slots.wipe(poisoned.row)
    slots.free(poisoned.row)
    last.check(read(slots, last))
    for seed in (5, 6):  # the first to be taken are the ones just freed
        after = begin(slots, lm, tokens(Random(seed), 30))
        for count in (3, 1, 20):
            [hidden] = slots.advance([after.feed(count)])
            after.check(hidden)


def test_a_model_that_does_not_attend_to_all_is_refused() -> None:
    lm = random_lm(SMALL)
    lm.config.layer_types = ["full_attention", "sliding_attention"]
    with pytest.raises(ValueError, match=r"sliding_attention.*expected full_attention only"):
        SlotLM(lm, rows=1, settings=LMSettings())


def test_a_slot_has_at_most_the_positions_of_the_model() -> None:
    assert SlotLM(random_lm(SMALL), rows=1, settings=LMSettings(context=10**6)).context == 512


@pytest.mark.parametrize("values", [{"context": 0}, {"prefill_tokens": 0}])
def test_settings_that_serve_nobody_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected at least 1"):
        LMSettings(**values)
