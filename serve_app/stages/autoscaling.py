"""How many replicas a stage that makes audio should have. Serve runs this in its controller: it imports Ray alone."""

import math
from typing import Any

from ray.serve.autoscaling_policy import replica_queue_length_autoscaling_policy
from ray.serve.config import AutoscalingContext


class PlaybackHeadroomPolicy:
    """Serve's own policy, which counts replies, and one replica more while some listener is short of audio: has less
    than ``headroom`` seconds of it left, by what the replicas record as ``headroom``.

    Serve asks many times a second and keeps the bounds and delays of the deployment itself: what is wanted has to be
    wanted without a break for ``upscale_delay_s``. Replicas are added one at a time, since the effect of one that is
    starting is not known yet, and none is removed while some listener has less than twice ``headroom``.
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
    """The latest value, over all replicas. Serve aggregates a metric by its mean over seconds, which hides a single
    listener."""
    recorded = (ctx.raw_metrics or {}).get("headroom", {})
    return min((series[-1].value for series in recorded.values() if series), default=math.inf)
