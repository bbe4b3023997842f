"""Recognition of words and of emotions over prepared data: the paper's checks of the first stage."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from data_pipeline.synthesis.quality.words import split_words
from evaluation.items import Answer, Item, Turn
from evaluation.scores import Judgement, Metric, Question, Score
from evaluation.suites.emotion_names import emotion_in
from evaluation.suites.recognition_data import Clip, checksum, read_clips

if TYPE_CHECKING:
    from opens2s_core.benchmark.word_error import WordErrors

_NAME_EMOTION = {
    "en": "Which emotion does the speaker express? Answer with one word of: {labels}.",
    "zh": "说话人表达了哪种情绪？请只用以下词语之一回答：{labels}。",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeechRecognition:
    """The reply's text against the transcript: error rates over all words, and over all characters, of the data.

    Case, punctuation and white space do not count. In Chinese each character is a word. Models transcribe as they were
    trained to: by the ``transcription_prompt`` of a checkpoint, or an endpoint's ``/v1/audio/transcriptions``. With an
    ``instruction`` they are asked in a chat instead, with this text before each clip. An empty one is right for a model
    that was trained with the recipe ``transcripts``.
    """

    language: str = "en"  # of a manifest, ISO 639-1; data sets have their own
    instruction: str | None = None
    name: ClassVar[str] = "asr"
    spoken: ClassVar[bool] = False
    transcribed: ClassVar[bool] = False
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(name="wer", title="word error rate", unit="%", scale=100, higher_is_better=False),
        Metric(name="cer", title="character error rate", unit="%", scale=100, higher_is_better=False),
    )

    def items(self, data: str) -> list[Item]:
        _counter()  # raises before the model answers, where the library is missing
        items = []
        for clip in read_clips(data, self.language):
            if split_words(clip.transcript):
                items.append(_item(clip, self.instruction, references=(clip.transcript,)))
        if not items:
            raise ValueError(f"{data}: expected clips with transcripts, found none")
        return items

    def describe(self, data: str, items: Sequence[Item]) -> dict[str, Any]:
        return _facts(data, len(items))

    def questions(self, item: Item, answer: Answer) -> list[Question]:
        return []

    def scores(self, item: Item, answer: Answer, judgements: Sequence[Judgement]) -> list[Score]:
        reference, transcript = item.references[0], answer.replies[0].text
        return [
            _errors(item.id, "wer", split_words(reference), split_words(transcript), transcript),
            _errors(item.id, "cer", _characters(reference), _characters(transcript), transcript),
        ]


@dataclass(frozen=True, kw_only=True, slots=True)
class EmotionRecognition:
    """The model is asked to name the emotion of each clip. Unweighted accuracy is the mean of the recalls of the
    emotions; an answer that names none or several is wrong. ``labels`` are those that the model may choose; without,
    those that occur."""

    language: str = "en"  # of a manifest, ISO 639-1; data sets have their own
    labels: tuple[str, ...] = ()
    name: ClassVar[str] = "ser"
    spoken: ClassVar[bool] = False
    transcribed: ClassVar[bool] = False
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(name="unweighted_accuracy", title="unweighted accuracy", unit="%", scale=100, average="groups"),
        Metric(name="accuracy", title="accuracy", unit="%", scale=100),
        Metric(name="named", title="answers that name one emotion", unit="%", scale=100),
    )

    def items(self, data: str) -> list[Item]:
        clips = [clip for clip in read_clips(data, self.language) if clip.emotion]
        if self.labels:
            clips = [clip for clip in clips if clip.emotion in self.labels]
        if not clips:
            raise ValueError(f"{data}: expected clips with emotions, found none")
        labels = list(self.labels) or sorted({clip.emotion for clip in clips})
        items = []
        for clip in clips:
            instruction = _NAME_EMOTION.get(clip.language, _NAME_EMOTION["en"]).format(labels=", ".join(labels))
            items.append(_item(clip, instruction, labels={"emotion": clip.emotion, "labels": labels}))
        return items

    def describe(self, data: str, items: Sequence[Item]) -> dict[str, Any]:
        return {**_facts(data, len(items)), "labels": items[0].labels["labels"]}

    def questions(self, item: Item, answer: Answer) -> list[Question]:
        return []

    def scores(self, item: Item, answer: Answer, judgements: Sequence[Judgement]) -> list[Score]:
        emotion, text = item.labels["emotion"], answer.replies[0].text
        named = emotion_in(text, item.labels["labels"])
        value, reason = float(named == emotion), f"{emotion}, answered {text!r:.200}"
        return [
            Score(item=item.id, metric="unweighted_accuracy", value=value, group=emotion, reason=reason),
            Score(item=item.id, metric="accuracy", value=value, reason=reason),
            Score(item=item.id, metric="named", value=float(named is not None), reason=reason),
        ]


def _characters(text: str) -> list[str]:
    return list("".join(split_words(text)))


def _errors(item: str, metric: str, reference: Sequence[str], answer: Sequence[str], transcript: str) -> Score:
    counted = _counter()(" ".join(reference), " ".join(answer))
    return Score(item=item, metric=metric, value=counted.errors, weight=counted.words, reason=transcript)


@cache
def _counter() -> Callable[[str, str], "WordErrors"]:
    try:
        from opens2s_core.benchmark.word_error import count_word_errors
    except ImportError as error:
        raise ImportError("recognition needs jiwer (pip install 'opens2s-on-ray[evaluation]')") from error
    return count_word_errors


def _item(
    clip: Clip, instruction: str | None, *, references: tuple[str, ...] = (), labels: Mapping[str, Any] | None = None
) -> Item:
    return Item(
        id=clip.id,
        turns=(Turn(text=clip.transcript, audio=clip.audio, instruction=instruction or ""),),
        transcribe=instruction is None,
        language=clip.language,
        category=clip.emotion,
        references=references,
        labels=labels or {},
    )


def _facts(data: str, rows: int) -> dict[str, Any]:
    return {"sha256": checksum(data), "rows": rows}
