"""What the wire protocols need to know of a deployment to turn a request into a :class:`ReplyRequest`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from serve_app.config import Limits

Voices = Mapping[str, NDArray[np.float32] | None]
"""Speaker vectors (512,) by the name of the voice; None is the model's own voice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiContext:
    """``model`` is the name by which clients know what is served. ``units_per_token`` is the expected length of speech:
    speech units for each text token. ``transcripts`` holds, by audio id, what earlier spoken replies to this client
    said, for those ids that the request refers to."""

    model: str
    limits: Limits
    units_per_token: float
    voices: Voices = field(default_factory=lambda: {"default": None})
    transcripts: Mapping[str, str] = field(default_factory=dict)
