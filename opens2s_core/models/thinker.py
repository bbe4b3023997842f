"""The thinker: audio encoder → adapter → LLM."""
# B batch, T positions, D LLM width

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Qwen3ForCausalLM

from opens2s_core.audio import Waveform
from opens2s_core.models.adapter import AudioAdapter
from opens2s_core.models.audio_encoder import AudioEncoder, AudioFeatures, extract_features
from opens2s_core.models.opens2s_config import OpenS2SConfig
from opens2s_core.prompt import AUDIO_SLOT


class Thinker(nn.Module):
    """Audio encoder, adapter and LLM; module names are those of the published checkpoint."""

    def __init__(self, config: OpenS2SConfig) -> None:
        super().__init__()
        self.config = config
        encoder, llm = config.audio_encoder, config.llm
        self.audio_encoder_model = AudioEncoder(encoder)
        self.audio_adapter = AudioAdapter(
            encoder.d_model, llm.hidden_size, config.adapter_inner_dim, config.adapter_kernel_sizes
        )
        self.llm_model = Qwen3ForCausalLM(llm)

    @property
    def device(self) -> torch.device:
        return self.llm_model.device

    def audio_features(self, clips: list[Waveform]) -> AudioFeatures:
        """Log-mel features of one or more 16 kHz waveforms (n,), with the padding of this model's training."""
        return extract_features(clips, self.config.audio_encoder.num_mel_bins, self.config.audio_padding)

    def embed_audio(self, features: AudioFeatures) -> list[Tensor]:
        """LLM embeddings of each clip: list of (audio_positions, D)."""
        return self.audio_adapter.adapt(self.audio_encoder_model.encode(features))

    def embed_prompt(self, input_ids: Tensor, audio: list[Tensor]) -> Tensor:
        """Embeddings (B, T, D) of ids (B, T) with expanded audio slots.

        The clips fill the slots in order over the whole batch.
        """
        slots = input_ids == AUDIO_SLOT
        embeddings = self.llm_model.get_input_embeddings()(input_ids.masked_fill(slots, 0))
        if not audio:
            return embeddings
        frames = torch.cat(audio).to(embeddings.dtype)
        assert len(frames) == int(slots.sum()), "as many audio frames as audio positions"
        return embeddings.masked_scatter(slots[..., None], frames)


def expand_audio_slots(input_ids: list[int], lengths: list[int], values: list[int] | None = None) -> list[int]:
    """``values`` (None: the ids) with the entry at the i-th audio slot repeated ``lengths[i]`` times."""
    ids = np.array(input_ids, dtype=np.int64)
    counts = np.ones_like(ids)
    counts[ids == AUDIO_SLOT] = lengths
    return np.repeat(ids if values is None else np.array(values, dtype=np.int64), counts).tolist()
