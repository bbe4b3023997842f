"""Stage of a voice: units → log-mel, the published flow trained on one voice or several.

A step's items are windows of utterances as serving gives them to the flow: whole units from anywhere, encoded by
themselves, the blocks of the encoder counted from the window's start. All of a step's windows have one length, so
nothing is padded: padding is not neutral to this flow (tests/golden/token2wav_tiny/README.md, facts 6 and 7), and
synthesis has none.
B windows of N units and F mel frames.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from opens2s_core.audio import Waveform
from opens2s_core.config import Token2WavConfig
from opens2s_core.models.flow import Flow, FlowBatch, FlowDraws, mel_frames
from opens2s_core.models.vocoder import samples_per_frame
from opens2s_core.training.voice.corpus import SpeechCorpus
from opens2s_core.training.voice.export import export_flow
from opens2s_core.training.voice.features import corpus_units, crop_log_mel
from opens2s_core.training.voice.stage import (
    StageConfig,
    apply_gradients,
    autocast,
    generator_at,
    random_numbers_at,
    rng_at,
    seeded,
    stage_device,
)

TIME_BANDS = 4
_MEAN_OF = 64
_BATCH, _DRAWS, _HELD_OUT = 2, 3, 4  # purposes of random numbers


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowStageConfig(StageConfig):
    """What a step of the flow sees and what counts.

    ``voice`` is the product's own and gets the zero speaker vector; ``other_voices`` are learned too, each under the
    vector of its name (:func:`speaker_vector`). A step holds about ``batch_units`` units in windows of one of the
    sizes ``window_units``: serving's are 8, 20 and 44 at the start of a reply, then up to 57. Of its windows a share
    ``prefix_rate`` begins with known mel, up to ``prefix_share`` of its frames: in serving at most 33 of 57 units.
    """

    voice: str = "slt"
    other_voices: tuple[str, ...] = ()
    window_units: tuple[int, ...] = (8, 20, 32)
    batch_units: int = 320
    prefix_rate: float = 0.5
    prefix_share: float = 0.6
    mean_weight: float = 1.0  # of the L1 of mu, the mel that the units suggest, beside the flow-matching loss
    evaluate_every: int = 200  # steps between looks at held-out speech


class FlowStage:
    """Flow matching as published, with draws that depend on (seed, step) alone.

    Units are those of the speech tokenizer in the directory ``tokenizer``; they are encoded once and kept in ``cache``.
    Raises ``ValueError`` if no utterance of the voices is as long as a window.
    """

    name = "flow"

    def __init__(
        self,
        config: FlowStageConfig,
        model: Token2WavConfig,
        corpus: SpeechCorpus,
        held_out: SpeechCorpus | None = None,
        *,
        tokenizer: Path,
        cache: Path,
    ) -> None:
        self.config, self.model, self.device = config, model, stage_device()
        self.flow = seeded(config.seed, lambda: Flow(model.flow)).to(self.device)
        self._optimizer = config.optimizer(self.flow.parameters())
        voices = (config.voice, *config.other_voices)
        self._speech = _Speech(model, corpus, voices, tokenizer, cache, self.device)
        self._held_out: _Speech | None = None
        if held_out is not None:
            self._held_out = _Speech(model, held_out, (config.voice,), tokenizer, cache, self.device)
        self._windows = [size for size in config.window_units if size <= self._speech.longest]
        if not self._windows:
            raise ValueError(
                f"expected utterances of {voices} of at least {min(config.window_units)} units, "
                f"the longest has {self._speech.longest}"
            )
        self._start_from(self._speech.mean_mel())

    def modules(self) -> Mapping[str, nn.Module]:
        return {"flow": self.flow}

    def averaged(self) -> Mapping[str, nn.Module]:
        return {"flow": self.flow}

    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        return {"flow": self._optimizer}

    def export(self, modules: Mapping[str, nn.Module], directory: Path) -> None:
        flow = modules["flow"]
        assert isinstance(flow, Flow)
        export_flow(flow, self.model, directory)

    def step(self, step: int) -> dict[str, float]:
        """Losses of the step; every ``evaluate_every`` steps those on held-out speech besides."""
        self.flow.train()
        batch = self._batch(step)
        draws = _to(self._draws(step, batch), self.device)
        with random_numbers_at(self.config.seed, step, self.device), autocast(self.config, self.device):
            matching, mean = flow_losses(self.flow, batch, draws)
        (matching + self.config.mean_weight * mean).backward()
        norm = apply_gradients(self._optimizer, self.config, step)
        metrics = {"matching": float(matching.detach()), "mean_l1": float(mean.detach()), "gradient_norm": norm}
        if self._held_out is not None and (step + 1) % self.config.evaluate_every == 0:
            metrics |= self._evaluate(self._held_out)
        return metrics

    @torch.no_grad()
    def _evaluate(self, speech: "_Speech") -> dict[str, float]:
        """On the longest utterance: the flow-matching loss in the middle of each quarter of time, and the mean absolute
        error of the mel that is sampled from its units in 10 steps."""
        self.flow.eval()
        index = int(np.argmax(speech.lengths))
        batch = speech.batch([index], [0], int(speech.lengths[index]), self.config.voice)
        noise = torch.randn(batch.mel.shape, generator=generator_at(self.config.seed, 0, _HELD_OUT)).to(self.device)
        metrics = {}
        for band in range(TIME_BANDS):
            draws = FlowDraws(
                prefix=torch.zeros(1, device=self.device),
                time=torch.full((1,), (band + 0.5) / TIME_BANDS, device=self.device),
                noise=noise,
                guidance=torch.ones(1, device=self.device),
            )
            metrics[f"held_out_matching_{band}"] = float(self.flow.loss(batch, draws))
        sample = self.flow(batch.units, batch.mel[:, :, :0], noise, batch.speaker)
        return metrics | {"held_out_sample_l1": float((sample - batch.mel).abs().mean())}

    @torch.no_grad()
    def _start_from(self, mel: Tensor) -> None:
        """Let mu and the velocity begin at the mean mel (mel,), far from 0, which they need many steps to reach."""
        suggestion, velocity = self.flow.length_regulator.model[-1], self.flow.decoder.estimator.final_proj
        assert isinstance(suggestion, nn.Conv1d)
        for layer in (suggestion, velocity):
            assert layer.bias is not None
            layer.bias.copy_(mel)

    def _batch(self, step: int) -> FlowBatch:
        rng, lengths = rng_at(self.config.seed, step, _BATCH), self._speech.lengths
        size = int(rng.choice(self._windows))
        chance = np.where(lengths >= size, lengths, 0)
        items = rng.choice(len(lengths), max(self.config.batch_units // size, 1), p=chance / chance.sum())
        # The middle of a window may be anywhere, its ends not: so an utterance's first and last units get their share.
        starts = np.clip(rng.integers(-(size // 2), lengths[items] - size // 2), 0, lengths[items] - size)
        return self._speech.batch(items.tolist(), starts.tolist(), size, self.config.voice)

    def _draws(self, step: int, batch: FlowBatch) -> FlowDraws:
        generator = generator_at(self.config.seed, step, _DRAWS)
        rows, _, frames = batch.mel.shape

        def uniform() -> Tensor:
            return torch.rand(rows, generator=generator)

        given = uniform() < self.config.prefix_rate
        return FlowDraws(
            prefix=(uniform() * self.config.prefix_share * frames).floor() * given,
            # Each item's time from a part of its own: still uniform, and the loss of a step varies less.
            time=(torch.arange(rows) + uniform()) / rows,
            noise=torch.randn(batch.mel.shape, generator=generator),
            guidance=uniform(),
        )


def flow_losses(flow: Flow, batch: FlowBatch, draws: FlowDraws) -> tuple[Tensor, Tensor]:
    """:meth:`Flow.loss` of a batch without padding, and the mean absolute error of mu against the mel."""
    frames = batch.mel.shape[2]
    mu = flow.length_regulator(flow.encode(batch.units, torch.ones_like(batch.units, dtype=torch.bool)), frames)
    given = torch.arange(frames, device=mu.device) < draws.prefix[:, None]  # (B, F)
    mask = torch.ones_like(batch.mel[:, :1])
    voice = flow.voice(batch.speaker)
    matching = flow.decoder.loss(batch.mel, mask, mu, voice, batch.mel * given[:, None], draws)
    return matching, (mu - batch.mel).abs().mean()


def speaker_vector(voice: str, size: int) -> NDArray[np.float32]:
    """The direction (size,) that stands for a voice other than the product's own, a function of its name."""
    seed = int.from_bytes(hashlib.sha256(voice.encode()).digest()[:8], "big")
    vector = np.random.default_rng(seed).standard_normal(size, dtype=np.float32)
    return vector / np.linalg.norm(vector)


class _Speech:
    """The utterances of some voices with their units."""

    def __init__(
        self,
        model: Token2WavConfig,
        corpus: SpeechCorpus,
        voices: tuple[str, ...],
        tokenizer: Path,
        cache: Path,
        device: torch.device,
    ) -> None:
        self._model, self._corpus, self._device = model, corpus, device
        self._indices = [i for i, utterance in enumerate(corpus.utterances) if utterance.voice in voices]
        if not self._indices:
            known = sorted({utterance.voice for utterance in corpus.utterances})
            raise ValueError(f"expected utterances of {voices}, the corpus has {known}")
        self._units = list(corpus_units(corpus, self._indices, tokenizer, cache, device))
        self.lengths = np.array([len(units) for units in self._units])

    @property
    def longest(self) -> int:
        return int(self.lengths.max())

    def mean_mel(self) -> Tensor:
        """(mel,), of the first utterances."""
        mels = [
            self._mel(item, 0, mel_frames(int(length), self._model))
            for item, length in enumerate(self.lengths[:_MEAN_OF])
        ]
        return torch.cat(mels, dim=1).mean(1)

    def batch(self, items: list[int], starts: list[int], size: int, own_voice: str) -> FlowBatch:
        """Windows of ``size`` units from ``starts``; their mel begins at the frame in which the first unit does."""
        frames = mel_frames(size, self._model)
        places = list(zip(items, starts, strict=True))
        units = np.stack([self._units[item][start : start + size] for item, start in places])
        mels = [self._mel(item, mel_frames(start, self._model), frames) for item, start in places]
        speakers = np.stack([self._speaker(item, own_voice) for item in items])
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
        """The waveform with silence to the end of its last unit, as the tokenizer heard it."""
        vocoder = self._model.hift
        samples = self._corpus.waveform(self._indices[item], vocoder.sampling_rate)
        length = mel_frames(len(self._units[item]), self._model) * samples_per_frame(vocoder)
        return np.pad(samples, (0, max(length - len(samples), 0)))

    def _speaker(self, item: int, own_voice: str) -> NDArray[np.float32]:
        voice, size = self._corpus.utterances[self._indices[item]].voice, self._model.flow.spk_embed_dim
        return np.zeros(size, np.float32) if voice == own_voice else speaker_vector(voice, size)


def _to(draws: FlowDraws, device: torch.device) -> FlowDraws:
    return FlowDraws(**{name: getattr(draws, name).to(device) for name in FlowDraws.__slots__})
