"""Named spoken corpora that are made here; that of a voice has its name."""

from collections.abc import Callable

from data_pipeline.synthesis.speech import SpeechConfig, VoiceShare
from data_pipeline.synthesis.voices import REPLY_VOICE, USER_VOICES


def voice_tiny() -> SpeechConfig:
    """flite's ``slt`` for over two hours, and all other embedded voices for an hour together."""
    return SpeechConfig(own=VoiceShare(train=3000, held_out=100), theirs=VoiceShare(train=1026, held_out=38))


def voice_tiny_held_out() -> SpeechConfig:
    """What ``voice-tiny`` is measured on, by itself."""
    return SpeechConfig(own=VoiceShare(train=0, held_out=100), theirs=VoiceShare(train=0, held_out=0))


def speech_tiny() -> SpeechConfig:
    """240 sentences in every feeling by 34 voices that need nothing installed: for the tiny training stages."""
    return SpeechConfig(
        voice=REPLY_VOICE,
        own=VoiceShare(train=0, held_out=1),
        others=USER_VOICES,
        theirs=VoiceShare(train=240, held_out=24),
        shard_utterances=60,
    )


def one_speaker() -> SpeechConfig:
    """1,000 sentences by one voice that needs nothing installed: for experiments on understanding speech."""
    return SpeechConfig(
        voice=REPLY_VOICE, own=VoiceShare(train=1000, held_out=100), theirs=VoiceShare(train=0, held_out=0)
    )


def voice_smoke() -> SpeechConfig:
    """A dozen utterances and a few more, of voices that need nothing installed."""
    return SpeechConfig(
        voice=REPLY_VOICE,
        own=VoiceShare(train=8, held_out=3),
        others=USER_VOICES[:2],
        theirs=VoiceShare(train=4, held_out=1),
        shard_utterances=4,
    )


CORPORA: dict[str, Callable[[], SpeechConfig]] = {
    "voice-tiny": voice_tiny,
    "voice-tiny-held-out": voice_tiny_held_out,
    "voice-smoke": voice_smoke,
    "speech-tiny": speech_tiny,
    "one-speaker": one_speaker,
}
