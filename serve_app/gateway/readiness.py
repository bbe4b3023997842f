"""Which stages would not work on a request."""

import asyncio
from collections.abc import Mapping

from ray import serve

from serve_app.stages.client import StageClient


async def missing_stages(app: str, clients: Mapping[str, StageClient]) -> list[str]:
    """Stages of which no replica would work on a request now. One that is scaled to zero is not missing: it starts when
    it is asked."""
    status = await asyncio.to_thread(serve.status)
    deployments = status.applications[app].deployments
    asked = [name for name in clients if not _is_scaled_to_zero(deployments[name])]
    answers = await asyncio.gather(*(clients[name].answers() for name in asked))
    return [name for name, answered in zip(asked, answers, strict=True) if not answered]


def _is_scaled_to_zero(deployment: object) -> bool:
    return not deployment.replica_states and deployment.status == "HEALTHY"  # type: ignore[attr-defined]
