"""The suite ``speech``: how well spoken replies are spoken."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_pipeline.synthesis.protocols import Speech
from evaluation.items import Answer, Item, Reply
from evaluation.scores import Judgement, Metric, Question, Score
from evaluation.suites.reply_measures import (
    CLIP_METRICS,
    TIMES,
    WORD_ERROR,
    ClipMeasures,
    Measure,
    is_installed,
    times,
    word_error,
)
from evaluation.suites.speech_classifiers import SpeechClassifier
from evaluation.suites.spoken_items import spoken_items
from opens2s_core.audio import decode_audio

SPOKEN = Metric(name="spoken", title="Replies that are spoken", unit="%", scale=100)
TONE = Metric(name="tone_similarity", title="Probability of the expected tone", unit="%", scale=100)


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeechConfig:
    """``reference`` is the path of a clip of the wanted speaker. Without one, replies are compared with the first
    spoken reply that the suite scores, which gets no similarity itself."""

    reference: str = ""


class SpeechSuite:
    """Items of :func:`~evaluation.suites.spoken_items.spoken_items`, and scores of their replies' clips.

    Word error is that of the recogniser's transcript against the reply's own text, over all words of all replies. The
    real-time factor is all seconds of replies by all seconds of audio. All others are means over replies.
    ``tone_similarity`` is the probability that ``tones`` gives to the label ``tone`` of the item, for tones that it
    knows. Metrics whose package is not installed are left out; :meth:`describe` names them.
    """

    name = "speech"
    spoken = True
    transcribed = True

    def __init__(self, config: SpeechConfig | None = None, tones: SpeechClassifier | None = None) -> None:
        """Raises ``OSError`` or :class:`~opens2s_core.audio.AudioError` for a reference that cannot be read."""
        path = (config or SpeechConfig()).reference
        self._reference = Speech(*decode_audio(Path(path).read_bytes())) if path else None
        self._reference_item = ""
        self._reference_name = path or "first spoken reply"
        self._tones = tones
        self._clips = ClipMeasures()

    @property
    def metrics(self) -> tuple[Metric, ...]:
        word_errors = (WORD_ERROR,) if is_installed("jiwer") else ()
        clips = tuple(metric for metric, package in CLIP_METRICS if is_installed(package))
        return (*word_errors, SPOKEN, *clips, *((TONE,) if self._tones else ()), *TIMES)

    def items(self, data: str) -> list[Item]:
        return spoken_items(data)

    def describe(self, data: str, items: Sequence[Item]) -> dict[str, Any]:
        left_out = [
            f"{metric.title}: {package} is not installed (pip install 'opens2s-on-ray[quality,speakers]')"
            for metric, package in ((WORD_ERROR, "jiwer"), *CLIP_METRICS)
            if not is_installed(package)
        ]
        return {
            "rows": len(items),
            "reference of the speaker": self._reference_name,
            "tone classifier": self._tones.name if self._tones else "none",
            "left out": left_out,
        }

    def questions(self, item: Item, answer: Answer) -> list[Question]:
        return []

    def scores(self, item: Item, answer: Answer, judgements: Sequence[Judgement]) -> list[Score]:
        """Raises :class:`~opens2s_core.audio.AudioError` for a reply's clip that cannot be decoded."""
        sums: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
        for reply in answer.replies:
            for measure in self._measures(item, reply):
                value, weight = sums[measure.metric]
                sums[measure.metric] = value + measure.value, weight + measure.weight
        transcripts = " / ".join(reply.transcript or "" for reply in answer.replies)
        return [
            Score(
                item=item.id,
                metric=metric,
                value=value,
                weight=weight,
                reason=transcripts if metric == WORD_ERROR.name else "",
            )
            for metric, (value, weight) in sums.items()
        ]

    def _measures(self, item: Item, reply: Reply) -> Iterator[Measure]:
        yield Measure(SPOKEN.name, float(bool(reply.audio)))
        yield from times(reply)
        if not reply.audio:
            return
        if is_installed("jiwer") and (errors := word_error(reply)):
            yield errors
        speech = Speech(*decode_audio(reply.audio))
        if self._reference is None:
            self._reference, self._reference_item = speech, item.id
        reference = self._reference if item.id != self._reference_item else None
        measured = list(self._clips.measure(reply.text, speech, reference))
        yield from measured
        if self._tones and measured and (tone := item.labels.get("tone")):
            probabilities = self._tones.probabilities(speech)
            if tone in probabilities:
                yield Measure(TONE.name, probabilities[tone])
