"""How well the embedded voices are understood, and how much of an emotion or a tone is in their prosody."""

import itertools
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context

import numpy as np
import torch

from data_pipeline.records import Emotion
from data_pipeline.synthesis.embedded_writer import EmbeddedWriter
from data_pipeline.synthesis.protocols import (
    Person,
    ReplyRequest,
    SpeechRequest,
    UserTurnRequest,
    WrittenMessage,
    WrittenReply,
)
from data_pipeline.synthesis.quality.emotion import (
    EmotionClassifier,
    EmotionEvaluation,
    count_predictions,
    evaluate_unseen_speakers,
)
from data_pipeline.synthesis.quality.prosody_features import prosody_features
from data_pipeline.synthesis.recognisers.opening import open_recogniser
from data_pipeline.synthesis.speakers.embedded import EMBEDDED_VOICES, EmbeddedSpeaker
from data_pipeline.synthesis.speakers.flite import find_flite
from data_pipeline.synthesis.speakers.prosody import EMOTION_RANGES, TONE_RANGES
from opens2s_core.benchmark.report import Bound, Measurement
from opens2s_core.benchmark.word_error import WordErrors, bootstrap_percent, count_word_errors

_MAX_WORD_ERROR = 3.0
_MIN_RECALL = 60.0
_SPEAKER = "every speaker"
"""Of a classifier that does not know who speaks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VoicesBenchmark:
    """``replies`` in each tone are recognised. Emotions are classified in ``clips`` of each emotion and voice: trained
    on ``trained`` voices of espeak-ng, tested on ``unseen`` others, whose variants are not among them, and on flite's.
    """

    reply_voice: str = "piper:joe"
    replies: int = 80
    clips: int = 7
    trained: int = 20
    unseen: int = 8
    processes: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("replies", "clips", "trained", "unseen", "processes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")


Found = Measurement | EmotionEvaluation | EmotionClassifier


def voice_rows(benchmark: VoicesBenchmark) -> Iterator[Found]:
    """Rows of the report, the matrix behind each recall, and the classifier of emotions."""
    with ProcessPoolExecutor(benchmark.processes, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        yield from _word_error_rows(benchmark, pool)
        yield from _emotion_rows(benchmark, pool)
        yield from _tone_rows(benchmark, pool)


def _one_thread() -> None:
    torch.set_num_threads(1)


def _word_error_rows(benchmark: VoicesBenchmark, pool: ProcessPoolExecutor) -> Iterator[Measurement]:
    texts = [reply.text for reply in _replies(benchmark.replies * len(TONE_RANGES), benchmark.seed)]
    tones = list(itertools.islice(itertools.cycle(TONE_RANGES), len(texts)))
    requests = [
        SpeechRequest(text=text, voice=benchmark.reply_voice, tone=tone, seed=number)
        for number, (text, tone) in enumerate(zip(texts, tones, strict=True))
    ]
    found = list(pool.map(_word_errors, requests, chunksize=8))
    yield _word_error(f"word error of {len(found)} replies by {benchmark.reply_voice}, all tones", found, bounded=True)
    for tone in TONE_RANGES:
        own = [errors for errors, its in zip(found, tones, strict=True) if its == tone]
        yield _word_error(f"word error of {len(own)} replies, {tone}", own)


def _word_error(name: str, found: Sequence[WordErrors], *, bounded: bool = False) -> Measurement:
    errors, words = (np.array([getattr(each, key) for each in found]) for key in ("errors", "words"))
    return Measurement(
        name=name,
        value=100 * float(errors.sum() / words.sum()),
        unit="%",
        bound=Bound("at most", _MAX_WORD_ERROR) if bounded else None,
        spread=bootstrap_percent(errors, words, seed=0),
        better="lower",
    )


def _emotion_rows(benchmark: VoicesBenchmark, pool: ProcessPoolExecutor) -> Iterator[Found]:
    trained, unseen = _voices(benchmark)
    cells = list(itertools.product((*trained, *unseen), EMOTION_RANGES, range(benchmark.clips)))
    texts = _neutral_texts(len(cells), benchmark.seed)  # what is said does not tell the emotion
    requests = [
        SpeechRequest(text=text, voice=voice, emotion=emotion, seed=number)
        for number, (text, (voice, emotion, _)) in enumerate(zip(texts, cells, strict=True))
    ]
    features = np.stack(list(pool.map(_features, requests, chunksize=16)))
    labels, voices = [emotion for _, emotion, _ in cells], [voice for voice, _, _ in cells]
    known = evaluate_unseen_speakers(features, labels, voices, unseen)
    held_out = np.isin(np.array(voices), unseen)
    classifier, alone = _evaluate(features, labels, held_out)
    yield classifier
    yield from _recalls("emotions of unseen voices", alone, bounded=True)
    yield from _recalls("emotions of unseen voices, given their neutral clips", known)


def _evaluate(
    features: np.ndarray, labels: Sequence[str], tested: np.ndarray
) -> tuple[EmotionClassifier, EmotionEvaluation]:
    """A classifier that knows nothing of the speakers, trained on the clips that are not ``tested``."""
    names = np.array(labels)
    classifier = EmotionClassifier.fit(features[~tested], names[~tested].tolist(), [_SPEAKER] * int((~tested).sum()))
    predicted = classifier.predict(features[tested], [""] * int(tested.sum()), {})
    return classifier, count_predictions(names[tested].tolist(), predicted, tuple(sorted(set(labels))))


def _tone_rows(benchmark: VoicesBenchmark, pool: ProcessPoolExecutor) -> Iterator[Found]:
    """There is one voice of replies: trained and tested on different texts."""
    cells = list(itertools.product(TONE_RANGES, range(3 * benchmark.clips)))
    texts = _neutral_texts(len(cells), benchmark.seed + 1)
    requests = [
        SpeechRequest(text=text, voice=benchmark.reply_voice, tone=tone, seed=number)
        for number, (text, (tone, _)) in enumerate(zip(texts, cells, strict=True))
    ]
    features = np.stack(list(pool.map(_features, requests, chunksize=8)))
    tested = np.array([number >= 2 * benchmark.clips for _, number in cells])
    _, evaluation = _evaluate(features, [tone for tone, _ in cells], tested)
    yield from _recalls("tones of replies, unseen texts", evaluation)


def _recalls(name: str, evaluation: EmotionEvaluation, *, bounded: bool = False) -> Iterator[Found]:
    yield Measurement(
        name=f"macro recall, {name}",
        value=100 * evaluation.macro_recall,
        unit="%",
        bound=Bound("at least", _MIN_RECALL) if bounded else None,
        better="higher",
    )
    yield evaluation


def _voices(benchmark: VoicesBenchmark) -> tuple[list[str], list[str]]:
    """Voices to train on, and unseen ones; a variant of espeak-ng is on one side only."""
    voices = [voice.name for voice in EMBEDDED_VOICES.values() if voice.language == "en"]
    espeak = [name for name in voices if name.startswith("espeak:")]
    random.Random(benchmark.seed).shuffle(espeak)
    unseen = espeak[: benchmark.unseen]
    variants = {_variant(name) for name in unseen}
    trained = [name for name in espeak[benchmark.unseen :] if _variant(name) not in variants][: benchmark.trained]
    return trained, unseen + ([name for name in voices if name.startswith("flite:")] if find_flite() else [])


def _variant(name: str) -> str:
    return name.rpartition("+")[2].partition("@")[0]


def _neutral_texts(count: int, seed: int) -> list[str]:
    writer = EmbeddedWriter()
    topics = itertools.cycle(writer.topics)
    person = Person(age="adult", emotion="neutral")
    requests = [
        UserTurnRequest(topic=next(topics), person=person, count=1, seed=seed * count + number)
        for number in range(count)
    ]
    return [text for written in writer.user_turns(requests) if isinstance(written, list) for text in written]


def _replies(count: int, seed: int) -> list[WrittenReply]:
    """Different ones, to users in all emotions."""
    writer, emotions = EmbeddedWriter(), itertools.cycle(EMOTION_RANGES)
    found: dict[str, WrittenReply] = {}
    for number, text in enumerate(_neutral_texts(3 * count, seed)):
        emotion: Emotion = next(emotions)
        message = WrittenMessage(role="user", text=text, person=Person(age="adult", emotion=emotion))
        (reply,) = writer.replies([ReplyRequest(messages=(message,), seed=number)])
        if isinstance(reply, WrittenReply):
            found.setdefault(reply.text, reply)
    return list(found.values())[:count]


@lru_cache(maxsize=1)
def _speaker() -> EmbeddedSpeaker:
    return EmbeddedSpeaker()


_recogniser = lru_cache(maxsize=1)(open_recogniser)


def _word_errors(request: SpeechRequest) -> WordErrors:
    return count_word_errors(request.text, _recogniser().transcribe(_speaker().speak(request), "en"))


def _features(request: SpeechRequest) -> np.ndarray:
    features: np.ndarray = prosody_features(_speaker().speak(request))
    return features
