"""Training stage of the flow, units → log-mel, on one or more voices.

The items of a step are windows of utterances as in serving: whole units, encoded without context, with the encoder's
blocks counted from the start of the window. All windows of a step have the same length, so there is no padding: it
would change the output of this flow (tests/golden/token2wav_tiny/README.md, facts 6 and 7), and synthesis has none.
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
from opens2s_core.training.voice.windows import sample_windows

TIME_BANDS = 4
_BATCH, _NOISE, _HELD_OUT = 2, 3, 4  # purposes of random numbers


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowStageConfig(StageConfig):
    """Batches and loss weights of the flow's training.

    ``voice`` is the default voice, with the zero speaker vector; ``other_voices`` are trained too, each with the
    ``speaker_vector`` of its name. A step has about ``batch_units`` units in windows of one of the sizes
    ``window_units``; in serving the sizes are 8, 20 and 44 at the start of a reply, then up to 57. A share
    ``prefix_rate`` of the windows begins with known mel, up to ``prefix_share`` of the frames; in serving at most 33 of
    57 units.
    """

    voice: str = "flite:slt"
    other_voices: tuple[str, ...] = ()
    window_units: tuple[int, ...] = (8, 20, 32)
    batch_units: int = 320
    prefix_rate: float = 0.5
    prefix_share: float = 0.6
    mean_weight: float = 1.0  # of the L1 loss of mu, the mel predicted from the units


class FlowStage:
    """Flow matching as published, with noise that depends on (seed, step) alone.

    Units are encoded once by the speech tokenizer in the directory ``tokenizer`` and cached in ``cache``. ``start`` is
    a decoder directory whose flow provides the initial weights. Raises ``ValueError`` if no utterance of the voices is
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
            self._initialise(self.speech.mean_mel(), load_speech_tokenizer(tokenizer, torch.float32).codebook.weight)

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
        self.flow.train()
        batch = self.batch(step)
        noise = _to(self.noise(step, batch), self.device)
        with random_numbers_at(self.config.seed, step, self.device), autocast(self.config, self.device):
            matching, mean = flow_losses(self.flow, batch, noise)
        loss = matching + self.config.mean_weight * mean
        loss.backward()
        return {
            "loss": float(loss.detach()),
            "loss/matching": float(matching.detach()),
            "loss/mean_l1": float(mean.detach()),
            "gradient_norm": apply_gradients(self._optimizer, self.config, step),
        }

    @torch.no_grad()
    def validate(self, steps: int) -> dict[str, float]:
        """Metrics on the longest held-out utterance: the flow-matching loss in the middle of each quarter of time, and
        the mean absolute error of the mel sampled from its units in 10 steps."""
        speech = self._held_out
        if speech is None:
            return {}
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
            metrics[f"matching_{band}"] = float(self.flow.loss(batch, noise))
        sample = self.flow(batch.units, batch.mel[:, :, :0], gaussian, batch.speaker)
        return metrics | {"sample_l1": float((sample - batch.mel).abs().mean())}

    @torch.no_grad()
    def _initialise(self, mel: Tensor, codes: Tensor) -> None:
        """Initialise biases with the mean mel (mel,) and unit embeddings with the tokenizer's ``codes`` (K, D).

        Learning the mean, far from 0, would take many steps, and single units are too rare to be learned quickly. The
        codes are projected to the width of the embeddings.
        """
        mu, velocity = self.flow.length_regulator.model[-1], self.flow.decoder.estimator.final_proj
        assert isinstance(mu, nn.Conv1d)
        for layer in (mu, velocity):
            assert layer.bias is not None
            layer.bias.copy_(mel)
        table = self.flow.input_embedding.weight  # (K, input_size)
        components = principal_components(codes, table.shape[1])
        table[:, : components.shape[1]] = components

    def batch(self, step: int) -> FlowBatch:
        """The windows of a step."""
        rng = rng_at(self.config.seed, step, _BATCH)
        size = int(rng.choice(self._windows))
        items, starts = sample_windows(rng, self.speech.lengths, max(self.config.batch_units // size, 1), size)
        return self.speech.batch(items.tolist(), starts.tolist(), size)

    def noise(self, step: int, batch: FlowBatch) -> FlowNoise:
        """The random numbers of a step."""
        generator = generator_at(self.config.seed, step, _NOISE)
        rows, _, frames = batch.mel.shape

        def uniform() -> Tensor:
            return torch.rand(rows, generator=generator)

        has_prefix = uniform() < self.config.prefix_rate
        return FlowNoise(
            prefix=(uniform() * self.config.prefix_share * frames).floor() * has_prefix,
            # Stratified: still uniform, with less variance of the loss.
            time=(torch.arange(rows) + uniform()) / rows,
            gaussian=torch.randn(batch.mel.shape, generator=generator),
            guidance=uniform(),
        )


def principal_components(vectors: Tensor, size: int) -> Tensor:
    """At most ``size`` principal components of vectors (K, D), scaled to an overall standard deviation of 1."""
    centred = vectors - vectors.mean(0)
    axes = torch.linalg.svd(centred, full_matrices=False).Vh[:size]
    components = centred @ axes.T
    return components / components.std()


def flow_losses(flow: Flow, batch: FlowBatch, noise: FlowNoise) -> tuple[Tensor, Tensor]:
    """:meth:`Flow.loss` of a batch without padding, and the mean absolute error of mu against the mel."""
    frames = batch.mel.shape[2]
    mu = flow.length_regulator(flow.encode(batch.units, torch.ones_like(batch.units, dtype=torch.bool)), frames)
    known = torch.arange(frames, device=mu.device) < noise.prefix[:, None]  # (B, F)
    speaker = flow.embed_speaker(batch.speaker)
    matching = flow.decoder.loss(batch.mel, None, mu, speaker, batch.mel * known[:, None], noise)
    return matching, (mu - batch.mel).abs().mean()


def _to(noise: FlowNoise, device: torch.device) -> FlowNoise:
    return FlowNoise(**{name: getattr(noise, name).to(device) for name in FlowNoise.__slots__})
