"""OpenS2S: a thinker and a speech decoder (arXiv 2507.05177, section 2.1). Token2wav is a separate model."""

from torch import nn

from opens2s_core.models.opens2s_config import OpenS2SConfig
from opens2s_core.models.speech_decoder import SpeechDecoder
from opens2s_core.models.thinker import Thinker


class OpenS2S(nn.Module):
    def __init__(self, config: OpenS2SConfig) -> None:
        super().__init__()
        self.config = config
        self.thinker = Thinker(config)
        self.speech_decoder = SpeechDecoder(config)
