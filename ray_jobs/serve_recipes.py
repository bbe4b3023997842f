"""Named sizes of a deployment: a recipe is a function from the bundle that is served to one frozen configuration."""

from collections.abc import Callable
from dataclasses import replace

from serve_app.config import GatewayConfig, Pacing, ServeConfig, StageConfig


def small(bundle: str) -> ServeConfig:
    """One machine without a GPU, whose few cores all processes share: one replica of each stage, with four slots, which
    is what two cores make in real time.

    The stage nearest to the listener comes first (niceness), replies that have audio give way to those that have none
    (pacing), threads give way to each other soon, and messages are few: each costs every process on its way. A replica
    that hangs is noticed soon, since there is no other.
    """
    stage = StageConfig(
        capacity=4,
        switch_seconds=0.0005,
        coalesce_seconds=0.025,
        stall_seconds=8.0,
        health_period_seconds=0.5,
        health_timeout_seconds=1.25,
    )
    return ServeConfig(
        bundle=bundle,
        stages={
            "thinker": replace(stage, niceness=6),
            "speech_decoder": replace(stage, niceness=3),
            "token2wav": stage,
        },
        gateway=GatewayConfig(switch_seconds=0.0005),
        pacing=Pacing(busy_lead_seconds=2.0, first_audio_seconds=0.1),
    )


def gpu(bundle: str) -> ServeConfig:
    """The published sizes: sixteen replies at once on two GPUs, of which the thinker has one and the speech decoder and
    token2wav share the other; up to four times as much when it is asked for.

    The shortest chunk of audio is 0.64 s: a listener who has less than a quarter of a second left is behind, not new.
    """
    thinker = StageConfig(capacity=16, cpus=2, gpus=1, max_replicas=4)
    speech = replace(thinker, gpus=0.5, headroom_seconds=0.25)
    return ServeConfig(
        bundle=bundle,
        stages={"thinker": thinker, "speech_decoder": speech, "token2wav": speech},
        gateway=GatewayConfig(cpus=1, replicas=2, queue=32, decode_threads=2),
    )


RECIPES: dict[str, Callable[[str], ServeConfig]] = {"small": small, "gpu": gpu}
