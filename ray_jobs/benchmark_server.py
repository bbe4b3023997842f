"""Serves a checkout of this project for ``python -m ray_jobs.benchmark serve``, on a Ray of its own.

It is run as a file with another checkout's packages on ``PYTHONPATH``, and so uses only what all of them have. Its only
argument is a JSON object, see :func:`main`. It prints ``ready``, then answers each line of its input with one of JSON:
``replicas`` and ``state``. It ends with its input.
"""

import dataclasses
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

import ray
from ray import serve

APP_NAME = "benchmark"


def main() -> None:
    """``bundle``, or ``greedy_bundle`` where it is understood, ``recipe`` and ``port`` say what is served; ``stages``
    are fields of each stage's configuration to change. With ``bare`` a replica that imports torch is served alone."""
    settings = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Ray prints is no answer
    app = _bare() if settings["bare"] else _app(settings)
    ray.init(address="local", log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": settings["port"]})
    serve.run(app, name=APP_NAME, route_prefix="/")
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        answer = _replicas() if line.strip() == "replicas" else _state()
        print(json.dumps(answer), file=answers, flush=True)
    serve.shutdown()
    ray.shutdown()


def _app(settings: dict[str, Any]) -> serve.Application:
    from opens2s_core.checkpoint.bundle import BundleInfo
    from ray_jobs.serve_recipes import RECIPES
    from serve_app.app import build_app
    from serve_app.ray_settings import prefer_ray_settings

    prefer_ray_settings()
    # Checkouts that know no temperature of units take the likeliest anyway, and would refuse the bundle that says so.
    sampled = any(field.name == "units_temperature" for field in dataclasses.fields(BundleInfo))
    config = RECIPES[settings["recipe"]](settings["greedy_bundle" if sampled else "bundle"])
    stages = getattr(config, "stages", None)
    if stages is None:  # checkouts before stages were a mapping
        stages = {name: getattr(config, name) for name in ("thinker", "speech_decoder", "token2wav")}
        changed: dict[str, Any] = _changed(stages, settings["stages"])
    else:
        changed = {"stages": _changed(stages, settings["stages"])}
    return build_app(dataclasses.replace(config, port=settings["port"], **changed))


def _changed(stages: Any, fields: dict[str, Any]) -> dict[str, Any]:
    return {name: dataclasses.replace(stage, **fields) for name, stage in stages.items()}


def _bare() -> serve.Application:
    @serve.deployment(name="bare", health_check_period_s=1.0, health_check_timeout_s=5.0)
    class Bare:
        def __init__(self) -> None:
            import torch

            torch.zeros(1)

        async def __call__(self, _: Any) -> str:
            return "ok"

    app: serve.Application = Bare.bind()  # type: ignore[attr-defined]
    return app


def _stages() -> list[str]:
    deployments = serve.status().applications[APP_NAME].deployments
    return [name for name in deployments if name != "ingress"]


def _replicas() -> dict[str, int]:
    """How many of each stage run."""
    deployments = serve.status().applications[APP_NAME].deployments
    return {name: _running(deployments[name].replica_states) for name in _stages()}


def _running(states: Mapping[Any, int]) -> int:
    return sum(number for state, number in states.items() if state == "RUNNING")


def _state() -> dict[str, dict[str, int]]:
    """What each stage holds, in all its replicas together."""
    return {name: _held(serve.get_deployment_handle(name, APP_NAME).broadcast("state").results()) for name in _stages()}


def _held(replicas: list[Any]) -> dict[str, int]:
    """The sums of a state's fields over the replicas."""
    total: dict[str, int] = {}
    for replica in map(dataclasses.asdict, replicas):
        total |= {name: total.get(name, 0) + number for name, number in replica.items()}
    return total


if __name__ == "__main__":
    main()
