"""Models by the text that names them on a command line."""

from data_pipeline.service_names import is_http_url
from evaluation.models.endpoint import EndpointModel
from evaluation.models.in_process import PooledModel
from evaluation.models.model import Model, ModelConfig


def open_model(spec: str, config: ModelConfig) -> Model:
    """The model of ``spec``: ``http(s)://HOST[/v1][#MODEL]`` is an endpoint, anything else a path or URL of a bundle,
    of a published directory, or of an OpenS2S directory, whose replies are text alone.

    Raises ``ValueError`` where there is no such model, ``openai.APIStatusError`` for a refused key.
    """
    if is_http_url(spec):
        return EndpointModel(spec, config)
    return PooledModel(spec, config)
