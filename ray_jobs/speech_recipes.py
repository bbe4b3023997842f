"""Named speech corpora that this project makes itself; that of a voice has the voice's name."""

from collections.abc import Callable

from data_pipeline.records import Gender
from data_pipeline.speech_corpus.config import SentenceCounts, SpeechCorpusConfig
from data_pipeline.synthesis.speakers.espeak_voices import ESPEAK_VOICES

_ALWAYS_THERE = "espeak:en-us+f2"


def _adults(gender: Gender) -> list[str]:
    voices = ESPEAK_VOICES.values()
    return [v.name for v in voices if (v.gender, v.age, v.language) == (gender, "adult", "en")]


_FLITE_MEN = ("flite:awb", "flite:rms", "flite:kal16")
_WOMEN = _adults("female")
_MEN = _adults("male")[: len(_WOMEN) - len(_FLITE_MEN)]
"""With those of flite as many as there are women."""
_ESPEAK = tuple(name for name in (*_WOMEN, *_MEN) if name != _ALWAYS_THERE)


def voice_tiny() -> SpeechCorpusConfig:
    """flite's ``slt`` for over two hours, and 38 other voices, as many women as men, for an hour together."""
    return SpeechCorpusConfig(
        reply_sentences=SentenceCounts(train=3000, held_out=100),
        other_voices=(*_FLITE_MEN, _ALWAYS_THERE, *_ESPEAK),
        other_sentences=SentenceCounts(train=1026, held_out=38),
    )


def voice_tiny_held_out() -> SpeechCorpusConfig:
    """The sentences of ``voice-tiny`` on which the voice is measured, without the others."""
    return SpeechCorpusConfig(reply_sentences=SentenceCounts(held_out=100))


def speech_tiny() -> SpeechCorpusConfig:
    """240 sentences in six emotions by 34 voices that need no program: for the tiny training stages."""
    return SpeechCorpusConfig(
        reply_voice=_ALWAYS_THERE,
        reply_sentences=SentenceCounts(held_out=1),
        other_voices=_ESPEAK,
        other_sentences=SentenceCounts(train=240, held_out=24),
        shard_utterances=60,
    )


def one_speaker() -> SpeechCorpusConfig:
    """1,000 sentences by one voice that needs no program: for experiments on understanding speech."""
    return SpeechCorpusConfig(reply_voice=_ALWAYS_THERE, reply_sentences=SentenceCounts(train=1000, held_out=100))


def voice_smoke() -> SpeechCorpusConfig:
    """16 utterances of voices that need no program."""
    return SpeechCorpusConfig(
        reply_voice=_ALWAYS_THERE,
        reply_sentences=SentenceCounts(train=8, held_out=3),
        other_voices=_ESPEAK[:2],
        other_sentences=SentenceCounts(train=4, held_out=1),
        shard_utterances=4,
    )


CORPORA: dict[str, Callable[[], SpeechCorpusConfig]] = {
    "voice-tiny": voice_tiny,
    "voice-tiny-held-out": voice_tiny_held_out,
    "voice-smoke": voice_smoke,
    "speech-tiny": speech_tiny,
    "one-speaker": one_speaker,
}
