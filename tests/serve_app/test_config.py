"""What a deployment may be made of."""

from typing import Any

import pytest

from opens2s_core.inference.family import OPENS2S
from ray_jobs.serve_recipes import RECIPES, gpu
from serve_app.config import STAGE_IN_PLACE, GatewayConfig, Pacing, ServeConfig, StageConfig

TUNED_FOR_TWO_CORES = ("niceness", "switch_seconds", "coalesce_seconds", "threads", "stall_seconds")


def test_every_stage_of_the_family_has_a_configuration() -> None:
    config = ServeConfig(bundle="b", stages={"token2wav": StageConfig(capacity=2)})
    assert tuple(config.stages) == OPENS2S.names
    assert [stage.capacity for stage in config.stages.values()] == [4, 4, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"capacity": 0}, "capacity: expected at least 1 slot, got 0"),
        ({"threads": 0}, "threads: expected at least 1, got 0"),
        ({"niceness": 20}, "niceness: expected 0 to 19, got 20"),
        ({"niceness": -1}, "niceness: expected 0 to 19, got -1"),
        ({"context": 0}, "expected at least 1 position"),
        ({"prefill_tokens": 0}, "expected at least 1 position and 1 token"),
        ({"min_replicas": 3, "max_replicas": 2}, "min_replicas=3, max_replicas=2"),
        ({"min_replicas": 0, "max_replicas": 0}, "max_replicas >= 1"),
        ({"target": 0}, r"in \(0, 1\], got 0"),
        ({"target": 1.5}, r"in \(0, 1\], got 1.5"),
    ],
    ids=str,
)
def test_a_stage_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StageConfig(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"family": "moshi"}, "family: expected one of opens2s, got 'moshi'"),
        (
            {"stages": {"vocoder": StageConfig()}},
            "stages: unknown vocoder, expected thinker, speech_decoder, token2wav",
        ),
        ({"stages": {"token2wav": StageConfig(context=99)}}, "stages.token2wav.context: expected none"),
        ({"stages": {"token2wav": StageConfig(fixed_width=True)}}, "stages.token2wav.fixed_width: expected none"),
        ({"stages": {"thinker": StageConfig(headroom_seconds=1.0)}}, "stages.thinker.headroom_seconds: expected none"),
        ({"port": 0}, "port: expected 1 to 65535, got 0"),
        ({"port": 65536}, "port: expected 1 to 65535"),
    ],
    ids=str,
)
def test_a_deployment_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ServeConfig(bundle="b", **options)


@pytest.mark.parametrize("options", [{"replicas": 0}, {"decode_threads": 0}, {"queue": -1}], ids=str)
def test_a_gateway_that_cannot_be_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="gateway"):
        GatewayConfig(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options", [{"lead_seconds": 0.5}, {"busy_lead_seconds": 0.5}, {"first_audio_seconds": -1.0}], ids=str
)
def test_pacing_that_is_too_short_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"pacing.*: expected at least"):
        Pacing(**options)


@pytest.mark.parametrize(
    ("cpus", "threads", "expected"), [(0.25, None, 1), (2.0, None, 2), (2.9, None, 2), (2.0, 5, 5)]
)
def test_a_stage_computes_with_as_many_threads_as_it_has_cpus(cpus: float, threads: int | None, expected: int) -> None:
    assert StageConfig(cpus=cpus, threads=threads).compute_threads == expected


def test_a_replica_does_not_depend_on_what_serve_changes_while_it_runs() -> None:
    stage = StageConfig(capacity=7, min_replicas=0, max_replicas=9, target=0.5, headroom_seconds=0.5)
    assert stage.replica() == StageConfig(capacity=7)
    assert all(hasattr(stage, field) for field in STAGE_IN_PLACE)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_for_the_bundle_that_it_is_given(recipe: str) -> None:
    assert RECIPES[recipe]("b").bundle == "b"


def test_what_is_tuned_for_two_cores_does_not_reach_a_machine_with_gpus() -> None:
    config = gpu("b")
    for stage in config.stages.values():
        for field in TUNED_FOR_TWO_CORES:
            assert getattr(stage, field) == getattr(StageConfig(), field)
    assert config.gateway.switch_seconds is None
    assert config.pacing == Pacing()
