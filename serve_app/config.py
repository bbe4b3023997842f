"""What a deployment is made of: the checkpoint it serves, the size of each stage, and what a client may ask for."""

from dataclasses import dataclass, field
from typing import Literal

StageName = Literal["thinker", "speech_decoder", "token2wav"]
STAGES: tuple[StageName, ...] = ("thinker", "speech_decoder", "token2wav")


@dataclass(frozen=True, kw_only=True, slots=True)
class StageConfig:
    """One stage: ``capacity`` replies at once in each replica, which reserves ``cpus`` and ``gpus``; as many threads
    compute as it has whole CPUs, at least one.

    Replicas are added when more than ``target`` of their places are taken on average for ``upscale_delay`` seconds, and
    taken away when fewer are for ``downscale_delay`` seconds. With ``playback_slack``, which the speech decoder and
    token2wav have, they are also added when some listener is fewer than so many seconds from running dry. With
    ``min_replicas`` 0 an unused stage has none, and the next reply waits until one has started.
    """

    capacity: int = 4
    queue: int = 8  # replies that may wait for a place, in each process that asks for one
    cpus: float = 0.25
    gpus: float = 0.0
    min_replicas: int = 1
    max_replicas: int = 2
    target: float = 0.75
    upscale_delay: float = 2.0
    downscale_delay: float = 60.0
    playback_slack: float | None = None

    def __post_init__(self) -> None:
        if self.capacity < 1:
            raise ValueError(f"capacity: expected at least 1 reply at once, got {self.capacity}")
        if self.queue < 0:
            raise ValueError(f"queue: expected at least 0 replies, got {self.queue}")
        if not 0 <= self.min_replicas <= self.max_replicas or self.max_replicas < 1:
            bounds = f"min_replicas={self.min_replicas}, max_replicas={self.max_replicas}"
            raise ValueError(
                f"replicas: expected 0 <= min_replicas <= max_replicas and a replica at most, got {bounds}"
            )
        if not 0 < self.target <= 1:
            raise ValueError(f"target: expected a share of the places in (0, 1], got {self.target}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The largest request that is accepted. Sound and text are counted over the whole conversation.

    ``lead_seconds`` is how far the sound of a streamed reply may be ahead of a listener who plays it as it comes.
    """

    max_body_bytes: int = 64 * 2**20
    max_audio_seconds: float = 300.0
    max_messages: int = 128
    max_text_chars: int = 32_000
    max_tokens: int = 2048
    max_tools: int = 64
    lead_seconds: float = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """Who may ask. Without keys everyone; ``keys_file`` holds one a line, and so does the environment variable
    ``OPENS2S_API_KEYS``, separated by commas. Browsers may ask from ``cors_origins`` alone."""

    keys_file: str | None = None
    replies_per_key: int = 16  # at once, in each replica of the ingress
    cors_origins: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeConfig:
    """A deployment of the bundle at ``bundle`` (a directory or URL), which clients know by the name ``model``."""

    bundle: str
    model: str = "opens2s"
    host: str = "127.0.0.1"
    port: int = 8000
    ingress_cpus: float = 0.25
    ingress_replicas: int = 1
    thinker: StageConfig = field(default_factory=StageConfig)
    speech_decoder: StageConfig = field(default_factory=StageConfig)
    token2wav: StageConfig = field(default_factory=StageConfig)
    limits: Limits = field(default_factory=Limits)
    access: Access = field(default_factory=Access)
    drain_seconds: float = 180.0  # that replies under way get to end when a replica is to go: the longest lasts so long
    log_transcripts: bool = False  # of replies, in the log line of each

    def __post_init__(self) -> None:
        if self.thinker.playback_slack is not None:
            raise ValueError("thinker.playback_slack: expected none, since the thinker makes no sound")
        if not 0 < self.port < 2**16:
            raise ValueError(f"port: expected 1 to {2**16 - 1}, got {self.port}")
