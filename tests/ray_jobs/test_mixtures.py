import pytest

from data_pipeline.dataset.mixture import MixtureSource
from ray_jobs.mixtures import MIXTURES, named_mixture


def test_a_mixture_names_data_sets_below_one_directory() -> None:
    sources = named_mixture("stage2a", "s3://bucket/data/").sources
    assert sources == (
        MixtureSource(data="s3://bucket/data/emilia", weight=1.0, language="en"),
        MixtureSource(data="s3://bucket/data/emilia", weight=1.0, language="zh"),
    )


@pytest.mark.parametrize("name", MIXTURES)
def test_every_mixture_has_sources(name: str) -> None:
    assert named_mixture(name, "data").sources
