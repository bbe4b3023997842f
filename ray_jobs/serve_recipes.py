"""Named sizes of a deployment: a recipe is a function from the bundle that is served to one frozen configuration."""

from collections.abc import Callable
from dataclasses import replace

from serve_app.config import ServeConfig, StageConfig


def small(bundle: str) -> ServeConfig:
    """One machine without a GPU: four replies at once in each replica, of which every stage has one or two."""
    return ServeConfig(bundle=bundle)


def gpu(bundle: str) -> ServeConfig:
    """The published sizes: sixteen replies at once on two GPUs, of which the thinker has one and the speech decoder and
    token2wav share the other; up to four times as much when it is asked for.

    The shortest piece of sound is 0.64 s: a listener who has less than a quarter of a second left is behind, not new.
    """
    thinker = StageConfig(capacity=16, queue=32, cpus=2, gpus=1, max_replicas=4)
    voice = replace(thinker, gpus=0.5, playback_slack=0.25)
    return ServeConfig(
        bundle=bundle, ingress_cpus=1, ingress_replicas=2, thinker=thinker, speech_decoder=voice, token2wav=voice
    )


RECIPES: dict[str, Callable[[str], ServeConfig]] = {"small": small, "gpu": gpu}
