"""What a deployment is made of: the checkpoint it serves, the size of each stage, and what a client may ask for."""

from dataclasses import dataclass, field
from typing import Literal

StageName = Literal["thinker", "speech_decoder", "token2wav"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StageConfig:
    """One stage: ``capacity`` replies at once in each replica; ``cpus`` and ``gpus`` are what a replica reserves."""

    capacity: int = 4
    cpus: float = 0.25
    gpus: float = 0.0
    min_replicas: int = 1
    max_replicas: int = 2

    def __post_init__(self) -> None:
        if self.capacity < 1:
            raise ValueError(f"capacity: expected at least 1 reply at once, got {self.capacity}")
        if not 1 <= self.min_replicas <= self.max_replicas:
            bounds = f"min_replicas={self.min_replicas}, max_replicas={self.max_replicas}"
            raise ValueError(f"replicas: expected 1 <= min_replicas <= max_replicas, got {bounds}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The largest request that is accepted. Sound and text are counted over the whole conversation."""

    max_body_bytes: int = 64 * 2**20
    max_audio_seconds: float = 300.0
    max_messages: int = 128
    max_text_chars: int = 32_000
    max_tokens: int = 2048


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeConfig:
    """A deployment of the bundle at ``bundle`` (a directory or URL), which clients know by the name ``model``."""

    bundle: str
    model: str = "opens2s"
    host: str = "127.0.0.1"
    port: int = 8000
    ingress_cpus: float = 0.25
    thinker: StageConfig = field(default_factory=StageConfig)
    speech_decoder: StageConfig = field(default_factory=StageConfig)
    token2wav: StageConfig = field(default_factory=StageConfig)
    limits: Limits = field(default_factory=Limits)
