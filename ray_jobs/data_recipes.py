"""Named ways to prepare a corpus for a training stage."""

from collections.abc import Callable

from data_pipeline.preparation.config import PrepareConfig
from data_pipeline.records import EMOTIONS
from data_pipeline.steps.filters import FilterConfig
from data_pipeline.steps.prepare import ClipConfig
from data_pipeline.steps.statistics import EMILIA
from data_pipeline.steps.tokenise import TokeniseConfig


def transcripts() -> PrepareConfig:
    """Stage 0: what is said in a clip. No language model is needed."""
    return PrepareConfig(tokenise=TokeniseConfig(task="transcription"))


def asr() -> PrepareConfig:
    """Stage 1a, semantic alignment: a clip and how a language model continues its words."""
    return PrepareConfig(tokenise=TokeniseConfig(task="continuation"))


def ser() -> PrepareConfig:
    """Stage 1b, emotion alignment: a clip and how a language model continues it in its emotion."""
    return PrepareConfig(
        tokenise=TokeniseConfig(task="emotional continuation"), filters=FilterConfig(emotions=EMOTIONS)
    )


def tts() -> PrepareConfig:
    """Stage 2: a text and the speech units of its clip; of Emilia, what its authors would select."""
    return PrepareConfig(
        tokenise=TokeniseConfig(task="text to speech"), clips=ClipConfig(min_seconds=3.0), selection=EMILIA
    )


def dialogues() -> PrepareConfig:
    """Stage 3: spoken conversations, and each once more with the user's words in place of the clips."""
    return PrepareConfig(tokenise=TokeniseConfig(task="conversation", text_prompts=True))


DATA_RECIPES: dict[str, Callable[[], PrepareConfig]] = {
    recipe.__name__: recipe for recipe in (transcripts, asr, ser, tts, dialogues)
}
"""By the name on the command line."""
