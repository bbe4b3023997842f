"""Random dialogues with the lengths of real ones, for benchmarks of training. Their ids are as frequent as words are
(Zipf's law), which a few steps learn; units and audio are noise."""

from dataclasses import dataclass

import numpy as np

from opens2s_core.audio import SAMPLE_RATE, encode_audio
from opens2s_core.benchmark.engine_models import noise
from opens2s_core.checkpoint.bundle import UNITS_PER_TOKEN
from opens2s_core.checkpoint.vocabulary import Vocabulary
from opens2s_core.models.opens2s_config import OpenS2SConfig
from opens2s_core.prompt import AUDIO_SLOT, IGNORED
from opens2s_core.training.batch import EncodedSample

_TURNS = {1: 0.6, 2: 0.25, 3: 0.15}  # share of the dialogues
_AROUND = 12  # ids of a turn's template


@dataclass(frozen=True, slots=True)
class Dialogue:
    sample: EncodedSample
    length: int  # positions of the LLM
    speech_length: int  # positions of the speech decoder


class Dialogues:
    """Spoken turns with spoken replies, as :class:`~opens2s_core.training.loader.Samples`.

    The durations of clips are log-normal around 4 s, the tokens of replies around 25. The speech of a reply is as long
    as the model's units per token say, give or take a fifth.
    """

    def __init__(self, config: OpenS2SConfig, vocabulary: Vocabulary, count: int, *, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.dialogues = [_dialogue(config, vocabulary, rng) for _ in range(count)]

    def __len__(self) -> int:
        return len(self.dialogues)

    @property
    def lengths(self) -> list[int]:
        return [dialogue.length for dialogue in self.dialogues]

    @property
    def speech_lengths(self) -> list[int]:
        return [dialogue.speech_length for dialogue in self.dialogues]

    def __getitem__(self, index: int) -> EncodedSample:
        return self.dialogues[index].sample


def _dialogue(config: OpenS2SConfig, vocabulary: Vocabulary, rng: np.random.Generator) -> Dialogue:
    ids: list[int] = []
    types: list[int] = []
    labels: list[int] = []
    audios, units = [], []
    length = speech_length = 0
    frequencies = 1 / np.arange(1, config.llm.vocab_size + 1)
    frequencies /= frequencies.sum()
    for _ in range(rng.choice(list(_TURNS), p=list(_TURNS.values()))):
        clip = noise(int(rng.integers(1 << 32)), _around(rng, 4.0, 1.0, 20.0))
        tokens = round(_around(rng, 25, 4, 120))
        reply = rng.choice(len(frequencies), tokens, p=frequencies).tolist()
        spoken = round(tokens * (config.units_per_token or UNITS_PER_TOKEN) * rng.uniform(0.8, 1.2))
        ids += [*rng.integers(0, config.llm.vocab_size, _AROUND).tolist(), AUDIO_SLOT, *reply]
        types += [0] * (_AROUND + 1) + [1] * tokens
        labels += [IGNORED] * (_AROUND + 1) + reply
        audios.append(encode_audio(clip, SAMPLE_RATE))
        units.append(rng.integers(0, vocabulary.units.size, spoken).tolist())
        length += _AROUND + config.audio_positions(len(clip)) + tokens
        speech_length += 1 + tokens + spoken + 1
    return Dialogue(EncodedSample(ids, types, labels, audios, units), length, speech_length)


def _around(rng: np.random.Generator, median: float, least: float, most: float) -> float:
    return float(np.clip(median * np.exp(rng.normal(0, 0.6)), least, most))
