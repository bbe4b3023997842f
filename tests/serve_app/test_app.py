"""How stages and gateway become deployments of Serve."""

from dataclasses import replace
from typing import Any

import pytest
from ray import serve

from opens2s_core.inference.family import OPENS2S
from serve_app import app
from serve_app.app import build_app, deployment_options, gateway_options, serve_app
from serve_app.config import GatewayConfig, ServeConfig, StageConfig
from tests.fakes import build_fake_engine

STAGES = OPENS2S.names
STAGE = StageConfig(
    capacity=8, min_replicas=0, max_replicas=7, target=0.5, upscale_delay=1.0, downscale_delay=9.0, niceness=3
)
CONFIG = ServeConfig(bundle="bundle", stages=dict.fromkeys(STAGES, STAGE), drain_seconds=12.0)


def test_each_stage_of_the_family_is_a_deployment_behind_the_gateway() -> None:
    gateway = build_app(CONFIG, build_fake_engine)._bound_deployment
    assert gateway.name == "ingress"
    config, *stages = gateway.init_args
    assert [stage._bound_deployment.name for stage in stages] == list(STAGES)
    assert config.bundle == "bundle"
    for spec, stage in zip(OPENS2S.stages, stages, strict=True):
        given, build, replica = stage._bound_deployment.init_args
        assert (given, replica) == (spec, STAGE.replica())
        assert build().capacity == 8


def test_what_serve_changes_while_replicas_run_is_no_argument_of_them() -> None:
    sizes = {"min_replicas": 1, "max_replicas": 2, "target": 0.9, "upscale_delay": 5.0, "health_timeout_seconds": 1.0}
    other = replace(
        CONFIG,
        stages=dict.fromkeys(STAGES, replace(STAGE, **sizes)),  # type: ignore[arg-type]
        gateway=GatewayConfig(queue=3),
    )
    one, two = (build_app(config)._bound_deployment.init_args for config in (CONFIG, other))
    assert one[0] == two[0]
    for stage, same in zip(one[1:], two[1:], strict=True):
        assert stage._bound_deployment.init_args[2] == same._bound_deployment.init_args[2]


def test_a_stage_scales_as_its_configuration_says() -> None:
    options = deployment_options(OPENS2S.stages[0], CONFIG)
    deployment = serve.deployment(**options)(type("Stage", (), {}))
    scaling = deployment._deployment_config.autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas) == (0, 7)
    assert scaling.target_ongoing_requests == 4.0
    assert (scaling.upscale_delay_s, scaling.downscale_delay_s, scaling.downscale_to_zero_delay_s) == (1.0, 9.0, 9.0)
    assert scaling.policy.is_default_policy_function()
    assert deployment.max_ongoing_requests == 8
    assert deployment._deployment_config.graceful_shutdown_timeout_s == 12.0


@pytest.mark.parametrize(
    ("replicas", "capacities", "running"),
    [(1, (8, 8, 8), 56), (2, (8, 8, 8), 28), (1, (8, 2, 8), 14), (20, (1, 1, 1), 1)],
)
def test_a_gateway_lets_as_many_requests_run_as_the_narrowest_stage_has_slots(
    replicas: int, capacities: tuple[int, ...], running: int
) -> None:
    stages = {name: replace(STAGE, capacity=capacity) for name, capacity in zip(STAGES, capacities, strict=True)}
    config = replace(CONFIG, stages=stages, gateway=GatewayConfig(replicas=replicas, queue=5))
    options = gateway_options(config)
    assert options["user_config"] == {"running": running, "waiting": 5}
    assert options["num_replicas"] == replicas
    serve.deployment(**options)(type("Gateway", (), {"reconfigure": lambda self, sizes: None}))


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ({"bundle": "b", "bundel": 1, "stages": {"thinker": {"capcity": 1}}}, "unknown bundel, stages.thinker.capcity"),
        ({"bundle": "b", "limits": {"max_token": 1}, "gateway": {"que": 1}}, "unknown gateway.que, limits.max_token"),
        ({"bundle": "b", "stages": {"thinkr": {}}}, "stages: unknown thinkr, expected thinker"),
        ({}, "bundle"),
        ({"bundle": 3}, "bundle"),
        ({"bundle": "b", "stages": {"thinker": {"capacity": "4"}}}, "stages.thinker.capacity"),
        ({"bundle": "b", "stages": {"thinker": {"capacity": 1.5}}}, "stages.thinker.capacity"),
        ({"bundle": "b", "stages": {"thinker": {"capacity": 0}}}, "expected at least 1 slot, got 0"),
        ({"bundle": "b", "stages": {"thinker": 4}}, "stages.thinker"),
        ({"bundle": "b", "stages": []}, "stages"),
        ({"bundle": "b", "access": {"cors_origins": "https://a"}}, "access.cors_origins"),
        ({"bundle": "b", "log_transcripts": "no"}, "log_transcripts"),
    ],
    ids=str,
)
def test_arguments_that_do_not_fit_are_named(args: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        serve_app(args)


def test_arguments_that_fit_build_their_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[ServeConfig] = []
    monkeypatch.setattr(app, "build_app", built.append)
    serve_app({"bundle": "b", "stages": {"thinker": {"capacity": 2}}, "access": {"cors_origins": ["https://a"]}})
    [config] = built
    assert [config.stages[name].capacity for name in STAGES] == [2, 4, 4]
    assert config.access.cors_origins == ("https://a",)
