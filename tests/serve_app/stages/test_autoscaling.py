"""Replicas follow how much audio listeners have left, through the same steps that Serve's controller takes."""

import json
import sys
import time
from typing import Any

import pytest
from ray import cloudpickle
from ray.serve._private.autoscaling_state import _resolve_policy_callable
from ray.serve._private.common import DeploymentID, ReplicaID, TimeStampedValue
from ray.serve.autoscaling_policy import _apply_autoscaling_config
from ray.serve.config import AutoscalingConfig, AutoscalingContext

from opens2s_core.inference.family import OPENS2S
from serve_app.app import deployment_options
from serve_app.config import ServeConfig, StageConfig

HEADROOM = 0.5
STAGE = StageConfig(
    capacity=4, min_replicas=0, max_replicas=5, upscale_delay=2, downscale_delay=10, headroom_seconds=HEADROOM
)
*_, TOKEN2WAV = OPENS2S.stages
DEPLOYMENT = DeploymentID(name="token2wav", app_name="opens2s")


def autoscaling_config(stage: StageConfig) -> dict[str, Any]:
    config = ServeConfig(bundle="unused", stages={"token2wav": stage})
    return deployment_options(TOKEN2WAV, config)["autoscaling_config"]


class Controller:
    """The part of Serve's controller that decides, and a clock."""

    def __init__(self, stage: StageConfig = STAGE, replicas: int = 1) -> None:
        options = deployment_options(TOKEN2WAV, ServeConfig(bundle="unused", stages={"token2wav": stage}))[
            "autoscaling_config"
        ]
        self._config = AutoscalingConfig(**json.loads(json.dumps(options)))
        self._policy = _apply_autoscaling_config(_resolve_policy_callable(self._config.policy))
        self._state: dict[str, Any] = {}
        self._now = 1000.0
        self.running = self.target = replicas

    def decide(self, *headrooms: float | list[float], replies: float = 1) -> int:
        """The number of replicas wanted now, where each running one recorded such a headroom, or such ones in turn."""
        ids = [ReplicaID(f"r{i}", DEPLOYMENT) for i in range(self.running)]
        series = [headroom if isinstance(headroom, list) else [headroom] for headroom in headrooms]
        recorded = [
            [TimeStampedValue(self._now - len(values) + i, value) for i, value in enumerate(values)]
            for values in series
        ]
        context = AutoscalingContext(
            deployment_id=DEPLOYMENT,
            deployment_name=DEPLOYMENT.name,
            app_name=DEPLOYMENT.app_name,
            current_num_replicas=self.running,
            target_num_replicas=self.target,
            running_replicas=ids,
            total_num_requests=replies,
            total_queued_requests=0.0,
            aggregated_metrics={},
            raw_metrics={"headroom": dict(zip(ids, recorded, strict=False))} if headrooms else {},
            capacity_adjusted_min_replicas=self._config.min_replicas,
            capacity_adjusted_max_replicas=self._config.max_replicas,
            policy_state=self._state,
            last_scale_up_time=None,
            last_scale_down_time=None,
            current_time=self._now,
            config=self._config,
        )
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(time, "time", lambda: self._now)
            wanted, self._state = self._policy(context)
        return wanted

    def after(self, seconds: float, *headrooms: float | list[float], replies: float = 1) -> int:
        """The number of replicas wanted when it has looked like this for so long."""
        self.decide(*headrooms, replies=replies)
        self._now += seconds
        return self.decide(*headrooms, replies=replies)


def test_a_listener_about_to_run_dry_brings_a_replica_however_few_replies_there_are() -> None:
    assert Controller().after(2, 0.4, replies=1) == 2


def test_the_nearest_to_running_dry_counts_among_all_replicas() -> None:
    controller = Controller(replicas=3)
    assert controller.after(2, 3600.0, 0.4, 20.0, replies=9) == 4


def test_listeners_with_enough_audio_bring_none() -> None:
    assert Controller().after(2, 0.6, replies=1) == 1


def test_short_of_audio_for_a_moment_brings_none() -> None:
    controller = Controller()
    assert controller.after(1.9, 0.4) == 1
    assert controller.after(1.9, 0.6) == 1  # the delay begins anew
    assert controller.after(1.9, 0.4) == 1


def test_the_last_that_a_replica_recorded_counts_not_its_mean() -> None:
    assert Controller().after(2, [9.0, 9.0, 0.1]) == 2
    assert Controller().after(2, [0.1, 0.1, 9.0]) == 1


def test_while_a_replica_starts_no_other_is_wanted() -> None:
    controller = Controller()
    controller.target = 2
    assert controller.after(60, 0.1) == 2
    controller.running = 2
    assert controller.after(2, 0.1, 3600.0) == 3


def test_many_replies_bring_replicas_as_they_do_by_serves_own_policy() -> None:
    by_replies = StageConfig(capacity=4, max_replicas=5, upscale_delay=2)
    for replies in (4, 7, 12):
        assert Controller().after(2, 3600.0, replies=replies) == Controller(by_replies).after(2, replies=replies)
    assert Controller().after(2, 0.1, replies=12) == 4, "and more than headroom alone would bring"


@pytest.mark.parametrize(("headroom", "left"), [(3600.0, 1), (1.1, 1), (0.9, 3), (0.6, 3)])
def test_none_is_removed_while_a_listener_has_little_audio(headroom: float, left: int) -> None:
    assert Controller(replicas=3).after(10, headroom, 3600.0, 3600.0, replies=1) == left


def test_replicas_that_recorded_nothing_yet_are_passed_over() -> None:
    assert Controller(replicas=2).after(2, [], replies=4) == 2
    assert Controller(replicas=2).after(2, replies=4) == 2


def test_an_unused_stage_ends_with_no_replica_and_the_next_reply_brings_one_at_once() -> None:
    controller = Controller()
    assert controller.after(9.9, 3600.0, replies=0) == 1
    assert controller.after(0.1, 3600.0, replies=0) == 0
    controller.running = controller.target = 0
    assert controller.decide(replies=0) == 0
    assert controller.decide(replies=1) == 1


def test_the_controller_need_not_have_this_package(monkeypatch: pytest.MonkeyPatch) -> None:
    config = AutoscalingConfig(**autoscaling_config(STAGE))
    monkeypatch.setitem(sys.modules, "serve_app", None)
    monkeypatch.setitem(sys.modules, "serve_app.stages.autoscaling", None)
    assert cloudpickle.loads(config.policy.get_serialized_policy_def()).__name__ == "PlaybackHeadroomPolicy"
