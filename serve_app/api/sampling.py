"""How the text and the units of a reply are sampled where a request leaves it open."""

import math
import secrets

from opens2s_core.inference.messages import Sampling
from serve_app.api.context import ApiContext

MAX_SEED = 2**63

_UNITS_FACTOR = 4
"""The speech decoder ends speech at three times its expected length; the limit here only bounds what it may reserve."""
_LEAST_UNITS = 256
"""About 20 s: short texts vary more in how long they take to say."""


def fresh_seed() -> int:
    """For a request without one."""
    return secrets.randbelow(MAX_SEED)


def units_sampling(max_tokens: int, seed: int, context: ApiContext) -> Sampling:
    """How the units of a reply of at most ``max_tokens`` text tokens are sampled: at the checkpoint's
    ``units_temperature``. At temperature 0 speech often does not end."""
    longest = math.ceil(_UNITS_FACTOR * context.units_per_token * max_tokens)
    return Sampling(temperature=context.units_temperature, top_p=1.0, max_tokens=max(_LEAST_UNITS, longest), seed=seed)
