"""Models in process: the pipeline answers items, one after the other in each actor of a pool."""

import pickle
from collections.abc import Iterator, Sequence
from typing import Any

from evaluation.items import Answer, Item
from evaluation.models.fingerprint import weights_fingerprint
from evaluation.models.model import ModelConfig
from evaluation.models.pipeline_model import PipelineModel, has_voice
from opens2s_core.storage import absolute_directory


class PooledModel:
    """A path or URL of a bundle, a published directory or an OpenS2S directory, loaded by each of ``config.actors``
    actors of Ray Data. An actor has a GPU where the cluster has any. Ray must be connected, and every node must reach
    ``model``.

    Raises ``ValueError`` where there is no such model.
    """

    def __init__(self, model: str, config: ModelConfig) -> None:
        self._model, self._config = absolute_directory(model), config
        self._voice = has_voice(self._model)

    @property
    def fingerprint(self) -> dict[str, Any]:
        return {"weights": weights_fingerprint(self._model), "voice": self._voice}

    def answers(self, items: Sequence[Item]) -> Iterator[Answer]:
        """Each answer when it is finished. Raises what loading the model raises."""
        import ray
        from ray.data import ActorPoolStrategy

        from data_pipeline.ray_output import quiet_ray_data

        if not items:
            return
        quiet_ray_data()
        actors = min(self._config.actors, len(items))
        resources = ray.cluster_resources()
        # Blocks of one row: an answer is stored as soon as there is one.
        rows = ray.data.from_items([{"item": pickle.dumps(item)} for item in items], override_num_blocks=len(items))
        answered = rows.map(
            _Actor,  # type: ignore[arg-type]  # Ray Data accepts a callable class
            fn_constructor_args=(self._model, self._config, max(1, int(resources["CPU"]) // actors)),
            compute=ActorPoolStrategy(size=actors),
            num_cpus=1,
            num_gpus=1 if resources.get("GPU") else 0,
        )
        for row in answered.iter_rows():
            yield pickle.loads(row["answer"])


class _Actor:
    def __init__(self, model: str, config: ModelConfig, threads: int) -> None:
        self._model, self._threads = PipelineModel(model, config), threads

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        import torch

        torch.set_num_threads(self._threads)  # it holds for the calling thread, and Ray calls from several
        return {"answer": pickle.dumps(self._model.answer(pickle.loads(row["item"])))}
