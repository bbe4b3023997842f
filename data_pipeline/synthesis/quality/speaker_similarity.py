"""How much two clips sound like one speaker."""

from data_pipeline.steps.loudness import LoudnessConfig, set_loudness
from data_pipeline.steps.speaker_embedding import SpeakerEncoder
from data_pipeline.synthesis.protocols import Speech
from opens2s_core.audio import SAMPLE_RATE, Waveform, resample

_LOUDNESS = LoudnessConfig()


def speaker_similarity(encoder: SpeakerEncoder, clip: Speech, reference: Speech) -> float:
    """The cosine between the speaker vectors of two clips, neither of them silent: 1 for the same clip.

    Both are brought to one loudness first, which the vectors of some encoders depend on.
    """
    first, second = encoder.embed([_prepared(clip), _prepared(reference)])
    return float(first @ second)


def _prepared(speech: Speech) -> Waveform:
    return set_loudness(resample(speech.samples, speech.rate, SAMPLE_RATE), _LOUDNESS)
