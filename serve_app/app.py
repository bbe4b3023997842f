"""Builds the Serve application: the stages of a family, and the gateway that joins them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import partial
from typing import Any, Protocol

from pydantic import TypeAdapter
from ray import serve

from opens2s_core.inference.engine import Engine
from opens2s_core.inference.family import StageSpec
from serve_app.config import GatewayConfig, ServeConfig, StageConfig
from serve_app.gateway.gateway import Gateway
from serve_app.stages.building import build_stage_engine
from serve_app.stages.stage import Stage

GATEWAY = "ingress"
"""The name of the gateway's deployment: Serve's word for the one that speaks HTTP."""
_GATEWAY_ONGOING = 1024
_METRICS_INTERVAL = 1.0
_LOOK_BACK = 3.0  # seconds: decisions follow a mean over them, so replicas lag a ramp by as much


class EngineBuilder(Protocol):
    """Makes a stage's engine inside its replica."""

    def __call__(self, stage: str, bundle: str, config: StageConfig) -> Engine: ...


def serve_app(args: dict[str, Any]) -> serve.Application:
    """The application of a file for ``serve deploy``, whose ``args`` are fields of :class:`ServeConfig`.

    Raises ``ValueError`` naming every key that is unknown and every value that does not fit.
    """
    if unknown := sorted(_unknown_keys(args, ServeConfig)):
        raise ValueError(f"args: unknown {', '.join(unknown)}")
    return build_app(TypeAdapter(ServeConfig).validate_json(json.dumps(args), strict=True))


def build_app(config: ServeConfig, engines: EngineBuilder = build_stage_engine) -> serve.Application:
    """The application that serves ``config``."""
    stages = []
    for spec in config.model_family.stages:
        stage = config.stages[spec.name]
        deployment = serve.deployment(**deployment_options(spec, config))(Stage)
        replica = stage.replica()
        stages.append(deployment.bind(spec, partial(engines, spec.name, config.bundle, replica), replica))
    gateway = serve.deployment(**gateway_options(config))(Gateway)
    return gateway.bind(_gateway_args(config), *stages)


def deployment_options(spec: StageSpec, config: ServeConfig) -> dict[str, Any]:
    """All that Serve itself needs to know of a stage. Its requests wait in the gateway, in order, not in Serve."""
    stage = config.stages[spec.name]
    return {
        "name": spec.name,
        "max_ongoing_requests": stage.capacity,
        "autoscaling_config": _autoscaling(stage),
        "ray_actor_options": {"num_cpus": stage.cpus, "num_gpus": stage.gpus},
        **_health_and_end(config, stage.health_period_seconds, stage.health_timeout_seconds),
    }


def gateway_options(config: ServeConfig) -> dict[str, Any]:
    """All that Serve itself needs to know of the gateway."""
    return {
        "name": GATEWAY,
        "num_replicas": config.gateway.replicas,
        "max_ongoing_requests": _GATEWAY_ONGOING,
        "user_config": {"running": config.running, "waiting": config.gateway.queue},
        "ray_actor_options": {"num_cpus": config.gateway.cpus},
        **_health_and_end(config),
    }


def _gateway_args(config: ServeConfig) -> ServeConfig:
    """The gateway's constructor argument. Fields of stages that Serve changes in place, and ``queue``, are reset, so
    that a change of them restarts no gateway."""
    stages = {name: stage.replica() for name, stage in config.stages.items()}
    return replace(config, stages=stages, gateway=replace(config.gateway, queue=GatewayConfig().queue))


def _autoscaling(stage: StageConfig) -> dict[str, Any]:
    scaling = {
        "min_replicas": stage.min_replicas,
        "max_replicas": stage.max_replicas,
        "target_ongoing_requests": stage.target * stage.capacity,
        "upscale_delay_s": stage.upscale_delay,
        "downscale_delay_s": stage.downscale_delay,
        "downscale_to_zero_delay_s": stage.downscale_delay,
        "metrics_interval_s": _METRICS_INTERVAL,
        "look_back_period_s": _LOOK_BACK,
    }
    if stage.headroom_seconds is None:
        return scaling
    policy = {
        "policy_function": "serve_app.stages.autoscaling:PlaybackHeadroomPolicy",
        "policy_kwargs": {"headroom": stage.headroom_seconds},
    }
    return scaling | {"policy": policy}


def _health_and_end(config: ServeConfig, period: float = 1.0, timeout: float = 5.0) -> dict[str, Any]:
    return {
        "health_check_period_s": period,
        "health_check_timeout_s": timeout,
        "graceful_shutdown_timeout_s": config.drain_seconds,
        "graceful_shutdown_wait_loop_s": 0.5,
    }


def _unknown_keys(args: Mapping[str, Any], kind: Any) -> Iterator[str]:
    known = {field.name: field.type for field in fields(kind)}
    for key, value in args.items():
        if key not in known:
            yield key
        elif key == "stages" and isinstance(value, Mapping):
            for stage, options in value.items():
                if isinstance(options, Mapping):
                    yield from (f"{key}.{stage}.{inner}" for inner in _unknown_keys(options, StageConfig))
        elif is_dataclass(known[key]) and isinstance(value, Mapping):
            yield from (f"{key}.{inner}" for inner in _unknown_keys(value, known[key]))
