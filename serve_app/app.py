"""Builds the Serve application: three stages joined by handles, and the HTTP ingress before them."""

from functools import partial
from typing import Protocol

from ray import serve
from ray.serve.handle import DeploymentHandle

from opens2s_core.inference.engine import Engine
from opens2s_core.inference.loading import build_engine
from serve_app.config import ServeConfig, StageConfig, StageName
from serve_app.ingress import Ingress
from serve_app.stages import Stage

_INGRESS_ONGOING = 1024
_DRAIN_SECONDS = 30.0


class EngineBuilder(Protocol):
    """Makes a stage's engine inside its replica."""

    def __call__(self, stage: StageName, bundle: str, *, capacity: int) -> Engine: ...


def build_app(config: ServeConfig, engines: EngineBuilder = build_engine) -> serve.Application:
    """The application that serves ``config``: token2wav pulls from the speech decoder, which pulls from the thinker."""
    thinker = _stage("thinker", config, config.thinker, None, engines)
    speech_decoder = _stage("speech_decoder", config, config.speech_decoder, thinker, engines)
    token2wav = _stage("token2wav", config, config.token2wav, speech_decoder, engines)
    ingress = serve.deployment(
        name="ingress",
        max_ongoing_requests=_INGRESS_ONGOING,
        graceful_shutdown_timeout_s=_DRAIN_SECONDS,
        ray_actor_options={"num_cpus": config.ingress_cpus},
    )(Ingress)
    return ingress.bind(config, thinker, token2wav)


def _stage(
    name: StageName,
    config: ServeConfig,
    size: StageConfig,
    upstream: serve.Application | DeploymentHandle | None,
    engines: EngineBuilder,
) -> serve.Application:
    deployment = serve.deployment(
        name=name,
        # Every reply holds a slot in each stage for as long as it lasts. Serve counts a burst as waiting until it is
        # assigned, so room for twice the capacity lets as many in at once as can be served or wait.
        max_ongoing_requests=size.capacity,
        max_queued_requests=2 * size.capacity,
        autoscaling_config={
            "min_replicas": size.min_replicas,
            "max_replicas": size.max_replicas,
            "target_ongoing_requests": max(1.0, 0.75 * size.capacity),
            "upscale_delay_s": 2.0,
            "downscale_delay_s": 60.0,
            "metrics_interval_s": 1.0,
        },
        health_check_period_s=1.0,
        graceful_shutdown_timeout_s=_DRAIN_SECONDS,
        ray_actor_options={"num_cpus": size.cpus, "num_gpus": size.gpus},
    )(Stage)
    build = partial(engines, name, config.bundle, capacity=size.capacity)
    return deployment.bind(name, build, upstream, max(1, int(size.cpus)))
