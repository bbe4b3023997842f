"""Conversations and their conversion to token ids, shared by training and inference."""

from opens2s_core.prompt.builder import Prompt, PromptBuilder
from opens2s_core.prompt.messages import (
    DEFAULT_SYSTEM,
    READ_ALOUD_PROMPT,
    SPEAKER_DIM,
    Audio,
    Content,
    Message,
    Role,
    Spoken,
    Text,
    ToolCall,
    read_aloud,
)
from opens2s_core.prompt.training_sample import IGNORED, TrainingSample
from opens2s_core.prompt.writer import (
    AUDIO_SLOT,
    SPEECH_TOKENS,
    THINK_TOKENS,
    TURN_END,
    TURN_START,
    PromptStyle,
)

__all__ = [
    "AUDIO_SLOT",
    "DEFAULT_SYSTEM",
    "IGNORED",
    "READ_ALOUD_PROMPT",
    "SPEAKER_DIM",
    "SPEECH_TOKENS",
    "THINK_TOKENS",
    "TURN_END",
    "TURN_START",
    "Audio",
    "Content",
    "Message",
    "Prompt",
    "PromptBuilder",
    "PromptStyle",
    "Role",
    "Spoken",
    "Text",
    "ToolCall",
    "TrainingSample",
    "read_aloud",
]
