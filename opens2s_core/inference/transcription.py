"""Requests for the transcript of a clip, to a model that was trained to transcribe."""

import math

from opens2s_core.audio import SAMPLE_RATE, Waveform
from opens2s_core.inference.messages import ReplyRequest, Sampling
from opens2s_core.prompt import Audio, Message, Text

_TOKENS_PER_SECOND = 25
"""More than fast speech has, also with a tokenizer of single bytes: it ends a transcript that repeats itself."""
_LEAST_TOKENS = 64


def transcription_request(
    prompt: str, samples: Waveform, *, max_tokens: int, system: str = "", temperature: float = 0.0, seed: int = 0
) -> ReplyRequest:
    """A written reply to ``prompt``, the checkpoint's ``transcription_prompt``, and the clip (n,) at 16 kHz. It ends
    after ``max_tokens``, or fewer where the clip is short. An empty ``system`` is no system message."""
    user = Message("user", (Text(prompt), Audio(samples)))
    longest = max(_LEAST_TOKENS, math.ceil(_TOKENS_PER_SECOND * len(samples) / SAMPLE_RATE))
    return ReplyRequest(
        messages=(Message("system", (Text(system),)), user) if system else (user,),
        speak=False,
        text=Sampling(temperature=temperature, max_tokens=min(longest, max_tokens), seed=seed),
    )
