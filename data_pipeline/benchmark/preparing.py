"""How fast clips become samples on Ray Data, against a bare process pool that does the same work."""

import filecmp
import multiprocessing
import os
import shutil
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from data_pipeline.benchmark.clips import write_corpus, write_sources
from data_pipeline.benchmark.processes import Usage, measured_usage
from data_pipeline.corpora.manifest import Manifest
from data_pipeline.dataset.layout import absolute_url
from data_pipeline.dataset.writer import DatasetWriter
from data_pipeline.preparation.bundle import text_fingerprint
from data_pipeline.preparation.config import PrepareConfig
from data_pipeline.preparation.description import describe
from data_pipeline.preparation.pipeline import prepare_shards
from data_pipeline.preparation.planning import make_plan
from data_pipeline.preparation.shard import Preparation
from data_pipeline.ray_output import quiet_ray_data
from opens2s_core.benchmark.report import Baseline, Bound, Measurement, middle_half

Side = Literal["ray", "pool"]
SIDES: tuple[Side, Side] = ("ray", "pool")
_T = TypeVar("_T")
Samples = dict[Side, list[float]]
Cluster = Callable[[], AbstractContextManager[None]]

_MIN_SPEED = 0.7
_MAX_GROWTH = 1.1
_MB = 1e6
_FIRST_SHARDS = 4
"""Shards of one clip for each process, so that every process has one: Ray Data starts with one task."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparingBenchmark:
    """Corpora of ``clips`` and twice as many are prepared ``repeats`` times by each side, which has ``processes``."""

    clips: int = 20_000
    repeats: int = 2
    processes: int = len(os.sched_getaffinity(0))

    @property
    def sizes(self) -> tuple[int, int]:
        return self.clips, 2 * self.clips


@dataclass(frozen=True, slots=True)
class _Plans:
    """The plans of all corpora, and the seconds that those took which are measured."""

    first: Preparation  # a few clips
    by_size: dict[int, Preparation]
    seconds: dict[int, float]


@dataclass(slots=True)
class _Measured:
    """Samples by side and size."""

    start_seconds: Samples = field(default_factory=lambda: {"ray": [], "pool": []})
    seconds: dict[tuple[Side, int], list[float]] = field(default_factory=lambda: defaultdict(list))
    usage: dict[tuple[Side, int], list[Usage]] = field(default_factory=lambda: defaultdict(list))
    description_seconds: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    differing: int = 0


def preparing_rows(
    benchmark: PreparingBenchmark, config: PrepareConfig, bundle: str, directory: Path, cluster: Cluster
) -> Iterator[Measurement]:
    """The rows of the report. ``config`` needs no models. ``cluster`` connects this process to a Ray that is started
    for it. ``directory`` has room for the files of 2 x 40,000 clips; the corpora stay there."""
    quiet_ray_data()
    with cluster():
        plans = _make_plans(benchmark, config, bundle, directory)
    measured = _measure(benchmark, plans, directory, cluster)
    for size in benchmark.sizes:
        yield _row(f"plan {size:,} clips", "s", [plans.seconds[size]])
    yield _row("start-up, until every process has prepared a clip", "s", *_sides(measured.start_seconds))
    for size in benchmark.sizes:
        speeds: Samples = {side: [size / each for each in measured.seconds[side, size]] for side in SIDES}
        yield _row(f"prepare {size:,} clips", "clips/s", *_sides(speeds), better="higher")
    yield from _marginal_rows(benchmark, measured)
    yield _row("files that differ from those of the pool", "files", [measured.differing], bound=Bound("at most", 0))
    for size in benchmark.sizes:
        name = f"index, report and card of {size:,} clips"
        yield _row(name, "s", measured.description_seconds[size])
    small, large = ([usage.peak_bytes for usage in measured.usage["ray", size]] for size in benchmark.sizes)
    yield _row(f"peak memory, {benchmark.sizes[0]:,} clips", "MB", [each / _MB for each in small])
    yield _row(f"peak memory, {benchmark.sizes[1]:,} clips", "MB", [each / _MB for each in large])
    growth = statistics.median(large) / statistics.median(small)
    yield _row(
        "ratio of peak memory, all clips to half of them", "times", [growth], bound=Bound("at most", _MAX_GROWTH)
    )


def _make_plans(benchmark: PreparingBenchmark, config: PrepareConfig, bundle: str, directory: Path) -> _Plans:
    sources = write_sources(directory / "sources")

    def plan(name: str, clips: int, config: PrepareConfig) -> tuple[Preparation, float]:
        root = absolute_url(write_corpus(directory / name, clips, sources))
        output = absolute_url(str(directory / f"{name}-plan"))
        start = time.perf_counter()
        made = make_plan(
            output, Manifest(), root, config.tokenise.task, config.selection, config.shard_rows, _made_from(config)
        )
        seconds = time.perf_counter() - start
        fingerprint = text_fingerprint(bundle)
        preparation = Preparation(
            output=output,
            root=root,
            config=config,
            plan=made,
            stages=(),
            bundle=bundle,
            bundle_fingerprint=fingerprint,
        )
        return preparation, seconds

    first, _ = plan("first", _FIRST_SHARDS * benchmark.processes, replace(config, shard_rows=1))
    made = {size: plan(f"clips-{size}", size, config) for size in benchmark.sizes}
    return _Plans(
        first,
        {size: preparation for size, (preparation, _) in made.items()},
        {size: seconds for size, (_, seconds) in made.items()},
    )


def _made_from(config: PrepareConfig) -> dict[str, Any]:
    return {"config": config.identity()}


def _measure(benchmark: PreparingBenchmark, plans: _Plans, directory: Path, cluster: Cluster) -> _Measured:
    """All runs: what is slow for a while is slow for both sides and sizes."""
    measured = _Measured()
    for repeat in range(benchmark.repeats):
        for size in _in_turn(benchmark.sizes, repeat):
            outputs: dict[Side, Path] = {side: directory / f"{side}-{size}" for side in SIDES}
            for side in _in_turn(SIDES, repeat):
                _run(side, benchmark.processes, plans, size, outputs[side], cluster, measured)
            measured.differing += len(_differing(outputs["ray"], outputs["pool"]))
            measured.description_seconds[size].append(_describe(plans.by_size[size], outputs["ray"]))
            for output in outputs.values():
                shutil.rmtree(output)
    return measured


def _in_turn(pair: tuple[_T, _T], repeat: int) -> tuple[_T, _T]:
    return pair[::-1] if repeat % 2 else pair


def _run(
    side: Side, processes: int, plans: _Plans, size: int, output: Path, cluster: Cluster, measured: _Measured
) -> None:
    """Prepare a corpus once by processes that are started for it."""
    first = _with_output(plans.first, output.with_name("first-output"))
    preparation = _with_output(plans.by_size[size], output)
    start = time.perf_counter()
    with _on_ray(cluster) if side == "ray" else _in_pool(processes) as prepare:
        prepare(first)
        measured.start_seconds[side].append(time.perf_counter() - start)
        with measured_usage() as usage:
            start = time.perf_counter()
            prepare(preparation)
            measured.seconds[side, size].append(time.perf_counter() - start)
        measured.usage[side, size].append(usage)
    shutil.rmtree(output.with_name("first-output"))


@contextmanager
def _on_ray(cluster: Cluster) -> Iterator[Callable[[Preparation], None]]:
    with cluster():
        yield lambda preparation: prepare_shards(preparation, preparation.plan.shards, lambda passed: None)


@contextmanager
def _in_pool(processes: int) -> Iterator[Callable[[Preparation], None]]:
    # Ray's tasks compute in one thread each, too.
    with multiprocessing.get_context("spawn").Pool(processes, torch.set_num_threads, (1,)) as pool:

        def prepare(preparation: Preparation) -> None:
            for _ in pool.imap_unordered(partial(_prepare_shard, preparation), preparation.plan.shards):
                pass

        yield prepare


def _prepare_shard(preparation: Preparation, shard: str) -> None:
    preparation.publish(shard, preparation.load(shard))


def _with_output(planned: Preparation, output: Path) -> Preparation:
    """The same plan for another output."""
    shutil.copytree(planned.output.removeprefix("file://"), output)
    return replace(planned, output=absolute_url(str(output)))


def _differing(one: Path, other: Path) -> list[str]:
    """Files that are not the same in both directories."""
    names = {str(path.relative_to(root)) for root in (one, other) for path in root.rglob("*") if path.is_file()}
    _, different, missing = filecmp.cmpfiles(one, other, names, shallow=False)
    return different + missing


def _describe(preparation: Preparation, output: Path) -> float:
    start = time.perf_counter()
    written = replace(preparation, output=absolute_url(str(output)))
    markers = DatasetWriter(written.output).markers(written.plan.shards)
    describe(written, Manifest(), _made_from(preparation.config), markers)
    return time.perf_counter() - start


def _marginal_rows(benchmark: PreparingBenchmark, measured: _Measured) -> Iterator[Measurement]:
    """What the larger corpus takes more: what any corpus takes does not count."""
    small, large = benchmark.sizes
    more = large - small
    seconds = {side: _differences(measured.seconds[side, large], measured.seconds[side, small]) for side in SIDES}
    speeds: Samples = {side: [more / each for each in of_side if each > 0] for side, of_side in seconds.items()}
    of_more = f"from {small:,} to {large:,} clips"
    yield _row(f"prepare, {of_more}", "clips/s", *_sides(speeds), better="higher")
    pairs = zip(seconds["ray"], seconds["pool"], strict=True)
    ratios = [pool / ray for ray, pool in pairs if pool > 0 and ray > 0]
    yield _row("ratio of marginal speed, Ray Data to the pool", "times", ratios, bound=Bound("at least", _MIN_SPEED))
    cpu = {key: [usage.cpu_seconds for usage in usages] for key, usages in measured.usage.items()}
    milliseconds: Samples = {
        side: [1e3 * each / more for each in _differences(cpu[side, large], cpu[side, small])] for side in SIDES
    }
    yield _row(f"CPU time of a clip, {of_more}", "ms", *_sides(milliseconds))


def _differences(ones: list[float], others: list[float]) -> list[float]:
    return [one - other for one, other in zip(ones, others, strict=True)]


def _sides(samples: Samples) -> tuple[list[float], list[float]]:
    return samples["ray"], samples["pool"]


def _row(
    name: str,
    unit: str,
    samples: Sequence[float],
    of_pool: Sequence[float] | None = None,
    *,
    better: Literal["lower", "higher"] = "lower",
    bound: Bound | None = None,
) -> Measurement:
    row = Measurement(
        name=name,
        value=statistics.median(samples) if samples else None,
        unit=unit,
        bound=bound,
        spread=middle_half(samples),
        better=better,
    )
    if of_pool is None:
        return row
    return replace(row, baseline=Baseline(statistics.median(of_pool) if of_pool else None, middle_half(of_pool)))
