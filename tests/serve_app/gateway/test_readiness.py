"""Which stages would not work on a request, by what Serve and the stages say."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from serve_app.gateway import readiness
from serve_app.gateway.readiness import missing_stages
from serve_app.stages.client import StageClient


class FakeClient:
    def __init__(self, answer: bool) -> None:
        self._answer = answer

    async def answers(self) -> bool:
        return self._answer


def missing(monkeypatch: pytest.MonkeyPatch, **stages: tuple[bool, int, str]) -> list[str]:
    """For stages that answer or do not, with so many replicas and in such a state, by Serve."""
    deployments = {
        name: SimpleNamespace(replica_states={"RUNNING": replicas} if replicas else {}, status=status)
        for name, (_, replicas, status) in stages.items()
    }
    status = SimpleNamespace(applications={"app": SimpleNamespace(deployments=deployments)})
    monkeypatch.setattr(readiness.serve, "status", lambda: status)
    clients: Any = {name: FakeClient(answer) for name, (answer, _, _) in stages.items()}
    return asyncio.run(missing_stages("app", cast(dict[str, StageClient], clients)))


def test_a_stage_that_answers_is_not_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing(monkeypatch, thinker=(True, 1, "HEALTHY"), token2wav=(True, 2, "UPSCALING")) == []


def test_a_stage_that_does_not_answer_is_missing_whatever_serve_says_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stages = {
        "thinker": (False, 1, "HEALTHY"),
        "speech_decoder": (True, 1, "HEALTHY"),
        "token2wav": (False, 0, "UPDATING"),
    }
    assert missing(monkeypatch, **stages) == ["thinker", "token2wav"]


def test_a_stage_that_is_scaled_to_zero_is_not_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing(monkeypatch, thinker=(False, 0, "HEALTHY")) == []
