"""Builds the Serve application: three stages, and the HTTP ingress that joins them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import partial
from typing import Any, Protocol

from pydantic import TypeAdapter
from ray import serve

from opens2s_core.inference.engine import Engine
from opens2s_core.inference.loading import build_engine
from serve_app.config import STAGES, ServeConfig, StageConfig, StageName
from serve_app.gateway.gateway import Ingress
from serve_app.stages.stage import Stage

_INGRESS_ONGOING = 1024
_METRICS_INTERVAL = 1.0
_LOOK_BACK = 3.0  # what is decided on is a mean over so many seconds: replicas follow a ramp this much later


class EngineBuilder(Protocol):
    """Makes a stage's engine inside its replica."""

    def __call__(self, stage: StageName, bundle: str, *, capacity: int) -> Engine: ...


def serve_app(args: dict[str, Any]) -> serve.Application:
    """The application of a file for ``serve deploy``, whose ``args`` are fields of :class:`ServeConfig`.

    Raises ``ValueError`` naming every key that is unknown and every value that does not fit.
    """
    if unknown := sorted(_unknown_keys(args, ServeConfig)):
        raise ValueError(f"args: unknown {', '.join(unknown)}")
    return build_app(TypeAdapter(ServeConfig).validate_json(json.dumps(args), strict=True))


def build_app(config: ServeConfig, engines: EngineBuilder = build_engine) -> serve.Application:
    """The application that serves ``config``."""
    stages: dict[StageName, serve.Application] = {}
    for name in STAGES:
        stage: StageConfig = getattr(config, name)
        build = partial(engines, name, config.bundle, capacity=stage.capacity)
        deployment = serve.deployment(**deployment_options(name, stage, config))(Stage)
        stages[name] = deployment.bind(name, build, max(1, int(stage.cpus)))
    # Serve changes the sizes of stages that run, so no replica is told them.
    sizeless = replace(config, thinker=StageConfig(), speech_decoder=StageConfig(), token2wav=StageConfig())
    ingress = serve.deployment(**ingress_options(config))(Ingress)
    return ingress.bind(sizeless, *stages.values())


def deployment_options(name: StageName, stage: StageConfig, config: ServeConfig) -> dict[str, Any]:
    """All that Serve itself is told of a stage."""
    return {
        "name": name,
        "max_ongoing_requests": stage.capacity,
        # Serve counts every reply as waiting until it has a place, so with room for none it would refuse them all.
        "max_queued_requests": max(1, stage.queue),
        "autoscaling_config": _autoscaling(stage),
        "ray_actor_options": {"num_cpus": stage.cpus, "num_gpus": stage.gpus},
        **_health_and_end(config),
    }


def ingress_options(config: ServeConfig) -> dict[str, Any]:
    """All that Serve itself is told of the ingress."""
    return {
        "name": "ingress",
        "num_replicas": config.ingress_replicas,
        "max_ongoing_requests": _INGRESS_ONGOING,
        "ray_actor_options": {"num_cpus": config.ingress_cpus},
        **_health_and_end(config),
    }


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
    if stage.playback_slack is None:
        return scaling
    policy = {
        "policy_function": "serve_app.stages.autoscaling:PlaybackSlackPolicy",
        "policy_kwargs": {"slack": stage.playback_slack},
    }
    return scaling | {"policy": policy}


def _health_and_end(config: ServeConfig) -> dict[str, Any]:
    return {
        "health_check_period_s": 1.0,
        "health_check_timeout_s": 5.0,
        "graceful_shutdown_timeout_s": config.drain_seconds,
        "graceful_shutdown_wait_loop_s": 0.5,
    }


def _unknown_keys(args: Mapping[str, Any], kind: Any) -> Iterator[str]:
    known = {field.name: field.type for field in fields(kind)}
    for key, value in args.items():
        if key not in known:
            yield key
        elif is_dataclass(known[key]) and isinstance(value, Mapping):
            yield from (f"{key}.{inner}" for inner in _unknown_keys(value, known[key]))
