"""Named spoken corpora that are made here; each is the material of the voice of the same name."""

from collections.abc import Callable

from data_pipeline.synthesis.speech import SpeechConfig, VoiceShare
from data_pipeline.synthesis.voices import REPLY_VOICE, USER_VOICES


def voice_tiny() -> SpeechConfig:
    """flite's ``slt`` for well over an hour, and all other embedded voices for as long together."""
    return SpeechConfig(own=VoiceShare(train=2000, held_out=200), theirs=VoiceShare(train=2508, held_out=76))


def voice_smoke() -> SpeechConfig:
    """A dozen utterances and a few more, of voices that need nothing installed."""
    return SpeechConfig(
        voice=REPLY_VOICE,
        own=VoiceShare(train=8, held_out=3),
        others=USER_VOICES[:2],
        theirs=VoiceShare(train=4, held_out=1),
        shard_utterances=4,
    )


CORPORA: dict[str, Callable[[], SpeechConfig]] = {"voice-tiny": voice_tiny, "voice-smoke": voice_smoke}
