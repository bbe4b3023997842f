"""The deployment that speaks HTTP and reaches the stages through their handles."""

import asyncio
import sys
from collections.abc import Iterable

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle

from opens2s_core.checkpoint.bundle import read_bundle_info
from opens2s_core.checkpoint.voices import load_voices
from opens2s_core.storage import SETTINGS, fetch_directory
from serve_app.api.context import DEFAULT_VOICE, ApiContext
from serve_app.config import ServeConfig
from serve_app.gateway.admission import Admission, ClientKey
from serve_app.gateway.attempt import Stages
from serve_app.gateway.limits import fitting_limits
from serve_app.gateway.pacing import Pacer
from serve_app.gateway.readiness import missing_stages
from serve_app.gateway.routes import create_api
from serve_app.gateway.transcripts import Transcripts
from serve_app.observability.metrics import GatewayMetrics
from serve_app.stages.client import StageClient
from serve_app.stages.transport import quiet_grpc


@serve.ingress()
class Gateway:
    """Serves :func:`create_api`. How many requests may run and wait is its ``user_config``."""

    async def __init__(self, config: ServeConfig, *handles: DeploymentHandle) -> None:  # type: ignore[misc]
        quiet_grpc(asyncio.get_running_loop())
        self._config = config
        self._bundle = fetch_directory(config.bundle, *SETTINGS)
        self._info = read_bundle_info(self._bundle)
        self.metrics = GatewayMetrics()
        self.admission = Admission(config.running, config.gateway.queue, config.access.replies_per_key)
        self.draining = False
        self._transcripts = Transcripts()
        family = config.model_family
        self._clients = {
            name: StageClient(
                name,
                handle,
                silence_seconds=config.gateway.silence_seconds,
                stall_seconds=config.stages[name].stall_seconds,
                transferred=self.metrics.transfers.observe,
            )
            for name, handle in zip(family.names, handles, strict=True)
        }
        self.stages = Stages(family=family, clients=self._clients, pacer=Pacer(config.pacing))
        if config.gateway.switch_seconds is not None:
            sys.setswitchinterval(config.gateway.switch_seconds)

    def __serve_build_asgi_app__(self) -> FastAPI:
        context = ApiContext(
            model=self._config.model,
            limits=fitting_limits(self._config, self._info),
            units_per_token=self._info.units_per_token,
            units_temperature=self._info.units_temperature,
            writes_tools=self._info.writes_tools,
            transcription_prompt=self._info.transcription_prompt,
            voices={DEFAULT_VOICE: None, **load_voices(self._bundle)},
        )
        return create_api(self._config, self._info, context, self)

    def reconfigure(self, sizes: dict[str, int]) -> None:
        """``running`` and ``waiting`` requests of :class:`Admission`."""
        self.admission.resize(sizes["running"], sizes["waiting"])

    async def drain(self) -> int:
        """Accept no more requests; returns how many are under way."""
        self.draining = True
        return self.metrics.under_way

    async def missing(self) -> list[str]:
        return await missing_stages(serve.get_replica_context().app_name, self._clients)

    def keep_transcript(self, audio_id: str, client: ClientKey, text: str) -> None:
        self._transcripts.put(audio_id, client, text)

    async def own_transcripts(self, audio_ids: list[str], client: ClientKey) -> dict[str, str]:
        """What this replica knows."""
        return self._transcripts.find(audio_ids, client)

    async def transcripts(self, audio_ids: Iterable[str], client: ClientKey) -> dict[str, str]:
        """What any replica of the gateway knows."""
        known = self._transcripts.find(audio_ids, client)
        unknown = [audio_id for audio_id in audio_ids if audio_id not in known]
        if unknown and self._config.gateway.replicas > 1:
            context = serve.get_replica_context()
            peers = serve.get_deployment_handle(context.deployment, context.app_name)
            for found in await asyncio.to_thread(_ask_all, peers, unknown, client):
                known |= found
        return known


def _ask_all(peers: DeploymentHandle, audio_ids: list[str], client: ClientKey) -> list[dict[str, str]]:
    return peers.broadcast("own_transcripts", audio_ids, client).results(timeout_s=5)
