"""Named sizes of a deployment: a recipe is a function from the bundle that is served to one frozen configuration."""

from collections.abc import Callable
from dataclasses import replace

from serve_app.config import GatewayConfig, Pacing, ServeConfig, StageConfig


def small(bundle: str) -> ServeConfig:
    """One machine without a GPU, whose few cores all processes share: one replica of each stage, with four slots.

    Niceness favours the stage nearest to the listener, pacing favours replies without audio, threads switch often, and
    output is coalesced, since every message costs CPU time. A replica that hangs is detected soon, since there is no
    other.
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
        pacing=Pacing(busy_lead_seconds=1.0, first_audio_seconds=0.1),
    )


def gpu(bundle: str) -> ServeConfig:
    """The published sizes: sixteen replies at once on two GPUs, of which the thinker has one and the speech decoder and
    token2wav share the other; up to four replicas of each stage under load.

    The shortest chunk of audio is 0.64 s: with less than 0.25 s of headroom a listener is about to underrun, not new.
    """
    thinker = StageConfig(capacity=16, cpus=2, gpus=1, max_replicas=4)
    speech = replace(thinker, gpus=0.5, headroom_seconds=0.25)
    return ServeConfig(
        bundle=bundle,
        stages={"thinker": thinker, "speech_decoder": speech, "token2wav": speech},
        gateway=GatewayConfig(cpus=1, replicas=2, queue=32, decode_threads=2),
    )


RECIPES: dict[str, Callable[[str], ServeConfig]] = {"small": small, "gpu": gpu}
