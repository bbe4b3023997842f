"""Named corpora of dialogues."""

from collections.abc import Callable

from data_pipeline.dialogues.config import BuildConfig, QualityConfig, TextConfig, VoicesConfig
from data_pipeline.dialogues.utterances import Voice
from data_pipeline.records import Age
from data_pipeline.synthesis.selection import DuplicateConfig
from data_pipeline.synthesis.speakers.flite import find_flite

_OF_A_GRAMMAR = DuplicateConfig(threshold=0.8)
"""Messages of one template resemble each other, and differ in the words that matter."""
_AGES: tuple[Age, ...] = ("child", "adult", "elderly")
"""Of the embedded voices."""
_NOT_MEASURED = QualityConfig(share=0)


def tiny() -> BuildConfig:
    """Over 2,000 English dialogues by the embedded writer and voices, on two CPU cores in half an hour. Recogniser,
    DNSMOS and the classifier of emotions measure a tenth of the clips."""
    return BuildConfig(
        texts=TextConfig(empathetic=1720, general=120, tools=320, ages=_AGES, duplicates=_OF_A_GRAMMAR),
        quality=QualityConfig(share=0.1, emotions="embedded"),
    )


def paper() -> BuildConfig:
    """50,000 empathetic and as many general dialogues of one language, by Qwen3-32B and CosyVoice2. Name the servers,
    the seed clips and the clip of the reply voice on the command line."""
    return BuildConfig(
        texts=TextConfig(empathetic=50_000, general=50_000, tools=900, shard_rows=256),
        writer="openai:http://127.0.0.1:8000/v1#Qwen/Qwen3-32B",
        voices=VoicesConfig(
            user_speaker="cosyvoice2:http://127.0.0.1:50000",
            reply_speaker="cosyvoice2:http://127.0.0.1:50000",
            concurrency=16,
        ),
        quality=QualityConfig(similarity=True),
    )


def demo() -> BuildConfig:
    """64 exchanges, for a model that learns them by heart; replies in the voice that the voice of this package renders,
    where flite is installed."""
    return BuildConfig(texts=_exchanges(64), voices=VoicesConfig(reply_voice=clearest_voice()), quality=_NOT_MEASURED)


def smoke() -> BuildConfig:
    """8 exchanges by voices that need nothing installed: for tests."""
    voices = VoicesConfig(reply_voice=Voice(name=_ALWAYS_THERE))
    return BuildConfig(texts=_exchanges(8, shard_rows=4), voices=voices, quality=_NOT_MEASURED)


_ALWAYS_THERE = "espeak:en-us+f2"


def clearest_voice() -> Voice:
    """flite's ``slt``, the voice of this package, where flite is installed."""
    return Voice(name="flite:slt" if find_flite() else _ALWAYS_THERE)


def _exchanges(count: int, shard_rows: int = 32) -> TextConfig:
    """Empathetic dialogues of one turn."""
    return TextConfig(
        empathetic=count, ages=_AGES, duplicates=_OF_A_GRAMMAR, turns=(1.0,), system_share=0, shard_rows=shard_rows
    )


DIALOGUES: dict[str, Callable[[], BuildConfig]] = {recipe.__name__: recipe for recipe in (tiny, paper, demo, smoke)}
"""By the name on the command line."""
