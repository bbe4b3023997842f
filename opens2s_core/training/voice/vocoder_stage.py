"""Training stage of the vocoder, log-mel → waveform (HiFT), with spectral, pitch and adversarial losses.

B crops of F mel frames, S = F x hop samples; the input of a crop has ``context`` more frames on either side.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from opens2s_core.checkpoint.token2wav import load_token2wav
from opens2s_core.config import Token2WavConfig, VocoderConfig
from opens2s_core.models.vocoder import Vocoder, samples_per_frame
from opens2s_core.training.voice.corpus import SpeechCorpus
from opens2s_core.training.voice.discriminators import (
    Discriminators,
    DiscriminatorsConfig,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
    stft_magnitude,
)
from opens2s_core.training.voice.export import export_vocoder
from opens2s_core.training.voice.features import corpus_pitch, crop_log_mel, log_mel
from opens2s_core.training.voice.stage import (
    StageConfig,
    apply_gradients,
    autocast,
    generator_at,
    rng_at,
    seeded,
    stage_device,
)
from opens2s_core.training.voice.windows import sample_windows

_BATCH, _NOISE = 2, 3  # purposes of random numbers
_PITCH_UNIT = 100.0
"""Hz, unit of the pitch loss."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VocoderStageConfig(StageConfig):
    """Batches and loss weights of the vocoder's training.

    Before step ``adversarial_from`` (None: always) only spectral losses are used. The weights of ``adversarial`` and
    ``features`` relative to the mel are those of HiFi-GAN (1 and 2 to 45).

    The source uses the pitch of the recording in a share of the crops that decreases linearly from 1 to 0 at
    ``teacher_steps``, and the predicted pitch in the others: with the wrong pitch of an untrained predictor the filter
    would learn to ignore the source, but it must learn to handle the errors of the trained one.
    """

    voices: tuple[str, ...] = ("flite:slt",)
    batch: int = 16
    frames: int = 32
    context: int = 2
    mel_weight: float = 5.0
    stft_weight: float = 1.0
    stft_sizes: tuple[int, ...] = (2048, 1024, 512, 256)  # FFT sizes in samples; the hop is a quarter
    adversarial_weight: float = 0.1
    feature_weight: float = 0.2
    adversarial_from: int | None = None
    teacher_steps: int = 1000
    discriminators: DiscriminatorsConfig = field(default_factory=DiscriminatorsConfig)


@dataclass(frozen=True, kw_only=True, slots=True)
class VocoderBatch:
    """Windows of W = F + 2 context frames, and the start of the F frames of the crop in each."""

    mel: Tensor  # (B, mel, W)
    pitch: Tensor  # (B, W) Hz
    wave: Tensor  # (B, S) of the crops
    offset: tuple[int, ...]  # frames


class VocoderStage:
    """Trains the vocoder. Pitches are cached in ``cache``; ``start`` is a decoder directory with the initial vocoder.

    Raises ``ValueError`` if no utterance of the voices is as long as a window.
    """

    name = "vocoder"

    def __init__(
        self,
        config: VocoderStageConfig,
        model: Token2WavConfig,
        corpus: SpeechCorpus,
        *,
        cache: Path,
        start: Path | None = None,
    ) -> None:
        self.config, self.model, self.device = config, model, stage_device()
        new = load_token2wav(start, torch.float32)[1] if start else seeded(config.seed, lambda: Vocoder(model.hift))
        self.vocoder = new.to(self.device)
        pitch = list(self.vocoder.f0_predictor.parameters())
        own = {id(parameter) for parameter in pitch}
        self._optimizers = {
            "vocoder": config.optimizer(p for p in self.vocoder.parameters() if id(p) not in own),
            "pitch": config.optimizer(pitch),  # separate, so that gradients are clipped separately
        }
        self.discriminators: Discriminators | None = None
        if config.adversarial_from is not None:
            self.discriminators = seeded(config.seed, lambda: Discriminators(config.discriminators)).to(self.device)
            self._optimizers["discriminators"] = config.optimizer(self.discriminators.parameters())
        self._speech = _Speech(config, model.hift, corpus, cache)

    def modules(self) -> Mapping[str, nn.Module]:
        discriminators = {} if self.discriminators is None else {"discriminators": self.discriminators}
        return {"vocoder": self.vocoder, **discriminators}

    def averaged(self) -> Mapping[str, nn.Module]:
        return {"vocoder": self.vocoder}

    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        return self._optimizers

    def export(self, modules: Mapping[str, nn.Module], directory: Path) -> None:
        vocoder = modules["vocoder"]
        assert isinstance(vocoder, Vocoder)
        export_vocoder(vocoder, self.model, directory)

    def step(self, step: int) -> dict[str, float]:
        batch = self._speech.batch(rng_at(self.config.seed, step, _BATCH), self.device)
        pitch, pitch_losses = self._train_pitch(step, batch)
        wave = self._generate(step, batch, pitch)
        losses = spectral_losses(wave, batch.wave, self.config, self.model.hift)
        total = self.config.mel_weight * losses["mel"] + self.config.stft_weight * losses["stft"]
        if self.discriminators is not None and step >= (self.config.adversarial_from or 0):
            losses["discriminator"] = self._train_discriminators(self.discriminators, step, batch.wave, wave)
            losses["adversarial"], losses["features"] = self._adversarial_losses(self.discriminators, batch.wave, wave)
            total = total + self.config.adversarial_weight * losses["adversarial"]
            total = total + self.config.feature_weight * losses["features"]
        total.backward()
        norm = apply_gradients(self._optimizers["vocoder"], self.config, step)
        metrics = {f"loss/{name}": float(value.detach()) for name, value in {**losses, **pitch_losses}.items()}
        return {"loss": float(total.detach()), **metrics, "gradient_norm": norm}

    def validate(self, steps: int) -> dict[str, float]:
        return {}

    def _train_pitch(self, step: int, batch: VocoderBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Train the pitch predictor; returns its pitch (B, W) before the step, and the losses."""
        predicted = self.vocoder.f0(batch.mel)  # not in bfloat16, which has errors of 1 Hz
        losses = pitch_losses(predicted, batch.pitch, self.model.hift)
        (losses["pitch"] + losses["voicing"]).backward()
        apply_gradients(self._optimizers["pitch"], self.config, step)
        return predicted.detach(), losses

    def _generate(self, step: int, batch: VocoderBatch, predicted: Tensor) -> Tensor:
        """Waveforms (B, S) of the crops."""
        generator, (rows, frames) = generator_at(self.config.seed, step, _NOISE), batch.pitch.shape
        harmonics, hop = self.model.hift.nb_harmonics + 1, samples_per_frame(self.model.hift)
        teacher = max(1 - step / self.config.teacher_steps, 0.0) if self.config.teacher_steps else 0.0
        is_true_pitch = (torch.rand(rows, generator=generator) < teacher).to(self.device)
        start = torch.rand(rows, generator=generator, dtype=torch.float64).to(self.device)  # a crop begins at any phase
        phase_u = torch.rand(rows, harmonics, 1, generator=generator).to(self.device)
        noise = torch.randn(rows, harmonics, frames * hop, generator=generator).to(self.device)
        source, _ = self.vocoder.source(
            torch.where(is_true_pitch[:, None], batch.pitch, predicted), phase_u, noise, start
        )
        with autocast(self.config, self.device):
            wave = self.vocoder.decode(batch.mel, source)
        length = batch.wave.shape[1]
        return torch.stack([row[o * hop :][:length] for row, o in zip(wave, batch.offset, strict=True)])

    def _train_discriminators(self, discriminators: Discriminators, step: int, real: Tensor, fake: Tensor) -> Tensor:
        discriminators.requires_grad_(True)
        with autocast(self.config, self.device):
            loss = discriminator_loss(discriminators(real), discriminators(fake.detach()))
        loss.backward()
        apply_gradients(self._optimizers["discriminators"], self.config, step)
        return loss

    def _adversarial_losses(self, discriminators: Discriminators, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Adversarial and feature losses of the vocoder, without gradients of the discriminators."""
        discriminators.requires_grad_(False)
        with autocast(self.config, self.device):
            of_fake = discriminators(fake)
            with torch.no_grad():
                of_real = discriminators(real)
            return adversarial_loss(of_fake), feature_loss(of_real, of_fake)


def spectral_losses(
    wave: Tensor, target: Tensor, config: VocoderStageConfig, vocoder: VocoderConfig
) -> dict[str, Tensor]:
    """``mel``: mean absolute error of the log-mel; ``stft``: spectral convergence plus mean absolute error of the log
    magnitudes, the mean over ``stft_sizes`` (Parallel WaveGAN, arXiv 1910.11480). Waveforms (B, S)."""
    losses = []
    for size in config.stft_sizes:
        ours, theirs = (stft_magnitude(x, size, size // 4, size) for x in (wave, target))
        convergence = torch.linalg.vector_norm(theirs - ours) / torch.linalg.vector_norm(theirs)
        losses.append(convergence + (theirs.log() - ours.log()).abs().mean())
    mel = (log_mel(wave, vocoder) - log_mel(target, vocoder)).abs().mean()
    return {"mel": mel, "stft": torch.stack(losses).mean()}


def pitch_losses(predicted: Tensor, target: Tensor, config: VocoderConfig) -> dict[str, Tensor]:
    """Losses of predicted against target Hz (B, W); the target is 0 in unvoiced frames.

    ``pitch``: mean absolute error in hundreds of Hz; ``voicing``: cross entropy of whether the prediction is above the
    voiced threshold.
    """
    threshold = config.nsf_voiced_threshold
    voiced = (target > threshold).to(predicted.dtype)
    # At 0 Hz the probability of a voiced frame is 2 %.
    logits = 4 * (predicted / threshold - 1)
    return {
        "pitch": (predicted - target).abs().mean() / _PITCH_UNIT,
        "voicing": functional.binary_cross_entropy_with_logits(logits, voiced),
    }


class _Speech:
    """Utterances of the configured voices with their pitch."""

    def __init__(self, config: VocoderStageConfig, model: VocoderConfig, corpus: SpeechCorpus, cache: Path) -> None:
        self._config, self._model, self._corpus = config, model, corpus
        self._window = config.frames + 2 * config.context
        chosen = [i for i, utterance in enumerate(corpus.utterances) if utterance.voice in config.voices]
        pitches = {i: corpus_pitch(corpus, i, model, cache) for i in chosen}
        self._indices = [i for i in chosen if len(pitches[i]) >= self._window]
        if not self._indices:
            longest = max(map(len, pitches.values()), default=0)
            raise ValueError(
                f"expected utterances of {config.voices} of at least {self._window} frames, the longest has {longest}"
            )
        self._pitches = [pitches[i] for i in self._indices]
        self._lengths = np.array([len(values) for values in self._pitches])

    def batch(self, rng: np.random.Generator, device: torch.device) -> VocoderBatch:
        frames, context = self._config.frames, self._config.context
        items, starts = sample_windows(rng, self._lengths, self._config.batch, frames)
        ends = self._lengths[items]
        # At the ends of an utterance the window is shifted, not the crop: there is no context in synthesis either.
        windows = np.clip(starts - context, 0, ends - self._window)
        crops = list(zip(items.tolist(), starts.tolist(), windows.tolist(), strict=True))
        return VocoderBatch(
            mel=torch.stack([self._mel(item, window) for item, _, window in crops]).to(device),
            pitch=torch.stack([self._pitch(item, window) for item, _, window in crops]).to(device),
            wave=torch.stack([self._wave(item, start) for item, start, _ in crops]).to(device),
            offset=tuple((starts - windows).tolist()),
        )

    def _mel(self, item: int, start: int) -> Tensor:
        return crop_log_mel(self._samples(item), start, self._window, self._model)

    def _pitch(self, item: int, start: int) -> Tensor:
        return torch.from_numpy(self._pitches[item][start : start + self._window])

    def _wave(self, item: int, start: int) -> Tensor:
        hop = samples_per_frame(self._model)
        return torch.from_numpy(self._samples(item)[start * hop : (start + self._config.frames) * hop])

    def _samples(self, item: int) -> np.ndarray:
        return self._corpus.waveform(self._indices[item], self._model.sampling_rate)
