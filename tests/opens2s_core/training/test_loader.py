import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest
import torch

from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.opens2s import read_config
from opens2s_core.checkpoint.vocabulary import Vocabulary, read_vocabulary
from opens2s_core.models.opens2s_config import OpenS2SConfig
from opens2s_core.prompt import PromptBuilder
from opens2s_core.training.batch import Batch, EncodedSample, collate
from opens2s_core.training.loader import SampleError, load_ahead, load_micro_batches
from opens2s_core.training.plan import PlanConfig, plan_steps
from tests.opens2s_core.training.samples import ListedSamples, kinds_of_samples

PLAN = PlanConfig(micro_batches_per_step=4, micro_batch_positions=150)
Parts = tuple[list[EncodedSample], OpenS2SConfig, Vocabulary]


@pytest.fixture(scope="module")
def parts(tiny_bundle: Path) -> Parts:
    vocabulary = read_vocabulary(tiny_bundle / OPENS2S)
    samples = list(kinds_of_samples(PromptBuilder(vocabulary.tokenizer, "training")).values())
    return samples, read_config(tiny_bundle / OPENS2S), vocabulary


class GroupedList(ListedSamples):
    """Each sample is a row group, of which an epoch has the first alone."""

    @property
    def groups(self) -> np.ndarray:
        return np.arange(len(self.lengths))

    def epoch_groups(self, epoch: int, seed: int) -> np.ndarray:
        return np.array([0])


def assert_same(first: Batch, second: Batch) -> None:
    for name in ("input_ids", "attention_mask", "labels"):
        assert torch.equal(getattr(first, name), getattr(second, name))
    for name in first.replies.__slots__:
        assert torch.equal(getattr(first.replies, name), getattr(second.replies, name))
    assert torch.equal(first.audio.segments, second.audio.segments)
    assert first.audio.frames == second.audio.frames
    assert first.audio_is_dummy == second.audio_is_dummy


@pytest.mark.parametrize(("rank", "world"), [(0, 1), (0, 2), (1, 2), (3, 4)])
def test_a_worker_loads_the_batches_of_its_lanes_step_by_step(parts: Parts, rank: int, world: int) -> None:
    listed, config, vocabulary = parts
    samples = ListedSamples(listed, config)
    micro_batches = load_micro_batches(samples, PLAN, config, vocabulary, rank=rank, world=world, first=1, last=4)
    with load_ahead(micro_batches) as loaded:
        for step in plan_steps(samples.lengths, PLAN, first=1, last=4):
            for lane in range(rank, 4, world):
                one = next(loaded)
                assert (one.step, one.lane, one.last) == (step.number, lane, lane + world >= 4)
                assert_same(one.batch, collate([listed[i] for i in step.micro_batches[lane]], config, vocabulary))
                everything = [index for micro_batch in step.micro_batches for index in micro_batch]
                assert one.text_labels == max(sum(samples.text_labels[i] for i in everything), 1)
                assert one.unit_labels == max(sum(samples.unit_labels[i] for i in everything), 1)
        assert list(loaded) == []


def test_row_groups_of_the_epoch_are_loaded(parts: Parts) -> None:
    listed, config, vocabulary = parts
    plan = PlanConfig(micro_batches_per_step=1)
    loaded = load_micro_batches(GroupedList(listed, config), plan, config, vocabulary, rank=0, world=1, first=0, last=3)
    for one in loaded:
        assert_same(one.batch, collate(listed[:1], config, vocabulary))


def test_a_sample_that_cannot_be_collated_is_named(parts: Parts) -> None:
    listed, config, vocabulary = parts
    spoken = next(i for i, sample in enumerate(listed) if sample.audios)
    broken = replace(listed[spoken], audios=[b"noise"] * len(listed[spoken].audios), id="clip-7")
    samples = ListedSamples([broken if i == spoken else sample for i, sample in enumerate(listed)], config)
    loaded = load_micro_batches(samples, PlanConfig(), config, vocabulary, rank=0, world=1, first=0, last=1)
    with pytest.raises(SampleError, match=rf"sample {spoken} \(clip-7\): "), load_ahead(loaded) as batches:
        list(batches)


def test_a_sample_that_cannot_be_read_is_named(parts: Parts) -> None:
    listed, config, vocabulary = parts

    class Unreadable(ListedSamples):
        def __getitem__(self, index: int) -> EncodedSample:
            if index == 2:
                raise OSError("connection reset")
            return super().__getitem__(index)

    loaded = load_micro_batches(
        Unreadable(listed, config), PlanConfig(), config, vocabulary, rank=0, world=1, first=0, last=1
    )
    with pytest.raises(SampleError, match="sample 2: connection reset"):
        list(loaded)


def test_no_more_is_made_ahead_than_the_depth() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for i in count():
            made.append(i)
            yield i

    with load_ahead(items(), depth=3) as loaded:
        assert list(islice(loaded, 5)) == [0, 1, 2, 3, 4]
        time.sleep(0.05)
        assert len(made) <= 5 + 3
    made_by_then = len(made)
    time.sleep(0.05)
    assert len(made) == made_by_then


def test_items_are_made_while_others_are_used() -> None:
    second = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        second.set()
        yield 2

    with load_ahead(items()) as loaded:
        assert next(loaded) == 1
        assert second.wait(10)
        assert list(loaded) == [2]


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("two")

    with load_ahead(items()) as loaded:
        assert next(loaded) == 1
        with pytest.raises(KeyError, match="two"):
            next(loaded)


def test_the_thread_ends_with_the_block() -> None:
    def loaders() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name.startswith("loader")]

    with load_ahead(count()) as loaded:
        next(loaded)
        assert loaders()
    assert not loaders()
    with pytest.raises(ZeroDivisionError), load_ahead(count()) as loaded:
        1 / 0  # noqa: B018
    assert not loaders()
