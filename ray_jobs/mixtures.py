"""The data of each training stage as named mixtures: the paper's (arXiv 2507.05177, section 3 and appendix A), one for
stage 0, and one for a stage 3 that trains transcription too."""

from data_pipeline.dataset.mixture import Mixture, MixtureSource

# Empathetic dialogues, general ones, and the text-to-speech pairs that are made of their replies.
_STAGE3 = (("empathetic", 1.0, None), ("general", 1.0, None), ("replies_tts", 1.0, None))
_NAMES: dict[str, tuple[tuple[str, float, str | None], ...]] = {
    # Conversations for the LLM (recipe dialogues: their written samples count); clips with their transcripts, and with
    # emotions where the corpus has them, for the audio encoder (recipe transcripts).
    "stage0": (("dialogues", 1.0, None), ("transcripts", 1.0, None)),
    # 1.9 M English pairs, and as many Chinese ones: those of WenetSpeech are drawn by a quota when they are prepared.
    "stage1a": (
        ("librispeech", 1.0, None),
        ("common_voice", 1.0, None),
        ("gigaspeech", 1.0, None),
        ("wenetspeech", 1.0, None),
    ),
    "stage1b": (
        ("iemocap", 1.0, None),
        ("meld", 1.0, None),
        ("mosei", 1.0, None),
        ("mead", 1.0, None),
        ("esd", 1.0, None),
    ),
    "stage2a": (("emilia", 1.0, "en"), ("emilia", 1.0, "zh")),
    "stage2b": (("emilia_streaming", 1.0, "en"), ("emilia_streaming", 1.0, "zh")),
    "stage3": _STAGE3,
    # A model that also transcribes (recipe transcription).
    "stage3_transcription": (*_STAGE3, ("transcription", 1.0, None)),
}
"""Data sets by the name of their directory, their weights and languages."""

MIXTURES = tuple(_NAMES)


def named_mixture(name: str, root: str) -> Mixture:
    """The mixture ``name`` of the data sets below the directory or URL ``root``."""
    return Mixture(
        sources=tuple(
            MixtureSource(data=f"{root.rstrip('/')}/{data}", weight=weight, language=language)
            for data, weight, language in _NAMES[name]
        )
    )
