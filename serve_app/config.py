"""What a deployment is made of: the checkpoint that it serves, the size of each stage, and the limits of requests.

What depends on the machine (threads, niceness, times, replicas, context, slots) has neutral defaults here; recipes set
it (``ray_jobs.serve_recipes``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

from opens2s_core.inference.family import FAMILIES, Family

STAGE_IN_PLACE = (
    "min_replicas",
    "max_replicas",
    "target",
    "upscale_delay",
    "downscale_delay",
    "headroom_seconds",
    "health_period_seconds",
    "health_timeout_seconds",
)
"""The fields of a stage that Serve changes while its replicas run."""
_LANGUAGE_MODEL = ("context", "prefill_tokens", "fixed_width")


@dataclass(frozen=True, kw_only=True, slots=True)
class StageConfig:
    """One stage. Each replica has ``capacity`` slots, reserves ``cpus`` and ``gpus`` and computes with ``threads``
    threads (None: as many as it has whole CPUs, at least one), that of the engine at ``niceness``. ``switch_seconds``
    is the interpreter's thread switch interval (None: Python's default). ``coalesce_seconds`` joins the output of a
    reply made within this time into one message. A step that lasts longer than ``stall_seconds`` is taken for hung.
    Serve checks each replica every ``health_period_seconds``, and replaces one that is late by
    ``health_timeout_seconds`` three times in a row. Language models have ``context`` positions for each slot, read at
    most ``prefill_tokens`` of prompts in a step and, with ``fixed_width``, compute the same shapes whatever else is
    open (:class:`LMSettings`).

    Replicas are added when more than ``target`` of their slots are taken on average for ``upscale_delay`` seconds, and
    removed when fewer are for ``downscale_delay`` seconds; with ``headroom_seconds`` also when some listener has less
    audio than that left. With ``min_replicas`` 0 an unused stage has none, and the next reply waits until one has
    started.
    """

    capacity: int = 4
    cpus: float = 0.25
    gpus: float = 0.0
    threads: int | None = None
    niceness: int = 0
    switch_seconds: float | None = None
    coalesce_seconds: float = 0.0
    stall_seconds: float = 30.0
    health_period_seconds: float = 1.0
    health_timeout_seconds: float = 5.0
    context: int = 4096
    prefill_tokens: int = 256
    fixed_width: bool = False
    min_replicas: int = 1
    max_replicas: int = 1
    target: float = 0.75
    upscale_delay: float = 2.0
    downscale_delay: float = 60.0
    headroom_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.capacity < 1:
            raise ValueError(f"capacity: expected at least 1 slot, got {self.capacity}")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads: expected at least 1, got {self.threads}")
        if not 0 <= self.niceness < 20:
            raise ValueError(f"niceness: expected 0 to 19, got {self.niceness}")
        if self.context < 1 or self.prefill_tokens < 1:
            got = f"context={self.context}, prefill_tokens={self.prefill_tokens}"
            raise ValueError(f"expected at least 1 position and 1 token, got {got}")
        if not 0 <= self.min_replicas <= self.max_replicas or self.max_replicas < 1:
            bounds = f"min_replicas={self.min_replicas}, max_replicas={self.max_replicas}"
            raise ValueError(
                f"replicas: expected 0 <= min_replicas <= max_replicas and max_replicas >= 1, got {bounds}"
            )
        if not 0 < self.target <= 1:
            raise ValueError(f"target: expected a share of the slots in (0, 1], got {self.target}")

    @property
    def compute_threads(self) -> int:
        return self.threads or max(1, int(self.cpus))

    @property
    def slots(self) -> int:
        """Replies at once, with all replicas."""
        return self.capacity * self.max_replicas

    def replica(self) -> "StageConfig":
        """What a replica is made with: Serve keeps replicas that run as long as this is the same."""
        defaults = {field.name: field.default for field in fields(self) if field.name in STAGE_IN_PLACE}
        return replace(self, **defaults)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayConfig:
    """The processes that speak HTTP. In each, ``queue`` requests may wait for a slot. Bodies of all requests together
    take at most ``buffer_bytes``; one that brings no data for ``body_idle_seconds``, or is not complete after
    ``body_seconds``, is refused. ``decode_threads`` parse and decode them. A stage that sends nothing for
    ``silence_seconds`` counts as lost and its replica is killed. ``switch_seconds`` is that of :class:`StageConfig`.
    ``address`` is what the reference's controller protocol gives as the address of the worker (None: the host and port
    of this deployment)."""

    replicas: int = 1
    cpus: float = 0.25
    queue: int = 16
    buffer_bytes: int = 256 * 2**20
    body_idle_seconds: float = 10.0
    body_seconds: float = 60.0
    decode_threads: int = 1
    silence_seconds: float = 2.5
    switch_seconds: float | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        if self.replicas < 1 or self.decode_threads < 1:
            got = f"replicas={self.replicas}, decode_threads={self.decode_threads}"
            raise ValueError(f"gateway: expected at least 1 of each, got {got}")
        if self.queue < 0:
            raise ValueError(f"gateway.queue: expected at least 0 requests, got {self.queue}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pacing:
    """How far ahead of the client's playback audio is made: at most ``lead_seconds``, and while another reply of
    the same gateway has no audio yet at most ``busy_lead_seconds`` (None: no difference) for each of the other replies
    under way. Before a reply's own first audio, a stage between the first and the last is fed one message and then none
    for up to ``first_audio_seconds``: where stages share cores, the first audio comes sooner."""

    lead_seconds: float = 30.0
    busy_lead_seconds: float | None = None
    first_audio_seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.lead_seconds < 1 or (self.busy_lead_seconds is not None and self.busy_lead_seconds < 1):
            got = f"lead_seconds={self.lead_seconds}, busy_lead_seconds={self.busy_lead_seconds}"
            raise ValueError(f"pacing: expected at least 1 s of audio, got {got}")
        if self.first_audio_seconds < 0:
            raise ValueError(f"pacing.first_audio_seconds: expected at least 0, got {self.first_audio_seconds}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The largest request that is accepted. Audio and text are counted over the whole conversation."""

    max_body_bytes: int = 64 * 2**20
    max_audio_seconds: float = 300.0
    max_messages: int = 128
    max_text_chars: int = 32_000
    max_tokens: int = 2048
    max_tools: int = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """Authentication. ``keys_file`` has one API key per line and is read again when it changes; the environment
    variable ``OPENS2S_API_KEYS`` has them separated by commas. Without either no key is needed. Pages may send requests
    from this server's own origin and from ``cors_origins``."""

    keys_file: str | None = None
    replies_per_key: int = 16  # at once, in each replica of the gateway
    cors_origins: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeConfig:
    """A deployment of the bundle at ``bundle`` (a directory or URL), which clients know by the name ``model``.
    ``stages`` has an entry for each stage of the ``family``."""

    bundle: str
    model: str = "opens2s"
    family: str = "opens2s"
    host: str = "127.0.0.1"
    port: int = 8000
    stages: Mapping[str, StageConfig] = field(default_factory=dict)
    gateway: GatewayConfig = field(default_factory=GatewayConfig)
    limits: Limits = field(default_factory=Limits)
    access: Access = field(default_factory=Access)
    drain_seconds: float = 180.0  # time for running replies before a replica stops: as long as the longest lasts
    pacing: Pacing = field(default_factory=Pacing)
    log_transcripts: bool = False  # of replies, in the log line of each

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(f"family: expected one of {', '.join(FAMILIES)}, got {self.family!r}")
        names = self.model_family.names
        if unknown := sorted(set(self.stages) - set(names)):
            raise ValueError(f"stages: unknown {', '.join(unknown)}, expected {', '.join(names)}")
        object.__setattr__(self, "stages", {name: self.stages.get(name, StageConfig()) for name in names})
        for spec in self.model_family.stages:
            given = [name for name in _LANGUAGE_MODEL if getattr(self.stages[spec.name], name) != _DEFAULTS[name]]
            if given and not spec.language_model:
                raise ValueError(f"stages.{spec.name}.{given[0]}: expected none, since it is not a language model")
            if spec.text_end_types and self.stages[spec.name].headroom_seconds is not None:
                raise ValueError(f"stages.{spec.name}.headroom_seconds: expected none, since it makes no speech")
        if not 0 < self.port < 2**16:
            raise ValueError(f"port: expected 1 to {2**16 - 1}, got {self.port}")

    @property
    def model_family(self) -> Family:
        return FAMILIES[self.family]

    @property
    def running(self) -> int:
        """Replies at once, in each replica of the gateway: no more than the narrowest stage has slots for."""
        slots = min(self.stages[name].slots for name in self.model_family.names)
        return max(1, slots // self.gateway.replicas)


_DEFAULTS = {field.name: field.default for field in fields(StageConfig)}
