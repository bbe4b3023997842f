"""The served platform against the same engines in one process, and what it does under load that changes.

Both sides get the same requests and as many threads for each engine. They take turns, so that a machine that slows down
slows both. B bytes, N replies at once.
"""

import base64
import itertools
import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tqdm import tqdm

from opens2s_core.audio import SAMPLE_RATE, encode_audio
from opens2s_core.benchmark import conversation
from opens2s_core.benchmark.engine_models import SIZES, noise
from opens2s_core.benchmark.report import Bound, Row
from opens2s_core.checkpoint.bundle import read_bundle_info
from opens2s_core.inference.messages import ReplyRequest
from opens2s_core.inference.pipeline import Pipeline
from opens2s_core.training.from_scratch import create_bundle
from opens2s_core.voices import SLT
from serve_app.api.chat_request import chat_reply_request, parse_chat
from serve_app.api.context import ApiContext
from serve_app.benchmark.clients import Asked, Body, Clients, Heard, again_and_again, together
from serve_app.benchmark.elastic import churn_rows, ramp_rows, refusal_rows
from serve_app.benchmark.platform import Platform
from serve_app.config import ServeConfig, StageConfig

_STREAMS = 8
_LOADS = (1, 2, 3, 4, 5, 6, 8)
_REAL_TIME_FACTOR = 0.5
_MESSAGE_SECONDS = 0.003
_WARMING = 30
"""Rounds that are not measured: they warm both sides, and a Ray that has just started is busy with itself meanwhile."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeBenchmark:
    """``tokens`` of text make replies of 1.28 s of sound each, where nothing ends them; ``steady`` and ``churn`` are
    seconds of load."""

    bundle: str
    tokens: int = 4
    repeats: int = 5
    steady: float = 60.0
    churn: float = 120.0
    clients: int = 100


class Questions:
    """Requests of which no two are alike, so that nothing of a reply is known from an earlier one."""

    def __init__(self, model: str, tokens: int) -> None:
        self._model = model
        self._tokens = tokens
        self._numbers = itertools.count()

    def take(self, count: int) -> list[Body]:
        return [self._one(next(self._numbers)) for _ in range(count)]

    def _one(self, number: int) -> Body:
        wav = encode_audio(noise(number, 3.0), SAMPLE_RATE, container="wav")
        sound = {"type": "input_audio", "input_audio": {"data": base64.b64encode(wav).decode(), "format": "wav"}}
        return {
            "model": self._model,
            "messages": [{"role": "user", "content": [sound]}],
            "modalities": ["text", "audio"],
            "audio": {"voice": "default", "format": "pcm16"},
            "max_completion_tokens": self._tokens,
            "temperature": 0,
            "seed": number,
            "stream": True,
        }


def measure_serving(benchmark: ServeBenchmark, port: int) -> list[Row]:
    """On the Ray that this process is connected to; takes about eight minutes."""
    torch.set_num_threads(1)  # as each stage has
    stage = StageConfig(capacity=_STREAMS, queue=4 * _STREAMS, cpus=0.1, max_replicas=1)
    config = ServeConfig(
        bundle=benchmark.bundle, port=port, ingress_cpus=0.1, thinker=stage, speech_decoder=stage, token2wav=stage
    )
    questions = Questions(config.model, benchmark.tokens)
    with Platform(config) as platform, Clients(platform.target) as clients:
        pipeline = Pipeline.load(benchmark.bundle, capacity=_STREAMS)
        info = read_bundle_info(benchmark.bundle)
        context = ApiContext(model=config.model, limits=config.limits, units_per_token=info.units_per_token)
        beside = _Beside(pipeline, clients, questions, info.sample_rate, context)
        rows = [*beside.first_audio_rows(4 * benchmark.repeats), *beside.throughput_rows(benchmark.repeats)]
        rows += beside.continuity_rows(benchmark.steady)
        rows += _transfer_rows(platform)
        rows += refusal_rows(platform, clients, questions.take(32), places=stage.capacity, queue=stage.queue)
        rows += churn_rows(platform, clients, questions.take(32), benchmark.clients, benchmark.churn)
    elastic = replace(stage, capacity=2, max_replicas=2, upscale_delay=1.0, downscale_delay=8.0)
    config = replace(config, thinker=elastic, speech_decoder=elastic, token2wav=elastic)
    with Platform(config) as platform, Clients(platform.target) as clients:
        rows += ramp_rows(platform, clients, questions.take(32))
    return rows


@dataclass(frozen=True, slots=True)
class _Beside:
    """Both ways to get a reply."""

    pipeline: Pipeline
    clients: Clients
    questions: Questions
    sample_rate: int
    context: ApiContext

    def first_audio_rows(self, repeats: int) -> Iterator[Row]:
        served: list[float] = []
        alone: list[float] = []
        for i in tqdm(range(_WARMING + repeats), desc="first audio, 1 stream", unit="round"):
            asked = self._ask(1)
            here = self._alone(1)
            if i >= _WARMING:
                served.append(_first_audio(asked.replies)[0])
                alone.append(here.first_audio)
        added = 1e3 * (statistics.median(served) - statistics.median(alone))
        yield _row("first audio, 1 stream: in one process", 1e3 * statistics.median(alone), "ms")
        yield _row("first audio, 1 stream: served", 1e3 * statistics.median(served), "ms")
        yield _row("first audio, 1 stream: added by serving", added, "ms", Bound("at most", 40))

    def throughput_rows(self, repeats: int) -> Iterator[Row]:
        ratios: list[float] = []
        first: list[float] = []
        shares: list[float] = []
        for i in tqdm(range(repeats + 1), desc=f"{_STREAMS} streams", unit="round"):
            asked, here = self._ask(_STREAMS), self._alone(_STREAMS)
            if i:
                took = max(heard.took for heard in asked.replies)
                ratios.append(
                    (sum(heard.audio for heard in asked.replies) / took) / (_STREAMS * here.sound / here.whole)
                )
                first += _first_audio(asked.replies)
                shares.append(asked.core_seconds / took)
        yield _row(
            f"audio seconds a second, {_STREAMS} streams: served to one process",
            statistics.median(ratios),
            "times",
            Bound("at least", 0.85),
        )
        yield _row(
            f"audio seconds a second, {_STREAMS} streams: in one process", _STREAMS * here.sound / here.whole, "s/s"
        )
        yield _row(f"first audio, {_STREAMS} streams: served", 1e3 * statistics.median(first), "ms")
        yield _row(f"first audio, {_STREAMS} streams: in one process", 1e3 * here.first_audio, "ms")
        yield _row("share of a core that the callers took", statistics.median(shares), "cores")

    def continuity_rows(self, seconds: float) -> Iterator[Row]:
        factors = {count: self._alone(count).real_time_factor for count in tqdm(_LOADS, desc="loads", unit="load")}
        load = max((count for count in _LOADS if factors[count] <= _REAL_TIME_FACTOR), default=1)
        asked = self.clients.run(again_and_again, self.questions.take(load), seconds)
        whole = [heard for heard in asked.replies if heard.whole]
        what = f"{load} streams, at which one process has a real-time factor of {factors[load]:.2f}"
        yield _row(
            f"replies without a gap above 100 ms: {what}",
            100 * sum(heard.continuous for heard in whole) / len(asked.replies),
            "%",
            Bound("at least", 100),
        )
        yield _row(f"replies heard meanwhile in {seconds:g} s", len(whole), "replies")
        yield _row("first audio meanwhile", 1e3 * statistics.median(_first_audio(whole)), "ms")

    def _ask(self, count: int) -> Asked:
        asked = self.clients.run(together, self.questions.take(count))
        if refused := [heard for heard in asked.replies if not heard.whole]:
            raise RuntimeError(f"{len(refused)} of {count} replies are not whole: {refused[0]}")
        return asked

    def _alone(self, count: int) -> conversation.Heard:
        requests = [self._request(body) for body in self.questions.take(count)]
        return conversation.answer(self.pipeline, requests, self.sample_rate)

    def _request(self, body: Body) -> ReplyRequest:
        return chat_reply_request(parse_chat(json.dumps(body).encode(), self.context), self.context)


def _transfer_rows(platform: Platform) -> Iterator[Row]:
    """Of all messages so far, alone and in company."""
    bound = Bound("at most", 1e3 * _MESSAGE_SECONDS)
    for (stage, way), seconds in sorted(platform.transfer_seconds().items()):
        yield _row(f"a message on its way {'to' if way == 'in' else 'from'} {stage}", 1e3 * seconds, "ms", bound)


def _first_audio(replies: Sequence[Heard]) -> list[float]:
    return [heard.first_audio for heard in replies if heard.first_audio is not None]


def _row(name: str, value: float, unit: str, bound: Bound | None = None) -> Row:
    return Row(name=name, value=value, unit=unit, bound=bound)


def default_bundle(directory: Path) -> str:
    """An untrained bundle as large as the demo's, with the voice of this package: what it says is noise, what that
    costs is not."""
    if not directory.exists():
        create_bundle(SIZES["tiny"].models, ["What would you do now?"], SLT, directory)
    return str(directory)
