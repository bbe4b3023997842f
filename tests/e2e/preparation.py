"""One data preparation in a process of its own, so that it can be killed: ``CORPUS BUNDLE OUTPUT ENDPOINT``."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from data_pipeline.corpora.librispeech import LibriSpeech
from data_pipeline.preparation.config import PrepareConfig
from data_pipeline.preparation.models import PoolConfig
from data_pipeline.progress import Passed
from data_pipeline.steps.openai_generator import OpenAIGeneratorConfig
from data_pipeline.steps.tokenise import TokeniseConfig
from ray_jobs.cluster import connect
from ray_jobs.prepare_data import prepare_data

CONFIG = PrepareConfig(
    tokenise=TokeniseConfig(task="continuation"),
    shard_rows=16,
    generator=PoolConfig(max_actors=2, batch_rows=4),
)


@contextmanager
def no_progress(rows: int, done: int) -> Iterator[Callable[[Passed], None]]:
    yield lambda passed: None


if __name__ == "__main__":
    corpus, bundle, output, endpoint = sys.argv[1:]
    connect()
    generator = OpenAIGeneratorConfig(base_url=endpoint, model="m", concurrency=2)
    prepare_data(CONFIG, LibriSpeech(), corpus, bundle, output, generator)
