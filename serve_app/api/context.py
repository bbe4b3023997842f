"""What the wire protocols need to know of a deployment to turn a request into a :class:`ReplyRequest`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from serve_app.api.strict_json import shown
from serve_app.config import Limits
from serve_app.errors import ApiError

DEFAULT_VOICE = "default"

Voices = Mapping[str, NDArray[np.float32] | None]
"""Speaker vectors (512,) by the name of the voice; None is the model's own voice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiContext:
    """``model`` is the name by which clients know what is served. ``units_per_token`` is the expected length of speech:
    speech units for each text token; ``units_temperature`` is how they are sampled. ``writes_tools`` is whether the
    model's tokenizer has a chat template, which tools need. ``transcription_prompt`` is the text before a clip that the
    model was trained to transcribe, empty where it was not. ``transcripts`` holds, by audio id, what earlier spoken
    replies to this client said, for those ids that the request refers to."""

    model: str
    limits: Limits
    units_per_token: float
    units_temperature: float = 1.0
    writes_tools: bool = True
    transcription_prompt: str = ""
    voices: Voices = field(default_factory=lambda: {DEFAULT_VOICE: None})
    transcripts: Mapping[str, str] = field(default_factory=dict)

    def check_voice(self, name: str | None, param: str) -> str:
        """The voice of that name, or the default one. Raises :class:`ApiError` about the field ``param``."""
        if name is None:
            return DEFAULT_VOICE
        if name not in self.voices:
            raise ApiError(400, f"voice {shown(name)}: expected one of {sorted(self.voices)}", param=param)
        return name
