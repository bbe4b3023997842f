"""The measures of a message, their bounds, and the reason why a message is rejected."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Measures:
    """The measures of one message: its text, its clip, and what models find in the clip. None where not measured.

    Words are counted as in :func:`~data_pipeline.synthesis.quality.words.split_words`: Chinese by characters. The
    strings of the text filters are what was found, empty where nothing was.
    """

    words: int | None = None
    script_share: float | None = None  # words in the script of the language
    refusal: str | None = None
    thinking: str | None = None
    unsafe: str | None = None
    unspeakable: str | None = None
    digits: str | None = None
    duration: float | None = None  # seconds
    peak: float | None = None  # of full scale
    clipped_share: float | None = None  # of the samples
    silence_share: float | None = None  # of the duration
    longest_silence: float | None = None  # seconds
    leading_silence: float | None = None  # seconds
    trailing_silence: float | None = None  # seconds
    loudness: float | None = None  # LUFS
    speech_rate: float | None = None  # words per second, from the first to the last sound
    transcript: str | None = None  # the recogniser's
    word_error: float | None = None  # errors per word of the text
    dnsmos_overall: float | None = None  # DNSMOS P.835, 1 to 5
    dnsmos_p808: float | None = None  # DNSMOS P.808, 1 to 5
    speaker_similarity: float | None = None  # cosine to the reference clip
    recognised_emotion: str | None = None  # the most probable one by prosody
    emotion_probability: float | None = None  # of the message's label, by prosody


@dataclass(frozen=True, kw_only=True, slots=True)
class QualityBounds:
    """Bounds of :class:`Measures`, in their units. A measure that is None is in bounds.

    The defaults accept the embedded voices, whose DNSMOS is 2.2 to 2.9 overall. Emilia, a corpus of recordings, keeps 3
    and above. ``allow_digits`` accepts texts with numbers in digits.
    """

    min_words: int = 1
    max_words: int = 80
    min_script_share: float = 0.7
    allow_digits: bool = False
    min_duration: float = 0.3
    max_duration: float = 30.0
    max_clipped_share: float = 0.001
    max_silence_share: float = 0.6
    max_longest_silence: float = 1.5
    max_leading_silence: float = 1.0
    max_trailing_silence: float = 1.0
    min_loudness: float = -50.0
    max_loudness: float = -8.0
    min_speech_rate: float = 0.8
    max_speech_rate: float = 8.0
    max_word_error: float = 0.3
    min_dnsmos_overall: float = 1.5
    min_dnsmos_p808: float = 2.0
    min_speaker_similarity: float = 0.6
    min_emotion_probability: float = 0.02

    def __post_init__(self) -> None:
        for name in ("words", "duration", "loudness", "speech_rate"):
            low, high = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if not low <= high:
                raise ValueError(f"expected min_{name} <= max_{name}, got {low:g} and {high:g}")
        for name in ("min_script_share", "max_clipped_share", "max_silence_share", "min_emotion_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"expected 0 <= {name} <= 1, got {getattr(self, name):g}")


@dataclass(frozen=True, slots=True)
class _Bound:
    """``setting`` of the configuration bounds ``measure``: from below if its name starts with ``min_``."""

    kind: str
    measure: str
    setting: str
    unit: str = ""
    digits: int = 2


_FOUND = {
    "refusal": "refusal",
    "thinking": "thinking text",
    "unsafe": "unsafe",
    "unspeakable": "cannot be spoken",
}
"""Text measures → kinds of reasons."""

_BOUNDS = (
    _Bound("text too short", "words", "min_words", " words", 0),
    _Bound("text too long", "words", "max_words", " words", 0),
    _Bound("another language", "script_share", "min_script_share", " of the words in the language's script"),
    _Bound("clip too short", "duration", "min_duration", " s"),
    _Bound("clip too long", "duration", "max_duration", " s"),
    _Bound("clipped", "clipped_share", "max_clipped_share", " of the samples", 4),
    _Bound("silence", "silence_share", "max_silence_share", " of the clip"),
    _Bound("long pause", "longest_silence", "max_longest_silence", " s"),
    _Bound("silence before speech", "leading_silence", "max_leading_silence", " s"),
    _Bound("silence after speech", "trailing_silence", "max_trailing_silence", " s"),
    _Bound("too quiet", "loudness", "min_loudness", " LUFS", 1),
    _Bound("too loud", "loudness", "max_loudness", " LUFS", 1),
    _Bound("spoken too slowly", "speech_rate", "min_speech_rate", " words/s"),
    _Bound("spoken too fast", "speech_rate", "max_speech_rate", " words/s"),
    _Bound("word error", "word_error", "max_word_error", " errors per word"),
    _Bound("low quality", "dnsmos_overall", "min_dnsmos_overall", " DNSMOS P.835"),
    _Bound("low quality", "dnsmos_p808", "min_dnsmos_p808", " DNSMOS P.808"),
    _Bound("another speaker", "speaker_similarity", "min_speaker_similarity", " cosine"),
    _Bound("another emotion", "emotion_probability", "min_emotion_probability", " probability of the label", 3),
)


def reject_reason(measures: Measures, config: QualityBounds) -> str | None:
    """``<kind>: <value>, expected <bound>`` for the first measure that is out of its bounds, None if none is."""
    for measure, kind in _FOUND.items():
        if found := getattr(measures, measure):
            return f"{kind}: {found!r}, expected none"
    if measures.digits and not config.allow_digits:
        return f"digits: {measures.digits!r}, expected numbers as words"
    for bound in _BOUNDS:
        value, limit = getattr(measures, bound.measure), getattr(config, bound.setting)
        if value is None:
            continue
        is_lower = bound.setting.startswith("min_")
        if value < limit if is_lower else value > limit:
            expected = f"at {'least' if is_lower else 'most'} {limit:g}"
            return f"{bound.kind}: {value:.{bound.digits}f}{bound.unit}, expected {expected}"
    return None
