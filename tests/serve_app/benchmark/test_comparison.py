"""Rows of two servers, and the requests that they get."""

import base64
import json

import numpy as np
import pytest

from opens2s_core.audio import SAMPLE_RATE, decode_audio
from opens2s_core.benchmark.report import Baseline, Bound
from serve_app.benchmark.comparison import measured_row, milliseconds, single_row
from serve_app.benchmark.workload import Workload


def test_a_measured_row_has_both_medians_and_the_middle_halves() -> None:
    row = measured_row("latency", "ms", [[1, 2, 3, 4, 100], [2, 4, 6, 8, 10]], better="lower")
    assert (row.value, row.spread) == (3, (2, 4))
    assert row.baseline == Baseline(6, (4, 8))
    assert row.ratio == 0.5


def test_a_row_without_another_checkout_has_no_baseline() -> None:
    assert measured_row("latency", "ms", [[1.0]], better="lower").baseline is None
    assert single_row("lost", "replies", [0], better="lower", bound=Bound("at most", 0)).holds


def test_nothing_measured_is_no_number() -> None:
    row = measured_row("latency", "ms", [[], [1.0]], better="lower")
    assert row.value is None
    assert row.worse
    assert milliseconds([0.5, None]) == [500]


def test_requests_differ_and_ask_the_question() -> None:
    question = np.linspace(-0.5, 0.5, 1600, dtype=np.float32)
    first, second = Workload("model", [question]).take(2)
    assert first != second
    request = json.loads(first)
    assert "max_completion_tokens" not in request
    wav = base64.b64decode(request["messages"][0]["content"][0]["input_audio"]["data"])
    samples, rate = decode_audio(wav)
    assert rate == SAMPLE_RATE
    assert np.asarray(samples).ravel() == pytest.approx(question, abs=1e-3)


def test_noise_is_asked_where_there_is_no_dialogue() -> None:
    [body] = Workload("model").take(1)
    assert json.loads(body)["max_completion_tokens"] == 4
