"""What is evaluated: endpoints of chat completions, and bundles or directories of weights in process."""

from evaluation.models.model import Model, ModelConfig
from evaluation.models.opening import open_model

__all__ = ["Model", "ModelConfig", "open_model"]
