"""A deployment as files: for ``serve deploy``, and for KubeRay on Kubernetes."""

import json
import math
from dataclasses import asdict, replace
from typing import Any

import yaml

from serve_app.app import deployment_options, gateway_options
from serve_app.config import STAGE_IN_PLACE, ServeConfig, StageConfig
from serve_app.ray_settings import RAY_SETTINGS

RAY = "2.60.0"

SERVE_NOTE = """\
# For `serve deploy FILE`, on a Ray whose nodes have this package. Counts, delays and queues under `deployments` may be
# changed here and deployed again while replies run. If you change `max_replicas` of a stage, adapt `running` (requests
# at once in each gateway) in `user_config` of the ingress too. All replicas restart when `args` or a policy change.
# `target_ongoing_requests` is a share of the capacity.
"""
KUBERAY_NOTE = f"""\
# For `kubectl apply -f FILE`, where KubeRay 1.5 or newer is installed; what it starts is reached at the service
# opens2s-serve-svc. Change these first:
#   - image: Ray {RAY} and this package, as this Dockerfile makes them in a checkout:
#       FROM rayproject/ray:{RAY}-py311-gpu
#       COPY --chown=ray . /home/ray/opens2s
#       RUN pip install -e "/home/ray/opens2s[all]"
#   - bundle: where every pod finds it; a URL, unless a volume is mounted;
#   - memory, and minReplicas and maxReplicas of the workers: they are what costs money.
# API keys: kubectl create secret generic opens2s-api-keys --from-literal=keys=KEY,KEY
# Pods wait for this secret. For access without keys, remove the lines about OPENS2S_API_KEYS.
# A change of serveConfigV2 is applied to the running pods; a change of the pods themselves starts a second cluster,
# then ends the first.
"""

_HEAD_PORTS = {"gcs-server": 6379, "dashboard": 8265, "client": 10001}
_HEAD_CPUS = 2
_MEMORY = {"head": "8Gi", "worker": "32Gi"}  # a checkpoint passes through the main memory of the process that loads it

_IN_PLACE = (
    "num_replicas",
    "autoscaling_config",
    "user_config",
    "health_check_period_s",
    "health_check_timeout_s",
    "graceful_shutdown_timeout_s",
    "graceful_shutdown_wait_loop_s",
)
"""The options that Serve changes while replicas run; the others follow from the arguments."""


def serve_manifest(config: ServeConfig) -> dict[str, Any]:
    """What ``serve deploy`` takes.

    Serve starts all replicas anew when ``args`` or a policy change, and none when another option of a deployment does:
    so each stands in the one place or in the other.
    """
    stages = [deployment_options(spec, config) for spec in config.model_family.stages]
    # With "auto" the policy is imported where the application is built; without, in the controller, which lacks it.
    deployments = [gateway_options(config), *(stage | {"num_replicas": "auto"} for stage in stages)]
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": config.host, "port": config.port},
        "applications": [
            {
                "name": "opens2s",
                "route_prefix": "/",
                "import_path": "serve_app.app:serve_app",
                "args": _args(config),
                "deployments": [
                    {name: options[name] for name in ("name", *_IN_PLACE) if name in options} for options in deployments
                ],
            }
        ],
    }


def ray_service(config: ServeConfig, image: str) -> dict[str, Any]:
    """A RayService for KubeRay, whose pods run ``image``: Ray and this package. Nodes come and go with the replicas.

    A stage that takes whole GPUs has workers of its own, each for one replica; on the others there is room for one
    replica of each of the other stages, and for the gateway.
    """
    # Of the gateway there are as many replicas on one worker as there are at all.
    gateway = StageConfig(cpus=config.gateway.cpus * config.gateway.replicas)
    groups = {"shared": [gateway]}
    for name, stage in config.stages.items():
        groups.setdefault(name.replace("_", "-") if stage.gpus >= 1 else "shared", []).append(stage)
    head = {
        "rayStartParams": {"num-cpus": "0", "dashboard-host": "0.0.0.0"},  # no replica is placed on it
        "template": _pod("head", config, image, cpus=_HEAD_CPUS, gpus=0),
    }
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": "opens2s"},
        "spec": {
            "serveConfigV2": to_yaml(serve_manifest(replace(config, host="0.0.0.0"))),
            "rayClusterDeletionDelaySeconds": math.ceil(config.drain_seconds),
            "rayClusterConfig": {
                "rayVersion": RAY,
                "enableInTreeAutoscaling": True,
                "headGroupSpec": head,
                "workerGroupSpecs": [_workers(name, stages, config, image) for name, stages in groups.items()],
            },
        },
    }


def to_yaml(manifest: dict[str, Any]) -> str:
    """As it was written, text of several lines as such."""
    return yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, width=120)


def _args(config: ServeConfig) -> dict[str, Any]:
    args = asdict(config)
    for stage in args["stages"].values():
        for field in STAGE_IN_PLACE:
            del stage[field]
    for field in ("replicas", "queue"):
        del args["gateway"][field]
    del args["drain_seconds"]
    return json.loads(json.dumps(args))  # plain data


def _workers(name: str, stages: list[StageConfig], config: ServeConfig, image: str) -> dict[str, Any]:
    cpus = math.ceil(sum(stage.cpus for stage in stages))
    gpus = math.ceil(sum(stage.gpus for stage in stages))
    least = max(stage.min_replicas for stage in stages)
    return {
        "groupName": name,
        "replicas": least,
        "minReplicas": least,
        "maxReplicas": max(stage.max_replicas for stage in stages),
        "rayStartParams": {},
        "template": _pod("worker", config, image, cpus=cpus, gpus=gpus),
    }


def _pod(role: str, config: ServeConfig, image: str, *, cpus: int, gpus: int) -> dict[str, Any]:
    drain = math.ceil(config.drain_seconds)
    resources: dict[str, Any] = {"cpu": str(cpus), "memory": _MEMORY[role]}
    if gpus:
        resources["nvidia.com/gpu"] = str(gpus)
    secret = {"name": "opens2s-api-keys", "key": "keys", "optional": False}
    ports = {**(_HEAD_PORTS if role == "head" else {}), "serve": config.port}
    container = {
        "name": f"ray-{role}",
        "image": image,
        "env": [
            {"name": "OPENS2S_API_KEYS", "valueFrom": {"secretKeyRef": secret}},
            *({"name": name, "value": value} for name, value in RAY_SETTINGS.items()),
        ],
        "ports": [{"name": name, "containerPort": port} for name, port in ports.items()],
        "resources": {"limits": resources, "requests": resources},
        # Ray ends on its first signal. Until then no new client comes here, and those that are here are served.
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(drain)]}}},
    }
    return {"spec": {"terminationGracePeriodSeconds": drain + 30, "containers": [container]}}


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as a block, and everything in full where it stands."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
