"""Benchmark of a voice on held-out sentences: intelligibility, similarity to the recordings, and speed.

A recogniser transcribes the recordings and each rendition, to separate the errors of the voice from its own.
"""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from opens2s_core.audio import SAMPLE_RATE, resample
from opens2s_core.benchmark.acoustics import Pitch, mel_distance, pitch_errors
from opens2s_core.benchmark.codebook import codebook_usage
from opens2s_core.benchmark.recogniser import Recogniser
from opens2s_core.benchmark.rendering import RENDITIONS, Rendered, Voice, load_voice, render
from opens2s_core.benchmark.report import Bound, Measurement
from opens2s_core.benchmark.word_error import Counts, WordErrors, bootstrap_percent, count_word_errors, percent
from opens2s_core.models.vocoder import samples_per_frame
from opens2s_core.training.voice.corpus import SpeechCorpus
from opens2s_core.training.voice.features import pitch

PACKAGES = ("pocketsphinx", "jiwer", "praat-parselmouth")
"""Packages that affect the values."""
RECORDED, *SYNTHESISED = RENDITIONS
_FROM_UNITS = ("one-shot", "streamed")
WORD_ERROR_ADDED = Bound("at most", 12)
"""Percentage points that tokenizer, flow and vocoder add to the recogniser's word error on the recordings."""
CODES_ALIVE = Bound("at least", 60)


@dataclass(frozen=True, kw_only=True, slots=True)
class VoiceBenchmark:
    """``speaker`` is the voice of the corpus whose held-out ``sentences`` are used; None is the one with the most."""

    corpus: str
    voice: str
    speaker: str | None = None
    sentences: int = 100
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class VoiceResult:
    """Results for rows, plots and the card; lists have one entry per sentence."""

    speaker: str
    voice: Voice
    ids: list[str]
    rendered: list[Rendered]
    transcripts: Mapping[str, list[str]]  # by rendition
    rows: list[Measurement]


def measure_voice(config: VoiceBenchmark, recogniser: Recogniser) -> VoiceResult:
    """Raises ``ValueError`` for a corpus with too few held-out sentences, or with a sentence without words."""
    voice = load_voice(config.voice)
    held_out = SpeechCorpus(config.corpus, "held_out")
    speaker = config.speaker or most_recorded(held_out)
    chosen = choose_sentences(held_out, speaker, config.sentences)
    rendered = [
        render(voice, held_out.waveform(i, voice.rate), held_out.waveform(i, SAMPLE_RATE), config.seed)
        for i in tqdm(chosen, desc="synthesising", unit="sentence")
    ]
    texts = [held_out.utterances[i].text for i in chosen]
    transcripts = _transcribe(recogniser, rendered, voice.rate)
    rows = [
        *_word_rows(texts, transcripts, config.seed),
        *_mel_rows(voice, rendered),
        *_pitch_rows(voice, rendered),
        *_codebook_rows(voice, rendered),
        *_speed_rows(voice, rendered),
    ]
    ids = [held_out.utterances[i].id for i in chosen]
    return VoiceResult(speaker=speaker, voice=voice, ids=ids, rendered=rendered, transcripts=transcripts, rows=rows)


def most_recorded(corpus: SpeechCorpus) -> str:
    """The voice with the most utterances, the first of those in the manifest."""
    return Counter(utterance.voice for utterance in corpus.utterances).most_common(1)[0][0]


def choose_sentences(corpus: SpeechCorpus, speaker: str, count: int) -> list[int]:
    """Indices of the speaker's first ``count`` utterances. Raises ``ValueError`` if there are fewer."""
    if count < 1:
        raise ValueError(f"sentences must be at least 1, got {count}")
    indices = [i for i, utterance in enumerate(corpus.utterances) if utterance.voice == speaker]
    if len(indices) < count:
        raise ValueError(f"expected {count} held-out sentences of {speaker!r}, the corpus has {len(indices)}")
    return indices[:count]


def _transcribe(recogniser: Recogniser, rendered: Sequence[Rendered], rate: int) -> dict[str, list[str]]:
    waveforms = [
        resample(sentence.waveforms[rendition], rate, SAMPLE_RATE) for rendition in RENDITIONS for sentence in rendered
    ]
    words, count = recogniser.transcribe(waveforms), len(rendered)
    return {rendition: words[i * count : (i + 1) * count] for i, rendition in enumerate(RENDITIONS)}


def _word_rows(texts: Sequence[str], transcripts: Mapping[str, Sequence[str]], seed: int) -> list[Measurement]:
    counted = {
        rendition: [count_word_errors(text, words) for text, words in zip(texts, transcripts[rendition], strict=True)]
        for rendition in RENDITIONS
    }
    word_counts = np.array([errors.words for errors in counted[RECORDED]])
    recorded = _errors(counted[RECORDED])
    rows = [_percent_row(f"word error, {name}", _errors(counted[name]), word_counts, seed, "%") for name in RENDITIONS]
    for name in SYNTHESISED:
        bound = WORD_ERROR_ADDED if name in _FROM_UNITS else None
        added = _errors(counted[name]) - recorded
        rows.append(_percent_row(f"word error added, {name}", added, word_counts, seed, "points", bound))
    return rows


def _errors(counted: Sequence[WordErrors]) -> Counts:
    return np.array([errors.errors for errors in counted])


def _percent_row(
    name: str, errors: Counts, words: Counts, seed: int, unit: str, bound: Bound | None = None
) -> Measurement:
    interval = bootstrap_percent(errors, words, seed)
    return Measurement(name=name, value=percent(errors, words), unit=unit, bound=bound, interval=interval)


def _mel_rows(voice: Voice, rendered: Sequence[Rendered]) -> list[Measurement]:
    recorded = [voice.mel(sentence.waveforms[RECORDED]) for sentence in rendered]
    mels = {name: [voice.mel(sentence.waveforms[name]) for sentence in rendered] for name in SYNTHESISED}
    mels["flow alone"] = [sentence.flow_mel for sentence in rendered]
    return [
        Measurement(
            name=f"mel distance, {name}", value=statistics.fmean(map(mel_distance, renditions, recorded)), unit="Np"
        )
        for name, renditions in mels.items()
    ]


def _pitch_rows(voice: Voice, rendered: Sequence[Rendered]) -> list[Measurement]:
    hop = samples_per_frame(voice.vocoder.config)

    def pitches(name: str) -> list[Pitch]:
        return [pitch(sentence.waveforms[name], voice.rate, hop) for sentence in rendered]

    recorded = pitches(RECORDED)
    rows = []
    for name in SYNTHESISED:
        errors = pitch_errors(pitches(name), recorded)
        rows.append(Measurement(name=f"f0 error, {name}", value=errors.cents, unit="cents"))
        rows.append(Measurement(name=f"voicing error, {name}", value=errors.voicing, unit="% of frames"))
    return rows


def _codebook_rows(voice: Voice, rendered: Sequence[Rendered]) -> list[Measurement]:
    size = voice.tokenizer.config.quantize_vocab_size
    usage = codebook_usage([sentence.units for sentence in rendered], size)
    return [
        Measurement(name="codes alive", value=usage.alive, unit=f"% of {size}", bound=CODES_ALIVE),
        Measurement(name="perplexity", value=usage.perplexity, unit="codes"),
    ]


def _speed_rows(voice: Voice, rendered: Sequence[Rendered]) -> list[Measurement]:
    """Medians over the sentences: seconds of computation per second of audio."""
    seconds = [len(sentence.waveforms[RECORDED]) / voice.rate for sentence in rendered]
    encoding = [sentence.encode_seconds / each for sentence, each in zip(rendered, seconds, strict=True)]
    synthesis = [sentence.stream_seconds / each for sentence, each in zip(rendered, seconds, strict=True)]
    return [
        Measurement(name="real-time factor, speech tokenizer", value=statistics.median(encoding), unit="s/s"),
        Measurement(name="real-time factor, token2wav", value=statistics.median(synthesis), unit="s/s"),
        Measurement(name="speech measured", value=sum(seconds), unit="s"),
    ]
