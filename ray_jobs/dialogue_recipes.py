"""Named corpora of dialogues."""

from collections.abc import Callable

from data_pipeline.dialogues.config import BuildConfig, QualityConfig, TextConfig
from data_pipeline.synthesis.selection import DuplicateConfig

_OF_A_GRAMMAR = DuplicateConfig(threshold=0.8)
"""Messages of one template resemble each other, and differ in the words that matter."""


def tiny() -> BuildConfig:
    """2,000 English dialogues by the embedded writer and voices, on two CPU cores in half an hour. Recogniser and
    DNSMOS measure a tenth of the clips."""
    return BuildConfig(
        texts=TextConfig(
            empathetic=1500, general=200, tools=300, ages=("child", "adult", "elderly"), duplicates=_OF_A_GRAMMAR
        ),
        quality=QualityConfig(share=0.1),
    )


DIALOGUES: dict[str, Callable[[], BuildConfig]] = {"tiny": tiny}
