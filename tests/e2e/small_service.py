"""The size at which the tests serve the platform."""

from pathlib import Path

from serve_app.config import Limits, ServeConfig, StageConfig

CAPACITY = 4


def serve_config(bundle: Path) -> ServeConfig:
    """Small enough, in logical CPUs, to leave the one local Ray of the tests free for data and training."""
    stage = StageConfig(capacity=CAPACITY, queue=2 * CAPACITY, cpus=0.1, max_replicas=1)
    return ServeConfig(
        bundle=str(bundle),
        ingress_cpus=0.1,
        thinker=stage,
        speech_decoder=stage,
        token2wav=stage,
        limits=Limits(max_audio_seconds=20.0, max_body_bytes=2 * 2**20),
    )
