import threading
import time
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from opens2s_core.audio import Waveform
from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.opens2s import read_config
from opens2s_core.checkpoint.vocabulary import Vocabulary, read_vocabulary
from opens2s_core.models.opens2s_config import OpenS2SConfig
from opens2s_core.prompt import PromptBuilder
from opens2s_core.training.batch import Augment, CollateConfig, EncodedSample, collate
from opens2s_core.training.loader import SampleError, load_ahead, load_steps
from opens2s_core.training.plan import Lengths, PlanConfig, plan_steps
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


def assert_same(first: Any, second: Any) -> None:
    """Equal tensors and values in all fields, however deep."""
    if is_dataclass(first):
        for own in fields(first):
            assert_same(getattr(first, own.name), getattr(second, own.name))
    else:
        assert torch.equal(first, second) if isinstance(first, torch.Tensor) else first == second


@pytest.mark.parametrize(("rank", "world"), [(0, 1), (0, 2), (1, 2), (3, 4)])
def test_a_worker_loads_the_batches_of_its_lanes_step_by_step(parts: Parts, rank: int, world: int) -> None:
    listed, config, vocabulary = parts
    samples = ListedSamples(listed, config)
    steps = load_steps(samples, PLAN, config, vocabulary, rank=rank, world=world, first=1, last=4)
    planned = plan_steps(Lengths(samples.lengths, samples.speech_lengths), PLAN, first=1, last=4)
    with load_ahead(steps) as loaded:
        for step, own in zip(planned, loaded, strict=True):
            assert (own.number, own.epoch) == (step.number, step.epoch)
            assert [lane for lane, _ in own.micro_batches] == list(range(rank, 4, world))
            batches = [
                collate([listed[i] for i in step.micro_batches[lane]], config, vocabulary)
                for lane, _ in own.micro_batches
            ]
            for (_, batch), expected in zip(own.micro_batches, batches, strict=True):
                assert_same(batch, expected)


def test_row_groups_of_the_epoch_are_loaded(parts: Parts) -> None:
    listed, config, vocabulary = parts
    plan = PlanConfig(micro_batches_per_step=1)
    steps = load_steps(GroupedList(listed, config), plan, config, vocabulary, rank=0, world=1, first=0, last=3)
    for step in steps:
        [(lane, batch)] = step.micro_batches
        assert lane == 0
        assert_same(batch, collate(listed[:1], config, vocabulary))


class Noise:
    def waveform(self, clip: Waveform, rng: np.random.Generator) -> Waveform:
        return clip + rng.normal(0, 0.1, len(clip)).astype(np.float32)

    def features(self, mel: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        return mel


def test_samples_are_augmented_by_seed_epoch_and_index(parts: Parts) -> None:
    listed, config, vocabulary = parts
    plan = PlanConfig(micro_batches_per_step=1, seed=9)
    samples, settings = ListedSamples(listed, config), CollateConfig(reply_layout="prefix", teacher=True)
    steps = load_steps(
        samples, plan, config, vocabulary, rank=0, world=1, first=0, last=3, settings=settings, augmentation=Noise()
    )
    planned = plan_steps(Lengths(samples.lengths, samples.speech_lengths), plan, first=0, last=3)
    for planned_step, step in zip(planned, steps, strict=True):
        (indices,), [(_, batch)] = planned_step.micro_batches, step.micro_batches
        augment = Augment(Noise(), 9, step.epoch, indices)
        assert_same(batch, collate([listed[i] for i in indices], config, vocabulary, settings, augment))


def test_a_sample_that_cannot_be_collated_is_named(parts: Parts) -> None:
    listed, config, vocabulary = parts
    spoken = next(i for i, sample in enumerate(listed) if sample.audios)
    broken = replace(listed[spoken], audios=[b"noise"] * len(listed[spoken].audios), id="clip-7")
    samples = ListedSamples([broken if i == spoken else sample for i, sample in enumerate(listed)], config)
    loaded = load_steps(samples, PlanConfig(), config, vocabulary, rank=0, world=1, first=0, last=1)
    with pytest.raises(SampleError, match=rf"sample {spoken} \(clip-7\): "), load_ahead(loaded) as batches:
        list(batches)


def test_a_sample_that_cannot_be_read_is_named(parts: Parts) -> None:
    listed, config, vocabulary = parts

    class Unreadable(ListedSamples):
        def __getitem__(self, index: int) -> EncodedSample:
            if index == 2:
                raise OSError("connection reset")
            return super().__getitem__(index)

    loaded = load_steps(Unreadable(listed, config), PlanConfig(), config, vocabulary, rank=0, world=1, first=0, last=1)
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
