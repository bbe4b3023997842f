"""The size at which the tests serve the platform."""

from pathlib import Path

from serve_app.config import GatewayConfig, Limits, ServeConfig, StageConfig

CAPACITY = 4


def serve_config(bundle: Path) -> ServeConfig:
    """Small enough, in logical CPUs, to leave the one local Ray of the tests free for data and training."""
    stage = StageConfig(capacity=CAPACITY, cpus=0.1, health_period_seconds=0.5, health_timeout_seconds=2.0)
    return ServeConfig(
        bundle=str(bundle),
        stages={"thinker": stage, "speech_decoder": stage, "token2wav": stage},
        gateway=GatewayConfig(cpus=0.1, queue=2 * CAPACITY),
        limits=Limits(max_audio_seconds=20.0, max_body_bytes=2 * 2**20),
    )
