"""The 40 sets of URO-Bench (2502.17810): how each is scored, and the numbers of rows of both versions of the data."""

from dataclasses import dataclass
from typing import Literal

Mode = Literal[
    "open", "semi-open", "qa", "wer", "multi", "speaker", "emotion", "emotional speech", "style", "safety", "language",
    "performance",
]  # fmt: skip
"""``open``, ``semi-open`` (with references), ``emotion``, ``style``, ``safety`` and ``language`` are rated 1 to 5 by a
judge from the transcript of the reply, ``multi`` and ``speaker`` from a whole dialogue; ``qa`` is right or wrong;
``wer`` compares the transcript with the words to repeat; ``emotional speech`` combines a classifier of emotions with
word errors; ``performance`` (singing, reciting) needs a judge that listens, so only word errors are computed here."""

BEFORE = "before 2025-08-03"
REBUILT = "2025-08-03"
"""The versions: of 2025-02-25, and rebuilt."""
EITHER = f"{BEFORE} or {REBUILT}, which have as many rows"


@dataclass(frozen=True, slots=True)
class UroSet:
    """``rows`` are those of the version of 2025-08-03; ``rows_before`` those before it, None where the set is newer."""

    name: str
    track: Literal["basic", "pro"]
    language: Literal["en", "zh"]
    mode: Mode
    rows: int
    rows_before: int | None

    @property
    def is_dialogue(self) -> bool:
        """Several rounds."""
        return self.mode in ("multi", "speaker")

    def version_of(self, rows: int) -> str | None:
        """The version with so many rows, ``EITHER`` where both have them, None where none has."""
        if rows == self.rows == self.rows_before:
            return EITHER
        return {self.rows: REBUILT, self.rows_before: BEFORE}.get(rows)


_SETS = (
    UroSet("AlpacaEval", "basic", "en", "open", 199, 199),
    UroSet("CommonEval", "basic", "en", "open", 200, 200),
    UroSet("WildchatEval", "basic", "en", "open", 349, 349),
    UroSet("StoralEval", "basic", "en", "semi-open", 201, 201),
    UroSet("Summary", "basic", "en", "semi-open", 118, 118),
    UroSet("TruthfulEval", "basic", "en", "semi-open", 470, 470),
    UroSet("GaokaoEval", "basic", "en", "qa", 303, 303),
    UroSet("Gsm8kEval", "basic", "en", "qa", 582, 582),
    UroSet("MLC", "basic", "en", "qa", 177, 177),
    UroSet("Repeat", "basic", "en", "wer", 252, 252),
    UroSet("AlpacaEval-zh", "basic", "zh", "open", 147, 200),
    UroSet("Claude-zh", "basic", "zh", "open", 222, 273),
    UroSet("Wildchat-zh", "basic", "zh", "open", 299, None),
    UroSet("LCSTS-zh", "basic", "zh", "semi-open", 119, 229),
    UroSet("SQuAD-zh", "basic", "zh", "qa", 153, None),
    UroSet("APE-zh", "basic", "zh", "qa", 190, None),
    UroSet("MLC-zh", "basic", "zh", "qa", 145, 136),
    UroSet("OpenbookQA-zh", "basic", "zh", "qa", 189, 257),
    UroSet("HSK5-zh", "basic", "zh", "qa", 100, None),
    UroSet("Repeat-zh", "basic", "zh", "wer", 127, 210),
    UroSet("CodeSwitching-en", "pro", "en", "semi-open", 70, 70),
    UroSet("CodeSwitching-zh", "pro", "zh", "semi-open", 70, 70),
    UroSet("GenEmotion-en", "pro", "en", "emotional speech", 54, 54),
    UroSet("GenEmotion-zh", "pro", "zh", "emotional speech", 43, 43),
    UroSet("GenStyle-en", "pro", "en", "style", 44, 44),
    UroSet("GenStyle-zh", "pro", "zh", "style", 39, 39),
    UroSet("MLCpro-en", "pro", "en", "qa", 91, 91),
    UroSet("MLCpro-zh", "pro", "zh", "qa", 64, 64),
    UroSet("Safety-en", "pro", "en", "safety", 25, 24),
    UroSet("Safety-zh", "pro", "zh", "safety", 25, 20),
    UroSet("SRT-en", "pro", "en", "performance", 43, 43),
    UroSet("SRT-zh", "pro", "zh", "performance", 25, 21),
    UroSet("UnderEmotion-en", "pro", "en", "emotion", 137, 137),
    UroSet("UnderEmotion-zh", "pro", "zh", "emotion", 79, 79),
    UroSet("Multilingual", "pro", "en", "language", 1108, 1108),
    UroSet("ClothoEval-en", "pro", "en", "qa", 265, 265),
    UroSet("MuChoEval-en", "pro", "en", "qa", 311, 311),
    UroSet("MtBenchEval-en", "pro", "en", "multi", 190, 190),
    UroSet("SpeakerAware-en", "pro", "en", "speaker", 55, 55),
    UroSet("SpeakerAware-zh", "pro", "zh", "speaker", 49, 49),
)
URO_SETS = {f"uro-{uro_set.name.lower()}": uro_set for uro_set in _SETS}
"""By the name of the suite."""

PAPER_VALUES = {
    "UnderEmotion-en": {"OpenS2S (paper)": 46.90, "GLM-4-Voice (URO-Bench)": 52.41},
    "UnderEmotion-zh": {"OpenS2S (paper)": 67.68, "GLM-4-Voice (URO-Bench)": 74.51},
    "GenEmotion-en": {"GLM-4-Voice (URO-Bench)": 48.13},
    "GenEmotion-zh": {"GLM-4-Voice (URO-Bench)": 44.79},
}
"""By the name of the set."""
