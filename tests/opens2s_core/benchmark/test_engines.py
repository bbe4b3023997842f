"""All rows are measured. Their values are not checked, as they need an idle machine."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

pytest.importorskip("jiwer")
pytest.importorskip("parselmouth")

from opens2s_core.benchmark import conversation, language_engines, token2wav_engine
from opens2s_core.benchmark.engine_models import SIZES, EngineModels, create_models
from opens2s_core.benchmark.engines import EngineBenchmark
from opens2s_core.benchmark.report import Bound, Measurement
from opens2s_core.benchmark.stream_quality import quality_rows
from opens2s_core.benchmark.timing import alternate
from opens2s_core.inference.thinker import ThinkerEngine
from opens2s_core.models.flow import Flow
from opens2s_core.models.vocoder import Vocoder
from tests.conftest import CODES, TOKEN2WAV_CONFIG

TOKENS, UNITS = 8, 24


@pytest.fixture(scope="module")
def models() -> EngineModels:
    size = SIZES["tiny"]
    one_layer = replace(size.models.llm, layers=1)
    small = replace(size.models, llm=one_layer, speech_decoder=one_layer)
    models = create_models(replace(size, models=small, units=CODES), device="cpu", dtype=torch.float32)
    flow, vocoder = Flow(TOKEN2WAV_CONFIG.flow), Vocoder(TOKEN2WAV_CONFIG.hift)
    return replace(models, flow=flow.eval(), vocoder=vocoder.eval())


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (language_engines, conversation):
        monkeypatch.setattr(module, "_TOKENS", TOKENS)
        monkeypatch.setattr(module, "_UNITS", UNITS)
    monkeypatch.setattr(token2wav_engine, "_REFERENCE_UNITS", 30)
    monkeypatch.setattr(token2wav_engine, "_SPOKEN_SECONDS", 1.0)
    monkeypatch.setattr(token2wav_engine, "_LATE", 12)


def assert_measured(rows: list[Measurement], *bounds: tuple[str, Bound]) -> None:
    assert all(row.value is not None and math.isfinite(row.value) and row.value >= 0 for row in rows), rows
    promised = {row.name: row.bound for row in rows if row.bound is not None}
    assert promised == dict(bounds)


def test_language_models_are_compared_with_plain_loops(models: EngineModels) -> None:
    assert_measured(
        language_engines.language_rows(models, 1),
        ("thinker, ratio of time per token, 1 stream to a plain loop with a KV cache", Bound("at most", 1.1)),
        ("thinker, ratio of throughput, 8 streams to 1", Bound("at least", 4)),
        ("speech decoder, ratio of throughput, 8 streams to 1", Bound("at least", 4)),
        ("LLM and speech decoder, ratio of throughput, engines to generate()", Bound("at least", 1.3)),
    )


def test_engines_and_generate_return_the_same_tokens(models: EngineModels, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their times are comparable only if the tokens are equal."""
    thinker, decoder = language_engines.build_engines(models, 1)
    by_engines: list[int] = []
    by_calls: list[int] = []
    append, generate = ThinkerEngine._append_token, language_engines._generate

    def remember_appended(engine: ThinkerEngine, stream: Any, token: int, hidden: Any) -> None:
        by_engines.append(token)
        append(engine, stream, token, hidden)

    def remember_generated(lm: Any, *inputs: Any) -> Any:
        ids, hidden_states = generate(lm, *inputs)
        if lm is thinker.model.llm_model:
            by_calls.extend(ids[0].tolist())
        return ids, hidden_states

    monkeypatch.setattr(ThinkerEngine, "_append_token", remember_appended)
    monkeypatch.setattr(language_engines, "_generate", remember_generated)
    language_engines._time_engines(thinker, decoder)
    language_engines._time_generate(thinker, decoder)
    assert len(by_calls) == TOKENS
    assert by_engines == by_calls


def test_token2wav_is_measured_over_its_length_and_for_many(models: EngineModels) -> None:
    assert_measured(
        token2wav_engine.token2wav_rows(models.flow, models.vocoder, 1),
        ("token2wav, units needed for the first audio", Bound("at most", 8)),
        ("token2wav, ratio of time per chunk, after 12 s to after 10 s of speech", Bound("at most", 1.05)),
    )


def test_token2wav_is_compared_with_the_published_streaming(models: EngineModels) -> None:
    rows = token2wav_engine.reference_rows(models.flow, models.vocoder, 1)
    assert_measured(rows, ("token2wav, ratio of time, reference to bounded mode", Bound("at least", 3)))


def test_replies_are_measured_alone_concurrently_and_late_in_a_conversation(models: EngineModels) -> None:
    goals = conversation.Goals(first_audio={2: Bound("at most", 400)}, real_time_factor={1: Bound("at most", 0.7)})
    assert_measured(
        conversation.conversation_rows("tiny", models, (1, 2), goals, 1),
        ("tiny model, 1 concurrent reply: real-time factor, median", Bound("at most", 0.7)),
        ("tiny model, 2 concurrent replies: time to first audio, median", Bound("at most", 400)),
        ("tiny model: ratio of time to first audio, turn 10 to turn 1", Bound("at most", 1.3)),
    )


class NothingRecognised:
    """A recogniser without a result."""

    name = "none"

    def transcribe(self, waveforms: Sequence[NDArray[np.float32]]) -> list[str]:
        return [""] * len(waveforms)


def test_streamed_speech_is_compared_with_one_shot_speech() -> None:
    rows = quality_rows(NothingRecognised(), 2)
    assert_measured(
        rows,
        ("word error rate, added by chunks", Bound("at most", 2)),
        ("mel distance, ratio of chunked to one-shot with another seed", Bound("at most", 1.5)),
        ("chunk borders with a spectral flux above the 99th percentile elsewhere", Bound("at most", 4)),
        ("spectral flux at chunk borders, ratio of chunked to one-shot", Bound("at most", 1.1)),
    )
    assert {row.name: row.value for row in rows}["word error rate, one-shot"] == 100


def test_runs_alternate_and_the_first_round_is_ignored() -> None:
    calls: list[str] = []

    def run(name: str) -> float:
        calls.append(name)
        return float(len(calls))

    medians = alternate({name: partial(run, name) for name in "ab"}, 3, "test")
    assert calls == list("abababab")
    assert medians == {"a": 5, "b": 6}


@pytest.mark.parametrize("name", ["threads", "repeats", "sentences"])
def test_invalid_settings_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        EngineBenchmark(**{name: 0})
