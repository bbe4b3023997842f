"""Named ways to prepare a corpus for a training stage."""

from collections.abc import Callable
from dataclasses import replace

from data_pipeline.preparation.config import PrepareConfig
from data_pipeline.records import EMOTIONS
from data_pipeline.steps.filters import FilterConfig
from data_pipeline.steps.prepare import ClipConfig
from data_pipeline.steps.statistics import EMILIA, Quota
from data_pipeline.steps.tokenise import TRANSCRIBE, TokeniseConfig


def transcripts() -> PrepareConfig:
    """Stage 0: what is said in a clip. No language model is needed."""
    return PrepareConfig(tokenise=TokeniseConfig(task="transcription"))


def transcription() -> PrepareConfig:
    """Any stage whose LLM learns text: a prompt and a clip, and what is said in it. No language model is needed."""
    return PrepareConfig(tokenise=TokeniseConfig(task="transcription", transcription_prompt=TRANSCRIBE))


def asr() -> PrepareConfig:
    """Stage 1a, semantic alignment: a clip and how a language model continues its words."""
    return PrepareConfig(tokenise=TokeniseConfig(task="continuation"))


def ser() -> PrepareConfig:
    """Stage 1b, emotion alignment: a clip and how a language model continues it in its emotion."""
    return PrepareConfig(
        tokenise=TokeniseConfig(task="emotional continuation"), filters=FilterConfig(emotions=EMOTIONS)
    )


def tts() -> PrepareConfig:
    """Stage 2: a text and the speech units of its clip, or of every spoken reply."""
    return PrepareConfig(tokenise=TokeniseConfig(task="text to speech"))


def emilia() -> PrepareConfig:
    """Stage 2a: as tts, of what Emilia's authors select, 5,000 hours a language."""
    return _selected(hours=5000)


def emilia_streaming() -> PrepareConfig:
    """Stage 2b: 1,000 hours a language of what ``emilia`` has."""
    return _selected(hours=1000)


def dialogues() -> PrepareConfig:
    """Stage 3: spoken conversations, and each once more with the user's words in place of the clips."""
    return PrepareConfig(tokenise=TokeniseConfig(task="conversation", text_prompts=True))


DATA_RECIPES: dict[str, Callable[[], PrepareConfig]] = {
    recipe.__name__: recipe
    for recipe in (transcripts, transcription, asr, ser, tts, emilia, emilia_streaming, dialogues)
}
"""By the name on the command line."""


def _selected(*, hours: float) -> PrepareConfig:
    quotas = tuple(Quota(language=language, hours=hours) for language in ("en", "zh"))
    return replace(tts(), clips=ClipConfig(min_seconds=3.0), selection=replace(EMILIA, quotas=quotas))
