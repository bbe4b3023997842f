"""Training data of the flow: units of utterances, their mel, and their speaker."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from opens2s_core.audio import Waveform
from opens2s_core.config import Token2WavConfig
from opens2s_core.models.flow import FlowBatch, mel_frames
from opens2s_core.models.vocoder import samples_per_frame
from opens2s_core.training.voice.corpus import SpeechCorpus
from opens2s_core.training.voice.features import corpus_units, crop_log_mel

_MEAN_OF = 64


def speaker_vector(voice: str, size: int) -> NDArray[np.float32]:
    """Unit vector (size,) of a voice other than the default one, a function of its name."""
    seed = int.from_bytes(hashlib.sha256(voice.encode()).digest()[:8], "big")
    vector = np.random.default_rng(seed).standard_normal(size, dtype=np.float32)
    return vector / np.linalg.norm(vector)


class FlowSpeech:
    """The utterances of ``voice``, the default one, and of ``others``; ``lengths`` are in units.

    Units are encoded once by the speech tokenizer in the directory ``tokenizer`` and cached in ``cache``. Raises
    ``ValueError`` if the corpus has none of the voices.
    """

    def __init__(
        self,
        corpus: SpeechCorpus,
        model: Token2WavConfig,
        voice: str,
        others: tuple[str, ...],
        *,
        tokenizer: Path,
        cache: Path,
        device: torch.device,
    ) -> None:
        self._corpus, self._model, self._voice, self._device = corpus, model, voice, device
        voices = (voice, *others)
        self._indices = [i for i, utterance in enumerate(corpus.utterances) if utterance.voice in voices]
        if not self._indices:
            known = sorted({utterance.voice for utterance in corpus.utterances})
            raise ValueError(f"expected utterances of {voices}, the corpus has {known}")
        self.units = list(corpus_units(corpus, self._indices, tokenizer, cache, device))
        self.lengths = np.array([len(units) for units in self.units])

    def mean_mel(self) -> Tensor:
        """Mean mel (mel,) of the first utterances."""
        lengths = self.lengths[:_MEAN_OF].tolist()
        mels = [self._mel(item, 0, mel_frames(length, self._model)) for item, length in enumerate(lengths)]
        return torch.cat(mels, dim=1).mean(1)

    def batch(self, items: list[int], starts: list[int], size: int) -> FlowBatch:
        """Windows of ``size`` units from ``starts``; their mel begins at the frame in which the first unit begins."""
        frames = mel_frames(size, self._model)
        windows = list(zip(items, starts, strict=True))
        units = np.stack([self.units[item][start : start + size] for item, start in windows])
        mels = [self._mel(item, mel_frames(start, self._model), frames) for item, start in windows]
        speakers = np.stack([self._speaker(item) for item in items])
        return FlowBatch(
            units=torch.from_numpy(units).to(self._device),
            unit_lengths=torch.full((len(items),), size, device=self._device),
            mel=torch.stack(mels).to(self._device),
            mel_lengths=torch.full((len(items),), frames, device=self._device),
            speaker=torch.from_numpy(speakers).to(self._device),
        )

    def _mel(self, item: int, start: int, frames: int) -> Tensor:
        return crop_log_mel(self._whole_units(item), start, frames, self._model.hift)

    def _whole_units(self, item: int) -> Waveform:
        """The waveform, padded with silence to the end of its last unit, as in the tokenizer."""
        vocoder = self._model.hift
        samples = self._corpus.waveform(self._indices[item], vocoder.sampling_rate)
        length = mel_frames(len(self.units[item]), self._model) * samples_per_frame(vocoder)
        return np.pad(samples, (0, max(length - len(samples), 0)))

    def _speaker(self, item: int) -> NDArray[np.float32]:
        voice, size = self._corpus.utterances[self._indices[item]].voice, self._model.flow.spk_embed_dim
        return np.zeros(size, np.float32) if voice == self._voice else speaker_vector(voice, size)
