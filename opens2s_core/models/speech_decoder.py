"""The speech decoder: a Qwen3 LM over text tokens and speech units, conditioned on LLM hidden states.

Its input is a speaker embedding, then alternately M projected hidden states and N unit embeddings (paper section 2.1).
"""

from dataclasses import dataclass

from torch import Tensor, nn
from transformers import Qwen3Config, Qwen3ForCausalLM

from opens2s_core.models.opens2s_config import OpenS2SConfig


@dataclass(frozen=True, slots=True)
class UnitVocabulary:
    """The range of speech units in the decoder's vocabulary, and its end tokens."""

    offset: int
    size: int
    end_ids: tuple[int, ...]


class SpeechLM(Qwen3ForCausalLM):
    """Qwen3 LM with a projection of speaker vectors of ``speaker_dim`` numbers."""

    def __init__(self, config: Qwen3Config, speaker_dim: int) -> None:
        super().__init__(config)
        self.spk2tts = nn.Linear(speaker_dim, config.hidden_size, bias=False)
        self.spk_ln = nn.LayerNorm(config.hidden_size)
        self.post_init()


class SpeechDecoder(nn.Module):
    """The speech LM and its input projections; module names are those of the published checkpoint."""

    def __init__(self, config: OpenS2SConfig) -> None:
        super().__init__()
        self.config = config
        width = config.speech_decoder.hidden_size
        self.llm2tts = nn.Linear(config.llm.hidden_size, width, bias=False)
        self.llm_ln = nn.LayerNorm(width)
        self.tts_lm_model = SpeechLM(config.speech_decoder, config.speaker_dim)

    def embed_hidden_states(self, hidden_states: Tensor) -> Tensor:
        """LLM hidden states (…, D_llm) → input embeddings of the speech LM (…, D)."""
        return self.llm_ln(self.llm2tts(hidden_states))

    def embed_units(self, ids: Tensor) -> Tensor:
        """Ids of the speech LM's vocabulary (…) → (…, D)."""
        return self.tts_lm_model.get_input_embeddings()(ids)

    def embed_speaker(self, vectors: Tensor) -> Tensor:
        """Speaker vectors (…, speaker_dim) → (…, D). Zeros, an unknown speaker, give the bias of the norm."""
        projection = self.tts_lm_model.spk2tts
        return self.tts_lm_model.spk_ln(projection(vectors.to(projection.weight.dtype)))

    def no_speaker(self, batch: int) -> Tensor:
        """The embedding of an unknown speaker, (batch, D)."""
        return self.embed_speaker(self.llm2tts.weight.new_zeros(batch, self.config.speaker_dim))
