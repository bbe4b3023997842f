"""Length of a bundle's speech relative to its text, why it ends, and its word error rate, with greedy and sampled
units.

The texts are answers to example questions, and very short texts that are read aloud.
"""

import csv
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from opens2s_core.audio import SAMPLE_RATE, decode_audio, resample
from opens2s_core.benchmark.recogniser import Recogniser
from opens2s_core.benchmark.rendering import streamed
from opens2s_core.benchmark.report import Bound, Measurement
from opens2s_core.benchmark.word_error import bootstrap_percent, count_word_errors, percent
from opens2s_core.checkpoint.bundle import BundleInfo, read_bundle_info
from opens2s_core.inference.engine import Engine
from opens2s_core.inference.loading import build_engine
from opens2s_core.inference.messages import HiddenStates, ReplyRequest, Sampling, SpeechFinish, TextDelta, Units
from opens2s_core.inference.token2wav import Token2WavEngine
from opens2s_core.prompt import Audio, Message, read_aloud
from opens2s_core.storage import SETTINGS, fetch_directory

T = TypeVar("T")

PACKAGES = ("pocketsphinx", "jiwer")
"""Packages that affect the values."""
DECODING = {"greedy": 0.0, "sampled": 1.0}
"""Temperatures of the units by name."""
READINGS = ("a", "I", "Hi.", "OK", "no")
WITHIN = Bound("at most", 3)
"""Multiple of the expected length."""
_MAX_UNITS = 2048


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeechLengthBenchmark:
    """``examples`` is a directory with ``examples.tsv`` (columns ``file`` and others) and the audio files it names.
    The first ``recognised`` replies are synthesised and transcribed. Reply i is sampled with ``seed`` + i."""

    bundle: str
    examples: Path
    recognised: int = 16
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Speech:
    """The generated speech of one request."""

    text: str
    hidden_states: int  # their number
    units: NDArray[np.int64]
    finish: SpeechFinish

    def length(self, info: BundleInfo) -> float:
        """Length as a multiple of the expected length for the text."""
        return len(self.units) / (info.units_per_token * self.hidden_states)


def measure_speech_length(config: SpeechLengthBenchmark, recogniser: Recogniser) -> list[Measurement]:
    """Raises ``ValueError`` for a directory without examples."""
    bundle = fetch_directory(config.bundle, *SETTINGS)
    info = read_bundle_info(bundle)
    thinker, decoder = (build_engine(stage, bundle, capacity=1) for stage in ("thinker", "speech_decoder"))
    token2wav = build_engine("token2wav", bundle, capacity=1)
    assert isinstance(token2wav, Token2WavEngine)
    questions = read_questions(config.examples)
    rows = []
    for name, temperature in DECODING.items():
        sampling = Sampling(temperature=temperature, max_tokens=_MAX_UNITS)
        answers = [
            generate(thinker, decoder, ReplyRequest(messages=(Message("user", (Audio(question),)),), units=units))
            for question, units in _seeded(
                tqdm(questions, desc=f"{name}: answers", unit="reply"), sampling, config.seed
            )
        ]
        readings = [
            generate(thinker, decoder, ReplyRequest(messages=read_aloud(text), reply_text=text, units=units))
            for text, units in _seeded(READINGS, sampling, config.seed)
        ]
        rows += [*_length_rows(f"{name}, answers", answers, info), *_length_rows(f"{name}, readings", readings, info)]
        rows.append(_word_error_row(name, answers[: config.recognised], token2wav, recogniser, config.seed))
    return rows


def read_questions(examples: Path) -> list[NDArray[np.float32]]:
    """The audio of each example, (n,) at 16 kHz."""
    table = examples / "examples.tsv"
    if not table.is_file():
        raise ValueError(f"{examples}: expected a directory with examples.tsv and audio files")
    with table.open(encoding="utf-8", newline="") as file:
        names = [row["file"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    return [resample(*decode_audio((examples / name).read_bytes()), SAMPLE_RATE) for name in names]


def generate(thinker: Engine, decoder: Engine, request: ReplyRequest) -> Speech:
    """Generate one reply with engines that have no other streams."""
    thinker_stream, decoder_stream = thinker.open(request), decoder.open(request)
    text, hidden_states, units = "", 0, list[int]()
    finish: SpeechFinish | None = None
    while finish is None:
        thinker.step()
        decoder.step()
        for message in [*thinker.chunks(thinker_stream), *decoder.chunks(decoder_stream)]:
            match message:
                case TextDelta(delta):
                    text += delta
                case HiddenStates(values):
                    hidden_states += len(values)
                    decoder.push(decoder_stream, message)
                case Units(ids):
                    units += ids.tolist()
                    finish = message.finish
    thinker.close(thinker_stream)
    decoder.close(decoder_stream)
    return Speech(text=text, hidden_states=hidden_states, units=np.array(units, dtype=np.int64), finish=finish)


def _seeded(items: Iterable[T], sampling: Sampling, first: int) -> Iterator[tuple[T, Sampling]]:
    """Each item with a different seed, so that the result does not depend on one seed."""
    return ((item, replace(sampling, seed=first + i)) for i, item in enumerate(items))


def _length_rows(name: str, replies: Sequence[Speech], info: BundleInfo) -> list[Measurement]:
    ends = Counter(speech.finish for speech in replies)
    lengths = [speech.length(info) for speech in replies]
    seconds = [len(speech.units) / info.units_per_second for speech in replies]
    reasons: tuple[SpeechFinish, ...] = ("stop", "length", "loop")
    return [
        *(
            Measurement(name=f"{name}: ended by {reason}", value=ends[reason], unit=f"of {len(replies)}")
            for reason in reasons
        ),
        Measurement(name=f"{name}: length to expected length, median", value=statistics.median(lengths), unit="times"),
        Measurement(name=f"{name}: length to expected length, maximum", value=max(lengths), unit="times", bound=WITHIN),
        Measurement(name=f"{name}: seconds of audio, maximum", value=max(seconds), unit="s"),
    ]


def _word_error_row(
    name: str, replies: Sequence[Speech], token2wav: Token2WavEngine, recogniser: Recogniser, seed: int
) -> Measurement:
    rate = token2wav.config.hift.sampling_rate
    audio = [
        resample(streamed(token2wav, speech.units, seed), rate, SAMPLE_RATE)
        for speech in tqdm(replies, desc=f"{name}: audio", unit="reply")
    ]
    transcripts = recogniser.transcribe(audio)
    counted = [count_word_errors(speech.text, found) for speech, found in zip(replies, transcripts, strict=True)]
    errors, words = (np.array([getattr(each, part) for each in counted]) for part in ("errors", "words"))
    return Measurement(
        name=f"{name}, answers: word error rate over {len(replies)} replies",
        value=percent(errors, words),
        unit="%",
        interval=bootstrap_percent(errors, words, seed),
    )
