"""Stage of a voice: units → log-mel, the published flow trained on one voice or several.

A step's items are windows of utterances as serving gives them to the flow: whole units from anywhere, encoded by
themselves, the blocks of the encoder counted from the window's start. All of a step's windows have one length, so
nothing is padded: padding is not neutral to this flow (tests/golden/token2wav_tiny/README.md, facts 6 and 7), and
synthesis has none.
B windows of N units and F mel frames.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from opens2s_core.checkpoint.speech_tokenizer import load_speech_tokenizer
from opens2s_core.checkpoint.token2wav import load_token2wav
from opens2s_core.config import Token2WavConfig
from opens2s_core.models.flow import Flow, FlowBatch, FlowNoise
from opens2s_core.training.voice.corpus import SpeechCorpus
from opens2s_core.training.voice.export import export_flow
from opens2s_core.training.voice.flow_speech import FlowSpeech
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
from opens2s_core.training.voice.windows import draw_windows

TIME_BANDS = 4
_BATCH, _NOISE, _HELD_OUT = 2, 3, 4  # purposes of random numbers


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowStageConfig(StageConfig):
    """What a step of the flow sees and what counts.

    ``voice`` is the product's own and gets the zero speaker vector; ``other_voices`` are learned too, each under the
    ``speaker_vector`` of its name. A step holds about ``batch_units`` units in windows of one of the sizes
    ``window_units``: serving's are 8, 20 and 44 at the start of a reply, then up to 57. Of its windows a share
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
    """Flow matching as published, with noise that depends on (seed, step) alone.

    Units are those of the speech tokenizer in the directory ``tokenizer``; they are encoded once and kept in ``cache``.
    ``start`` is a decoder directory whose flow to go on from. Raises ``ValueError`` if no utterance of the voices is
    as long as a window.
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
        start: Path | None = None,
    ) -> None:
        self.config, self.model, self.device = config, model, stage_device()
        new = load_token2wav(start, torch.float32)[0] if start else seeded(config.seed, lambda: Flow(model.flow))
        self.flow = new.to(self.device)
        self._optimizer = config.optimizer(self.flow.parameters())
        speech = partial(FlowSpeech, tokenizer=tokenizer, cache=cache, device=self.device)
        self.speech = speech(corpus, model, config.voice, config.other_voices)
        self._held_out = None if held_out is None else speech(held_out, model, config.voice, ())
        longest = int(self.speech.lengths.max())
        self._windows = [size for size in config.window_units if size <= longest]
        if not self._windows:
            raise ValueError(
                f"expected utterances of at least {min(config.window_units)} units, the longest has {longest}"
            )
        if start is None:
            self._start_from(self.speech.mean_mel(), load_speech_tokenizer(tokenizer, torch.float32).codebook.weight)

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
        batch = self.batch(step)
        noise = _to(self.noise(step, batch), self.device)
        with random_numbers_at(self.config.seed, step, self.device), autocast(self.config, self.device):
            matching, mean = flow_losses(self.flow, batch, noise)
        (matching + self.config.mean_weight * mean).backward()
        norm = apply_gradients(self._optimizer, self.config, step)
        metrics = {"matching": float(matching.detach()), "mean_l1": float(mean.detach()), "gradient_norm": norm}
        if self._held_out is not None and (step + 1) % self.config.evaluate_every == 0:
            metrics |= self._evaluate(self._held_out)
        return metrics

    @torch.no_grad()
    def _evaluate(self, speech: FlowSpeech) -> dict[str, float]:
        """On the longest utterance: the flow-matching loss in the middle of each quarter of time, and the mean absolute
        error of the mel that is sampled from its units in 10 steps."""
        self.flow.eval()
        index = int(np.argmax(speech.lengths))
        batch = speech.batch([index], [0], int(speech.lengths[index]))
        gaussian = torch.randn(batch.mel.shape, generator=generator_at(self.config.seed, 0, _HELD_OUT)).to(self.device)
        metrics = {}
        for band in range(TIME_BANDS):
            noise = FlowNoise(
                prefix=torch.zeros(1, device=self.device),
                time=torch.full((1,), (band + 0.5) / TIME_BANDS, device=self.device),
                gaussian=gaussian,
                guidance=torch.ones(1, device=self.device),
            )
            metrics[f"held_out_matching_{band}"] = float(self.flow.loss(batch, noise))
        sample = self.flow(batch.units, batch.mel[:, :, :0], gaussian, batch.speaker)
        return metrics | {"held_out_sample_l1": float((sample - batch.mel).abs().mean())}

    @torch.no_grad()
    def _start_from(self, mel: Tensor, codes: Tensor) -> None:
        """Begin with what is known: the mean mel (mel,) and which of the tokenizer's ``codes`` (K, D) are alike.

        Mu and the velocity start at the mean, far from 0, which they need many steps to reach; units start as their
        codes, as far as these fit, for each alone is too rare to be placed soon.
        """
        suggestion, velocity = self.flow.length_regulator.model[-1], self.flow.decoder.estimator.final_proj
        assert isinstance(suggestion, nn.Conv1d)
        for layer in (suggestion, velocity):
            assert layer.bias is not None
            layer.bias.copy_(mel)
        table = self.flow.input_embedding.weight  # (K, input_size)
        parts = principal_parts(codes, table.shape[1])
        table[:, : parts.shape[1]] = parts

    def batch(self, step: int) -> FlowBatch:
        """The windows of a step."""
        rng = rng_at(self.config.seed, step, _BATCH)
        size = int(rng.choice(self._windows))
        items, starts = draw_windows(rng, self.speech.lengths, max(self.config.batch_units // size, 1), size)
        return self.speech.batch(items.tolist(), starts.tolist(), size)

    def noise(self, step: int, batch: FlowBatch) -> FlowNoise:
        """The random numbers of a step."""
        generator = generator_at(self.config.seed, step, _NOISE)
        rows, _, frames = batch.mel.shape

        def uniform() -> Tensor:
            return torch.rand(rows, generator=generator)

        given = uniform() < self.config.prefix_rate
        return FlowNoise(
            prefix=(uniform() * self.config.prefix_share * frames).floor() * given,
            # Each item's time from a part of its own: still uniform, and the loss of a step varies less.
            time=(torch.arange(rows) + uniform()) / rows,
            gaussian=torch.randn(batch.mel.shape, generator=generator),
            guidance=uniform(),
        )


def principal_parts(vectors: Tensor, size: int) -> Tensor:
    """Vectors (K, D) from their mean along their at most ``size`` main axes, of standard deviation 1 in all."""
    centred = vectors - vectors.mean(0)
    axes = torch.linalg.svd(centred, full_matrices=False).Vh[:size]
    parts = centred @ axes.T
    return parts / parts.std()


def flow_losses(flow: Flow, batch: FlowBatch, noise: FlowNoise) -> tuple[Tensor, Tensor]:
    """:meth:`Flow.loss` of a batch without padding, and the mean absolute error of mu against the mel."""
    frames = batch.mel.shape[2]
    mu = flow.length_regulator(flow.encode(batch.units, torch.ones_like(batch.units, dtype=torch.bool)), frames)
    given = torch.arange(frames, device=mu.device) < noise.prefix[:, None]  # (B, F)
    voice = flow.embed_speaker(batch.speaker)
    matching = flow.decoder.loss(batch.mel, None, mu, voice, batch.mel * given[:, None], noise)
    return matching, (mu - batch.mel).abs().mean()


def _to(noise: FlowNoise, device: torch.device) -> FlowNoise:
    return FlowNoise(**{name: getattr(noise, name).to(device) for name in FlowNoise.__slots__})
