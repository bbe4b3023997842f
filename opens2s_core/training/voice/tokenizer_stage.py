"""Training stage of the speech tokenizer: a Whisper encoder with text prediction (CTC) from its quantised vectors.

B utterances, F log-mel frames (100 a second), N units (12.5 a second), D width, M valid units of the batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.whisper.modeling_whisper import sinusoids

from opens2s_core.audio import SAMPLE_RATE
from opens2s_core.checkpoint.speech_tokenizer import load_speech_tokenizer, save_speech_tokenizer
from opens2s_core.config import ConfigError, SpeechTokenizerConfig
from opens2s_core.models.speech_tokenizer import CONV_STRIDE, SEGMENT_SAMPLES, SpeechTokenizer
from opens2s_core.training.voice.batches import Batches
from opens2s_core.training.voice.codebook import dead_codes, perplexity, restart_codes, update_codebook
from opens2s_core.training.voice.corpus import CorpusError, SpeechCorpus
from opens2s_core.training.voice.stage import (
    StageConfig,
    apply_gradients,
    autocast,
    generator_at,
    random_numbers_at,
    seeded,
    stage_device,
)
from opens2s_core.training.voice.text_head import BLANK, Alphabet, TextHead, character_errors

_BUCKET = 4
"""Units, see :class:`Batches`."""
_POSITION_SCALE = 0.1
_RESTART, _FIRST_CODES = 2, 3  # purposes of random numbers


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizerStageConfig(StageConfig):
    """Batches and loss weights; size and decay of the codebook are settings of the model."""

    batch_units: int = 1000  # rows × longest row, 80 s
    head_layers: int = 2
    head_dropout: float = 0.1
    quantised_from: int = 200  # a step; before it the head reads unquantised vectors, which still change too quickly
    commitment_weight: float = 0.25
    mel_weight: float = 5.0
    dead_share: float = 0.1  # a code is dead when used less than this share of the mean
    restart_every: int = 20  # steps
    validated_utterances: int = 64

    def __post_init__(self) -> None:
        if not 0 <= self.quantised_from < self.steps:
            raise ConfigError(f"quantised_from: expected a step of the {self.steps}, got {self.quantised_from}")


@dataclass(frozen=True, slots=True)
class TokenizerBatch:
    features: Tensor  # (B, mel, F)
    mask: Tensor  # bool (B, F)
    valid: Tensor  # bool (B, N)
    characters: Tensor  # int64, the rows' characters one after another
    character_counts: Tensor  # int64 (B,)


@dataclass(frozen=True, slots=True)
class _Losses:
    ctc: Tensor
    mel: Tensor
    commitment: Tensor
    vectors: Tensor  # (M, D), detached
    ids: Tensor  # (M,)


class TokenizerStage:
    """Trains on all voices of ``corpus``; the character error is measured on ``held_out``.

    ``start`` is the directory of a speech tokenizer to fine-tune, which is quantised from the first step.
    """

    name = "speech_tokenizer"

    def __init__(
        self,
        config: TokenizerStageConfig,
        model: SpeechTokenizerConfig,
        corpus: SpeechCorpus,
        held_out: SpeechCorpus | None = None,
        *,
        start: Path | None = None,
    ) -> None:
        if model.quantize_ema_decay is None:
            raise ConfigError("quantize_ema_decay: expected a decay below 1 to train with, got None")
        self.config, self.device = config, stage_device()
        self._corpus, self._held_out = corpus, held_out
        self._pool = model.pooling_kernel_size
        self.alphabet = Alphabet(utterance.text for utterance in corpus.utterances)
        if start is None:
            tokenizer = seeded(config.seed, lambda: _new_model(model))
        else:
            tokenizer = load_speech_tokenizer(start, torch.float32)
        for fixed in (tokenizer.embed_positions, tokenizer.embed_positions2, tokenizer.codebook):
            fixed.requires_grad_(False)  # the codebook is updated by moving averages
        self.model = tokenizer.to(self.device)
        self._init_codes_at = None if start else config.quantised_from
        lengths = _units(corpus, self.model.samples_per_unit)
        self._batches = Batches(lengths, config.batch_units, seed=config.seed, bucket=_BUCKET)
        self.head = seeded(
            config.seed + 1,
            lambda: TextHead(
                model, len(self.alphabet.characters), layers=config.head_layers, dropout=config.head_dropout
            ),
        ).to(self.device)
        self._optimizer = config.optimizer([*self.model.parameters(), *self.head.parameters()])

    def modules(self) -> Mapping[str, nn.Module]:
        return {"speech_tokenizer": self.model, "head": self.head}

    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        return {"speech_tokenizer": self._optimizer}

    def averaged(self) -> Mapping[str, nn.Module]:
        return {"speech_tokenizer": self.model}

    def step(self, step: int) -> dict[str, float]:
        batch = self._batch(self._corpus, self._batches.at(step))
        self.head.train()
        with random_numbers_at(self.config.seed, step, self.device):
            losses = self._losses(batch, step)
        config = self.config
        total = losses.ctc + config.mel_weight * losses.mel + config.commitment_weight * losses.commitment
        total.backward()
        norm = apply_gradients(self._optimizer, config, step)
        metrics = {
            "loss": float(total.detach()),
            "loss/ctc": float(losses.ctc.detach()),
            "loss/mel": float(losses.mel.detach()),
            "loss/commitment": float(losses.commitment.detach()),
            "gradient_norm": norm,
        }
        if not self._is_quantised(step):
            return metrics
        return metrics | self._update_codes(losses, step)

    def validate(self, steps: int) -> dict[str, float]:
        """The character error, once the head reads quantised vectors."""
        if self._held_out is None or not self._is_quantised(steps - 1):
            return {}
        return {"character_error": self.character_error(self._held_out)}

    def export(self, modules: Mapping[str, nn.Module], directory: Path) -> None:
        """Write a speech tokenizer directory in the published layout."""
        model = modules["speech_tokenizer"]
        assert isinstance(model, SpeechTokenizer)
        save_speech_tokenizer(model, model.config, directory)

    @torch.no_grad()
    def character_error(self, corpus: SpeechCorpus) -> float:
        """Edits per character of greedy CTC decoding, over the first utterances of ``corpus``."""
        self.head.eval()
        edits = characters = 0
        indices = range(min(len(corpus), self.config.validated_utterances))
        rows = max(self.config.batch_units // max(_units(corpus, self.model.samples_per_unit)), 1)
        for start in indices[::rows]:
            chosen = indices[start : start + rows]
            batch = self._batch(corpus, chosen)
            vectors = self._vectors(batch)
            logits, _ = self._apply_head(self.model.codebook(self.model.quantise(vectors)), batch.valid)
            paths = logits.argmax(-1)  # (B, T)
            frames = batch.valid.sum(1) * self._pool
            for index, path, count in zip(chosen, paths.tolist(), frames.tolist(), strict=True):
                transcript = self.alphabet.decode(path[:count])
                edits_of_one, length = character_errors(corpus.utterances[index].text, transcript)
                edits, characters = edits + edits_of_one, characters + length
        return edits / max(characters, 1)

    def _update_codes(self, losses: _Losses, step: int) -> dict[str, float]:
        """Update the codebook; returns the number of live codes and the perplexity."""
        update_codebook(self.model, losses.vectors, losses.ids)
        dead = dead_codes(self.model, self.config.dead_share)
        if (step + 1) % self.config.restart_every == 0:
            restart_codes(self.model, dead, losses.vectors, generator_at(self.config.seed, step, _RESTART))
        return {"codes_alive": float((~dead).sum()), "perplexity": perplexity(self.model)}

    def _batch(self, corpus: SpeechCorpus, indices: Sequence[int]) -> TokenizerBatch:
        waveforms = [corpus.waveform(index, SAMPLE_RATE) for index in indices]
        features, mask = self.model.features(waveforms)
        texts = [self.alphabet.encode(corpus.utterances[index].text) for index in indices]
        counts = torch.tensor([len(text) for text in texts], device=self.device)
        joined = torch.tensor([character for text in texts for character in text], device=self.device)
        return TokenizerBatch(features, mask, mask[:, :: CONV_STRIDE * self._pool], joined, counts)

    def _losses(self, batch: TokenizerBatch, step: int) -> _Losses:
        vectors = self._vectors(batch)  # (B, N, D)
        flat = vectors[batch.valid]  # (M, D)
        detached = flat.detach()
        if step == self._init_codes_at:
            everything = torch.ones_like(self.model.ema_count, dtype=torch.bool)
            restart_codes(self.model, everything, detached, generator_at(self.config.seed, step, _FIRST_CODES))
        ids = self.model.quantise(vectors.detach())
        codes = self.model.codebook(ids)
        quantised = self._is_quantised(step)
        head_input = vectors + (codes - vectors).detach() if quantised else vectors  # straight-through gradients
        logits, mel = self._apply_head(head_input, batch.valid)
        ctc = functional.ctc_loss(
            logits.float().log_softmax(-1).transpose(0, 1),  # (T, B, 1 + C)
            batch.characters,
            batch.valid.sum(1) * self._pool,
            batch.character_counts,
            blank=BLANK,
            zero_infinity=True,
        )
        mel_loss = (mel.float() - batch.features.transpose(1, 2))[batch.mask].abs().mean()
        commitment = functional.mse_loss(flat, codes[batch.valid]) if quantised else ctc.new_zeros(())
        return _Losses(ctc, mel_loss, commitment, detached, ids[batch.valid])

    def _is_quantised(self, step: int) -> bool:
        return self._init_codes_at is None or step >= self._init_codes_at

    def _vectors(self, batch: TokenizerBatch) -> Tensor:
        """Vectors before quantisation (B, N, D), in float32 for the comparison with the codes."""
        with autocast(self.config, self.device):
            return self.model(batch.features, batch.mask).float()

    def _apply_head(self, quantised: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        positions = self.model.embed_positions2.weight[: quantised.shape[1]]
        with autocast(self.config, self.device):
            return self.head(quantised + positions, valid)


def _new_model(config: SpeechTokenizerConfig) -> SpeechTokenizer:
    """A model with Whisper's fixed sinusoidal positions, which generalise beyond the longest training utterance.

    Those before the quantiser are scaled down, so that codes represent audio and not positions.
    """
    model = SpeechTokenizer(config)
    for table, scale in ((model.embed_positions, _POSITION_SCALE), (model.embed_positions2, 1.0)):
        table.weight.data.copy_(scale * sinusoids(*table.weight.shape))
    return model


def _units(corpus: SpeechCorpus, samples_per_unit: int) -> list[int]:
    """Number of units of each utterance. Raises :class:`CorpusError` for one longer than the encoder's input."""
    lengths = []
    for utterance in corpus.utterances:
        samples = -(-utterance.samples * SAMPLE_RATE // utterance.rate)
        if samples > SEGMENT_SAMPLES:
            raise CorpusError(
                f"{utterance.id}: expected at most {SEGMENT_SAMPLES // SAMPLE_RATE} s, "
                f"got {utterance.samples / utterance.rate:.1f} s"
            )
        lengths.append(-(-samples // samples_per_unit))
    return lengths
