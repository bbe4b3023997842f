"""How many replicas a stage that makes sound should have. Serve runs this in its controller, which knows Ray alone."""

import math
from typing import Any

from ray.serve.autoscaling_policy import replica_queue_length_autoscaling_policy
from ray.serve.config import AutoscalingContext


class PlaybackHeadroomPolicy:
    """Serve's own policy, which counts replies, and one replica more while some listener is about to run dry: has less
    than ``headroom`` seconds of sound left, by what the replicas record as ``headroom``.

    Serve asks many times a second and keeps the bounds and delays of the deployment itself: what is wanted has to be
    wanted without a break for ``upscale_delay_s``. Replicas come one at a time, since nobody knows yet what one that is
    starting will change, and none goes while some listener has less than twice ``headroom``.
    """

    def __init__(self, headroom: float) -> None:
        self._headroom = headroom

    def __call__(self, ctx: AutoscalingContext) -> tuple[float, dict[str, Any]]:
        by_replies, state = replica_queue_length_autoscaling_policy(ctx)
        return max(by_replies, self._by_headroom(ctx)), state

    def _by_headroom(self, ctx: AutoscalingContext) -> int:
        least = _least_headroom(ctx)
        if least >= 2 * self._headroom:
            return 0
        starting = ctx.current_num_replicas < ctx.target_num_replicas
        return ctx.target_num_replicas + (least < self._headroom and not starting)


def _least_headroom(ctx: AutoscalingContext) -> float:
    """Now, over all replicas. Serve's aggregate of a metric is its mean over seconds, in which one listener is lost."""
    recorded = (ctx.raw_metrics or {}).get("headroom", {})
    return min((series[-1].value for series in recorded.values() if series), default=math.inf)
