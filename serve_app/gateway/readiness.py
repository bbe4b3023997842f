"""Which stages answer now."""

import asyncio
from collections.abc import Iterable

import ray
from ray import serve
from ray.exceptions import RayError
from ray.util import list_named_actors

from serve_app.config import STAGES

_ANSWER_SECONDS = 2.0


async def missing_stages(app: str) -> list[str]:
    """Stages of which no replica answers. One that is scaled to zero is not missing: it starts when it is asked.

    A full stage answers too: its processes are asked directly, not through its queue.
    """
    status = await asyncio.to_thread(serve.status)
    deployments = status.applications[app].deployments
    names = {actor["name"] for actor in await asyncio.to_thread(list_named_actors, all_namespaces=True)}
    missing: list[str] = []
    for stage in STAGES:
        running = "RUNNING" in deployments[stage].replica_states
        asleep = not deployments[stage].replica_states and deployments[stage].status == "HEALTHY"
        replicas = [name for name in names if name.startswith(f"SERVE_REPLICA::{app}#{stage}#")]
        if not asleep and not (running and await _any_answers(replicas)):
            missing.append(stage)
    return missing


async def _any_answers(replicas: Iterable[str]) -> bool:
    asked = [asyncio.create_task(_answers(replica)) for replica in replicas]
    try:
        for answer in asyncio.as_completed(asked):
            if await answer:
                return True
        return False
    finally:
        for task in asked:
            task.cancel()


async def _answers(replica: str) -> bool:
    try:
        actor = await asyncio.to_thread(ray.get_actor, replica, "serve")
        await asyncio.wait_for(actor.__ray_ready__.remote(), _ANSWER_SECONDS)
    except (ValueError, RayError, TimeoutError):
        return False
    return True
