"""Compares streamed speech with one-shot speech on held-out sentences."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from opens2s_core.audio import SAMPLE_RATE, Waveform, resample
from opens2s_core.benchmark.acoustics import mel_distance
from opens2s_core.benchmark.recogniser import Recogniser
from opens2s_core.benchmark.rendering import Voice, load_voice, one_shot, streamed
from opens2s_core.benchmark.report import Bound, Measurement
from opens2s_core.benchmark.voice import choose_sentences, most_recorded
from opens2s_core.benchmark.word_error import bootstrap_percent, count_word_errors, percent
from opens2s_core.inference.chunk_grid import ChunkGrid
from opens2s_core.inference.token2wav import Token2WavEngine
from opens2s_core.models.flow import mel_frames
from opens2s_core.training.voice.corpus import SpeechCorpus
from opens2s_core.voices import HELD_OUT, SLT

WORD_ERROR_ADDED = Bound("at most", 2.0)
DISTANCE = Bound("at most", 1.5)
"""Relative to the distance between two one-shot renderings with different seeds. The context of a chunk is shorter than
that of the same units at once: this may change the audio by half as much again as another seed does."""
LOUD_BORDERS = Bound("at most", 4.0)
"""The expected value is 1 per cent, and of 150 borders at most 4 in 999 of 1,000 runs; audible seams affect most
borders."""
FLUX = Bound("at most", 1.1)
"""A smaller increase over one-shot speech at the same position is not audible as a seam."""
_REACH = 2
"""Mel frames per side of a border that analysis windows overlap with."""


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str
    units: NDArray[np.int64]
    whole: Waveform
    chunked: Waveform
    other_seed: Waveform  # one-shot
    no_look_back: Waveform  # in chunks without look-back


def quality_rows(recogniser: Recogniser, sentences: int) -> list[Measurement]:
    """Rows of the voice of this package on ``sentences`` held-out sentences."""
    voice = load_voice(SLT)
    rendered = _render_sentences(voice, sentences)
    return [*_word_rows(voice, rendered, recogniser), *_distance_rows(voice, rendered), *_border_rows(voice, rendered)]


def _render_sentences(voice: Voice, count: int) -> list[_Sentence]:
    corpus = SpeechCorpus(str(HELD_OUT), "held_out")
    no_look_back = Token2WavEngine(voice.flow, voice.vocoder, capacity=1, grid=ChunkGrid(look_back=0))
    sentences = []
    for i in tqdm(choose_sentences(corpus, most_recorded(corpus), count), desc="synthesising", unit="sentence"):
        units = np.array(voice.tokenizer.encode([corpus.waveform(i, SAMPLE_RATE)])[0])
        sentences.append(
            _Sentence(
                text=corpus.utterances[i].text,
                units=units,
                whole=one_shot(voice, units, seed=0),
                chunked=streamed(voice.engine, units, seed=0),
                other_seed=one_shot(voice, units, seed=1),
                no_look_back=streamed(no_look_back, units, seed=0),
            )
        )
    return sentences


def _word_rows(voice: Voice, sentences: Sequence[_Sentence], recogniser: Recogniser) -> list[Measurement]:
    waveforms = [*(sentence.whole for sentence in sentences), *(sentence.chunked for sentence in sentences)]
    transcripts = recogniser.transcribe([resample(waveform, voice.rate, SAMPLE_RATE) for waveform in waveforms])
    texts = [sentence.text for sentence in sentences]
    counted = [count_word_errors(text, words) for text, words in zip(2 * texts, transcripts, strict=True)]
    whole, chunked = np.array([errors.errors for errors in counted]).reshape(2, -1)
    words = np.array([errors.words for errors in counted[: len(texts)]])
    return [
        Measurement(name="word error rate, one-shot", value=percent(whole, words), unit="%"),
        Measurement(name="word error rate, in chunks", value=percent(chunked, words), unit="%"),
        Measurement(
            name="word error rate, added by chunks",
            value=percent(chunked - whole, words),
            unit="percentage points",
            bound=WORD_ERROR_ADDED,
            interval=bootstrap_percent(chunked - whole, words, seed=0),
        ),
    ]


def _distance_rows(voice: Voice, sentences: Sequence[_Sentence]) -> list[Measurement]:
    def distance(name: str) -> float:
        pairs = [(voice.mel(getattr(sentence, name)), voice.mel(sentence.whole)) for sentence in sentences]
        return float(np.mean([mel_distance(*pair) for pair in pairs]))

    chunked, other_seed = distance("chunked"), distance("other_seed")
    return [
        Measurement(name="mel distance, one-shot with another seed to one-shot", value=other_seed, unit="Np"),
        Measurement(name="mel distance, chunked to one-shot", value=chunked, unit="Np"),
        Measurement(
            name="mel distance, ratio of chunked to one-shot with another seed",
            value=chunked / other_seed,
            unit="times",
            bound=DISTANCE,
        ),
    ]


def _border_rows(voice: Voice, sentences: Sequence[_Sentence]) -> list[Measurement]:
    at_borders, elsewhere = _split_flux(voice, sentences, "chunked")
    loud = 100 * float(np.mean(at_borders > np.percentile(elsewhere, 99)))
    whole, no_look_back = (_split_flux(voice, sentences, name)[0].mean() for name in ("whole", "no_look_back"))
    return [
        Measurement(name="chunk borders, count", value=len(at_borders), unit="borders"),
        Measurement(
            name="chunk borders with a spectral flux above the 99th percentile elsewhere",
            value=loud,
            unit="%",
            bound=LOUD_BORDERS,
        ),
        Measurement(
            name="spectral flux at chunk borders, ratio of chunked to one-shot",
            value=float(at_borders.mean() / whole),
            unit="times",
            bound=FLUX,
        ),
        Measurement(
            name="spectral flux at chunk borders, ratio of chunked without look-back to one-shot",
            value=float(no_look_back / whole),
            unit="times",
        ),
    ]


def _split_flux(
    voice: Voice, sentences: Sequence[_Sentence], rendering: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Spectral flux of a rendering at chunk borders and away from them."""
    at_borders: list[float] = []
    elsewhere: list[float] = []
    for sentence in sentences:
        flux = _flux(voice, getattr(sentence, rendering))
        borders = [frame for frame in _borders(voice, len(sentence.units)) if frame < len(flux)]
        at_borders += [flux[frame] for frame in borders]
        near = {frame + offset for frame in borders for offset in range(-2 * _REACH, 2 * _REACH + 1)}
        elsewhere += [value for frame, value in enumerate(flux) if frame not in near]
    return np.array(at_borders), np.array(elsewhere)


def _flux(voice: Voice, waveform: Waveform) -> list[float]:
    """For each mel frame, the maximum mean change of the log-mel within an analysis window."""
    mel = voice.mel(waveform)
    change = (mel[:, 1:] - mel[:, :-1]).abs().mean(0)
    widest = torch.nn.functional.max_pool1d(change[None], 2 * _REACH + 1, stride=1, padding=_REACH)[0]
    return widest.tolist()


def _borders(voice: Voice, units: int) -> list[int]:
    """The mel frames at which chunks end, except the last."""
    grid, ends = voice.engine.grid, [0]
    while (end := grid.end(ends[-1])) < units:
        ends.append(end)
    return [mel_frames(end, voice.engine.config) for end in ends[1:]]
